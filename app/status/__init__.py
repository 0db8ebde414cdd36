"""`/`, `/health` and `/metrics`: what this is and whether it works."""
