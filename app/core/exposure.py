"""What settings leave open to whoever is on the way or guesses: it may be meant, so that it stops no start."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from app.core.config import Settings

READABLE = "without verified TLS: whoever is on the way can read and change what goes there"


def exposures(settings: "Settings") -> Iterator[str]:
    """Yield what production should not leave as it is."""
    ways = {
        "DATABASE_URL": settings.dsn if settings.database_url else None,
        "DATABASE_LISTEN_URL": settings.listen_dsn,
    }
    for name, dsn in ways.items():
        if dsn and _database_is_readable(dsn.conninfo):
            yield f"{name} leads to another machine {READABLE}; add sslmode=verify-full"
    if settings.rate_limit_storage and _redis_is_readable(settings.rate_limit_storage.get_secret_value()):
        yield f"RATE_LIMIT_STORAGE leads to another machine {READABLE}; use rediss://"
    if _is_everybody(settings.trusted_proxies):
        yield "TRUSTED_PROXIES trusts everybody: any client can write down the address by which it is limited"
    if settings.rate_limits == "off":
        yield "RATE_LIMITS is off: passwords can be guessed without bound"
    if not settings.frontend_url:
        yield "FRONTEND_URL is not set: no page of another origin can call, and `users reset` has none to lead to"


def _database_is_readable(conninfo: str) -> bool:
    given = conninfo_to_dict(conninfo)
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    mode = given.get("sslmode") or _default("sslmode")
    return mode not in ("verify-ca", "verify-full") and not all(map(_is_this_machine, hosts))


def _default(parameter: str) -> str:
    """Return what libpq takes for a parameter that is not given, from its environment too."""
    found = {option.keyword: option.val for option in pq.Conninfo.get_defaults()}[parameter.encode()]
    return found.decode() if found else ""


def _redis_is_readable(url: str) -> bool:
    parts = urlsplit(url)
    is_verified = parts.scheme == "rediss" and parse_qs(parts.query).get("ssl_cert_reqs") != ["none"]
    return not is_verified and not _is_this_machine(parts.hostname or "")


def _is_this_machine(host: str) -> bool:
    """Return whether a host, or the folder of a socket, is here."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost") or host.startswith(("/", "@"))


def _is_everybody(networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    given = list(networks)
    v4 = collapse_addresses(net for net in given if isinstance(net, IPv4Network))
    v6 = collapse_addresses(net for net in given if isinstance(net, IPv6Network))
    return any(net.prefixlen == 0 for net in v4) or any(net.prefixlen == 0 for net in v6)
