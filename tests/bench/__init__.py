"""Measures the service against the usual way and against the limit, in one run on one PostgreSQL: `make bench`."""
