"""Whose address counts."""

from ipaddress import ip_network

import pytest
from starlette.requests import HTTPConnection

from app.core.http.client_address import client_address


def address(peer: tuple[str, int] | None, forwarded: str | None, *trusted: str) -> str:
    headers = [(b"x-forwarded-for", part.encode()) for part in (forwarded or "").split("|") if part]
    scope = {"type": "http", "headers": headers, "client": peer}
    return client_address(HTTPConnection(scope), [ip_network(t) for t in trusted])


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        (("192.0.2.1", 5), None, (), "192.0.2.1"),
        (("192.0.2.1", 5), "6.6.6.6", (), "192.0.2.1"),
        (("192.0.2.1", 5), "6.6.6.6", ("10.0.0.0/8",), "192.0.2.1"),
        (("10.0.0.1", 5), "6.6.6.6", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "1.1.1.1, 6.6.6.6", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "1.1.1.1, 6.6.6.6, 10.0.0.2", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "1.1.1.1|6.6.6.6", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "6.6.6.6, nonsense", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), "10.0.0.3, 10.0.0.2", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), None, ("10.0.0.0/8",), "10.0.0.1"),
        (("2001:db8:1:2:3::4", 5), None, (), "2001:db8:1::/56"),
        (("::ffff:192.0.2.1", 5), None, (), "192.0.2.1"),
        (("10.0.0.1", 5), "2001:db8:1:2:ffff::4", ("10.0.0.0/8",), "2001:db8:1::/56"),
        (("10.0.0.1", 5), "1.1.1.1, 6.6.6.6:50123", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "6.6.6.6:50123, 10.0.0.2:443", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "[2001:db8:1:2::4]:50123", ("10.0.0.0/8",), "2001:db8:1::/56"),
        (("10.0.0.1", 5), "[2001:DB8:1:2::4]", ("10.0.0.0/8",), "2001:db8:1::/56"),
        (("10.0.0.1", 5), "[::ffff:6.6.6.6]:443", ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "[2001:db8::4", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), "6.6.6.6:", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), "6.6.6.6:123456", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), "6.6.6.6:80:90", ("10.0.0.0/8",), "10.0.0.1"),
        (("10.0.0.1", 5), "6.6.6.6" + ", 10.0.0.2" * 31, ("10.0.0.0/8",), "6.6.6.6"),
        (("10.0.0.1", 5), "6.6.6.6" + ", 10.0.0.2" * 32, ("10.0.0.0/8",), "10.0.0.1"),
        (("6.6.6.6", 0), "6.6.6.6", (), "127.0.0.1"),
        (("6.6.6.6", 0), "6.6.6.6", ("127.0.0.1/32",), "6.6.6.6"),
        (None, None, (), "127.0.0.1"),
        (("unknown", 5), None, (), "127.0.0.1"),
    ],
)
def test_the_nearest_untrusted_hop_is_the_client(
    peer: tuple[str, int] | None, forwarded: str | None, trusted: tuple[str, ...], expected: str
) -> None:
    """Limits count the client that the nearest trusted proxy saw, and never what a client wrote.

    Port 0 is what a bare uvicorn leaves when it has believed the header.
    """
    assert address(peer, forwarded, *trusted) == expected


def test_a_home_counts_as_one_however_many_networks_it_has() -> None:
    """It is given a /56 by most providers, which has 256 times /64."""
    homes = {address((f"2001:db8:1:{network:x}::4", 5), None) for network in range(512)}
    assert homes == {"2001:db8:1::/56", "2001:db8:1:100::/56"}
