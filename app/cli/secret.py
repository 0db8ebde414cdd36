"""`secret`: a new BETTER_AUTH_SECRET."""

import secrets


def print_secret() -> None:
    """Print 48 random bytes as text."""
    print(secrets.token_urlsafe(48))
