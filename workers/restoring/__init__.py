"""What a restore is made of: its plan, its safety archive, its volumes, and putting everything back."""
