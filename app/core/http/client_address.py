"""Who is calling, as far as the network tells: the key for limits by address."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import HTTPConnection

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The prefix that a home is usually given (RFC 6177, RIPE-690): by /64 a home would count as 256 clients.
# A mobile network gives each telephone a /64, so that 256 strangers may share a /56, as whole offices share an IPv4
# address: the limits allow for that.
IPV6_PREFIX = 56
MAX_HOPS = 32
"""No request passes more proxies than this, and each address takes time to compare."""

_BY_PROXIES = {b"forwarded", b"x-forwarded-for", b"via"}
_LOOPBACK = ip_address("127.0.0.1")
_IN_BRACKETS_OR_WITH_PORT = re.compile(
    r"\[([0-9a-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII | re.IGNORECASE
)


def client_address(request: HTTPConnection, trusted_proxies: Iterable[Network]) -> str:
    """Return the nearest address that no trusted proxy has; an IPv6 client counts as its /56.

    `X-Forwarded-For` is read from the right and only as far as the hops are trusted: what a client writes
    into it itself stands further left. Some proxies add a port (Azure's gateway, IIS) or write IPv6 in brackets.
    """
    trusted = tuple(trusted_proxies)
    address = peer = _peer(request)
    sent = ",".join(request.headers.getlist("x-forwarded-for"))
    hops = sent.rsplit(",", MAX_HOPS)[-MAX_HOPS:] if sent else []
    while hops and any(address in network for network in trusted):
        parsed = _parse(hops.pop().strip())
        if parsed is None:
            return _key(peer)
        address = parsed
    return _key(peer if any(address in network for network in trusted) else address)


def is_behind_unknown_proxy(request: HTTPConnection, trusted_proxies: Iterable[Network]) -> bool:
    """Return whether a proxy that is not trusted has passed a request on: it may come from anybody behind it."""
    peer = _peer(request)
    says_so = not _BY_PROXIES.isdisjoint(name for name, _ in request.scope["headers"])
    return says_so and not any(peer in network for network in trusted_proxies)


def network_of(address: str) -> str:
    """Return what a peer's address counts as, which may be no IP address at all."""
    parsed = _parse(address)
    return _key(parsed) if parsed else address


def _peer(request: HTTPConnection) -> Address:
    """Return the other end of the connection; a unix socket's counts as loopback.

    A bare `uvicorn` replaces the peer by what `X-Forwarded-For` says when it comes from loopback (its
    `--proxy-headers` default), and leaves port 0 as the trace of it: no real peer has that port.
    """
    client = request.client
    if client is None or client.port == 0:
        return _LOOPBACK
    return _parse_peer(client.host) or _LOOPBACK


def _parse(text: str) -> Address | None:
    match = _IN_BRACKETS_OR_WITH_PORT.fullmatch(text)
    try:
        address = ip_address(match[1] or match[2] if match else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


_parse_peer = lru_cache(maxsize=1000)(_parse)  # not of what is sent, which may be long


def _key(address: Address) -> str:
    return str(ip_network((address, IPV6_PREFIX), strict=False)) if address.version == 6 else str(address)
