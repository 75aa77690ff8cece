"""Side by side with what one would run instead: `python -m benchmarks`."""
