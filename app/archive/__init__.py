"""The archive format: tar relay, gzip, encryption, manifest. Knows no HTTP, Redis or Docker."""
