"""What the tests are written with.

settings.py   the secret, and settings for a test
clock.py      a clock that stands still until it is moved
people.py     people who use the API
server.py     the service, in this process or in one of its own
checks.py     what every response is held to
databases.py  databases and folders of one's own

The fixtures are in tests/conftest.py, how to use them in tests/README.md.
"""
