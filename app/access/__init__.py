"""Who may ask for what, by token or by session, and the log of who asked."""
