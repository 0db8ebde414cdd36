"""The settings of passkeys: for which domain they are, and which apps may ask for them."""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_settings import NoDecode

from app.core.origins import canonical_origin
from app.core.setting_types import split, unique

LOCALHOST = "localhost"

_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}")


def is_below(origin: str, domain: str) -> bool:
    """Return whether browsers let a page of this origin ask for keys of this domain."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_local(host))
    return is_safe and (host == domain or host.endswith(f".{domain}"))


def _is_local(host: str) -> bool:
    return host == LOCALHOST or host.endswith(f".{LOCALHOST}")


def _domain(value: str | None, info: ValidationInfo) -> str | None:
    """Return the domain; of none given that of the first page, and None where passkeys are off."""
    if value is not None:
        value = _host_name(value)
    if info.data.get("passkeys") != "on":
        return value
    pages: Sequence[str] = info.data.get("frontend_url", ())
    domain = value or next((urlsplit(page).hostname for page in pages if page.startswith("http")), None)
    if not domain:
        raise ValueError("must be set with PASSKEYS=on, or a page in FRONTEND_URL whose host it is")
    _host_name(domain)
    if value is None and not any(is_below(page, domain) for page in pages):
        raise ValueError("must be set with PASSKEYS=on: browsers ask for passkeys on pages by https, or of localhost")
    return domain


def _host_name(text: str) -> str:
    """Return a host's name as browsers write it. Raises: ValueError for an address, a port or a path."""
    message = "must be the name of a host, such as example.com, without https:// or a port"
    try:
        host = urlsplit(canonical_origin(f"https://{text}")).hostname or ""
        if text.endswith("/") or ":" in text:
            raise ValueError(message)
    except ValueError:
        raise ValueError(message) from None
    try:
        ip_address(host)
    except ValueError:
        return host
    raise ValueError("must be the name of a host: browsers make no passkeys for an address such as 127.0.0.1")


def _origin(text: str) -> str:
    """Return an origin that a passkey can name beside those of FRONTEND_URL. Raises: ValueError."""
    if _APP.fullmatch(text):
        return text
    origin = text if text.startswith("android:") else canonical_origin(text)
    if is_below(origin, urlsplit(origin).hostname or "-"):
        return origin
    raise ValueError("must be android:apk-key-hash: with 43 characters behind it, or a page's origin by https")


def _of_domain(origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the origins, if keys of the domain can be asked for anywhere. Raises: ValueError."""
    domain = info.data.get("passkey_domain")
    if info.data.get("passkeys") != "on" or domain is None:
        return origins
    if not all(origin.startswith("android:") or is_below(origin, domain) for origin in origins):
        raise ValueError("names a page that is not of PASSKEY_DOMAIN: browsers let it ask for none of its passkeys")
    if not origins and not any(is_below(page, domain) for page in info.data.get("frontend_url", ())):
        raise ValueError("must be set: no page of FRONTEND_URL is of PASSKEY_DOMAIN, by https")
    return origins


PasskeyDomain = Annotated[str | None, AfterValidator(_domain)]
PasskeyOrigins = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    NoDecode,
    BeforeValidator(split),
    AfterValidator(unique),
    AfterValidator(_of_domain),
]
