"""Types of settings: lists, limits and paths, as they are written in the environment."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from app.core.origins import canonical_origin

LOOPBACK = ("localhost", "127.0.0.1", "::1")

Network = IPv4Network | IPv6Network

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Limit(NamedTuple):
    """At most `amount` events in `window_seconds`."""

    amount: int
    window_seconds: int


def split(value: Any) -> Any:
    """Read a comma-separated list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what stands there a second time."""
    return tuple(dict.fromkeys(values))


def _root_path(value: str) -> str:
    segments = [segment for segment in value.strip().split("/") if segment]
    if not all(re.fullmatch(r"[\w.~-]+", segment, re.ASCII) and segment.strip(".") for segment in segments):
        raise ValueError("must be the path that a proxy strips, such as /tasks: without a host, of letters and digits")
    return "".join(f"/{segment}" for segment in segments)


def _limit(value: Any) -> Any:
    """Read `10/15minutes` or `600/minute`, the notation of the `limits` package."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([1-9]\d*)\s*/\s*([1-9]\d*)?\s*(second|minute|hour|day)s?\s*", value)
    if not match:
        raise ValueError("must look like 10/15minutes or 600/minute")
    return Limit(int(match[1]), int(match[2] or 1) * _SECONDS[match[3]])


Origins = Annotated[
    tuple[Annotated[str, AfterValidator(canonical_origin)], ...],
    NoDecode,
    BeforeValidator(split),
    AfterValidator(unique),
]
Networks = Annotated[tuple[Annotated[Network, BeforeValidator(ip_network)], ...], NoDecode, BeforeValidator(split)]
LimitSetting = Annotated[Limit, NoDecode, BeforeValidator(_limit)]
RootPath = Annotated[str, AfterValidator(_root_path)]
