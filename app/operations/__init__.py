"""What no request meets: starting, migrating, dividing, dumping and restoring a database."""
