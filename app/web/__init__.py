"""Pages and assets that the service serves itself."""
