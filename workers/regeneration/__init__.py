"""Step 8: generated configuration and routing rules, brought together with the containers."""
