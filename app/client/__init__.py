"""A client of the API for Python programs and for the command line. Knows the service only by HTTP."""
