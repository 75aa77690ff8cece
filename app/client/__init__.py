"""The HTTP API, as its own command line calls it."""
