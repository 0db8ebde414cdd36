"""Rate limits, counted in the database or in Redis."""
