"""cell-backup: saves a Personal Internet Cell into one archive and brings it back."""

__version__ = "0.1.0"
