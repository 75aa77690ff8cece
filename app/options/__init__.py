"""Options of the command line that work with a service and alone."""
