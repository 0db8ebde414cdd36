"""Where a server is, as browsers tell servers apart: tokens go back to the one that gave them, and nowhere else."""

from ipaddress import ip_address

import httpx


def origin_of(url: httpx.URL | str) -> str:
    """Return scheme, host and port. Raises: httpx.InvalidURL."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode().lower()}"


def can_be_called(url: str) -> bool:
    """Return whether this names a server. Raises: httpx.InvalidURL."""
    parsed = httpx.URL(url)
    return parsed.scheme in ("http", "https") and bool(parsed.host) and "%" not in parsed.host  # httpx escapes nonsense


def is_readable_on_the_way(url: str) -> bool:
    """Return whether what is sent there leaves this machine without encryption."""
    parsed = httpx.URL(url)
    if parsed.scheme != "http" or parsed.host == "localhost" or parsed.host.endswith(".localhost"):
        return False
    try:
        return not ip_address(parsed.host).is_loopback
    except ValueError:
        return can_be_called(url)
