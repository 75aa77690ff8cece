"""What people are shown of a job on a terminal or in a pipe, whoever ran it."""
