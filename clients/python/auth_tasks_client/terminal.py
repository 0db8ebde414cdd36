"""The one way to the terminal: no text reaches it that could move its cursor, change its colours or hide a letter."""

import json
import sys
from collections.abc import Iterable


def print_lines(lines: Iterable[str], *, error: bool = False) -> None:
    """Print each text on one line, on standard output or standard error, whatever the server put into it."""
    for line in lines:
        print(printable(line), file=sys.stderr if error else sys.stdout)


def printable(text: str) -> str:
    r"""Return the text with all that is not printable as JSON writes it: `\n`, `\u001b`.

    These are the only such characters that valid JSON can hold, in its strings, so that it stays the same JSON.
    """
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
