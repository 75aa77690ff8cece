"""Where archives live: list, read, publish, remove."""
