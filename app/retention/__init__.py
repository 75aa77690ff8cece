"""What retention needs beside its rules, which are app.catalog.retention: the policy in force, and what is in use."""
