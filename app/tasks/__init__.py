"""Private task lists: every statement names its owner."""
