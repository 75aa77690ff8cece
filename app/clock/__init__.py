"""Time as people say it: zones by name, cron expressions."""
