"""Step 8 without engine and HTTP: what Caddyfile, Corefile and routing rules say, and whether that holds."""
