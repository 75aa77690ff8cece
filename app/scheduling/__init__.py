"""What is done by itself, and when."""
