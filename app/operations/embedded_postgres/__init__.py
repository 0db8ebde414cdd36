"""A PostgreSQL of our own, for `make run` and the tests."""
