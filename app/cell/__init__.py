"""What a cell is: components, services, the quick archive."""
