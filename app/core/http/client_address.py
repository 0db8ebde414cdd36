"""Who is calling, as far as the network tells: the key for limits by address."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import HTTPConnection

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LOOPBACK = ip_address("127.0.0.1")


def client_address(request: HTTPConnection, trusted_proxies: Iterable[Network]) -> str:
    """Return the nearest address that no trusted proxy has; an IPv6 client counts as its /64.

    `X-Forwarded-For` is read from the right and only as far as the hops are trusted: what a client writes
    into it itself stands further left.
    """
    trusted = tuple(trusted_proxies)
    address = peer = _peer(request)
    hops = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    while hops and any(address in network for network in trusted):
        parsed = _parse(hops.pop())
        if parsed is None:
            return _key(peer)
        address = parsed
    return _key(peer if any(address in network for network in trusted) else address)


def _peer(request: HTTPConnection) -> Address:
    """Return the other end of the connection; a unix socket's counts as loopback.

    A bare `uvicorn` replaces the peer by what `X-Forwarded-For` says when it comes from loopback (its
    `--proxy-headers` default), and leaves port 0 as the trace of it: no real peer has that port.
    """
    client = request.client
    if client is None or client.port == 0:
        return _LOOPBACK
    return _parse(client.host) or _LOOPBACK


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _key(address: Address) -> str:
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
