"""Builds the service; written with app.api."""
