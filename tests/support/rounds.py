"""How often races, storms and kills are repeated: seldom with each landing, often at night."""

import os

PERCENT = int(os.environ.get("TEST_ROUNDS", "100"))


def rounds(full: int, *, least: int = 1) -> int:
    """Return how many of the full number of rounds TEST_ROUNDS asks for, in percent."""
    return max(least, full * PERCENT // 100)
