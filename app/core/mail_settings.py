"""The settings of mail: where it is handed in, from whom it is, and which notices are sent."""

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

from app.core.setting_types import LOOPBACK, split, unique

Notice = Literal["password_changed", "email_changed", "passkey_added", "signed_in"]
"""Of what the owner of an account is told by mail."""
ALL_NOTICES: tuple[Notice, ...] = get_args(Notice)
NAME_LENGTH = 60

_FORMS = "smtps://user:password@host, smtp://…, which must offer STARTTLS, or on this machine smtp+plain://…"
_KINDS: dict[str, tuple[Literal["implicit", "starttls", "none"], int]] = {
    "smtps": ("implicit", 465),
    "smtp": ("starttls", 587),
    "smtp+plain": ("none", 25),
}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+"
_FROM = re.compile(rf'(?P<bare>{_ADDRESS})|(?P<name>[^<>"\\]+?) *<(?P<address>{_ADDRESS})>', re.ASCII)


class MailServer(NamedTuple):
    """Where mail is handed in: with TLS from the first byte, after STARTTLS, or on this machine without."""

    tls: Literal["implicit", "starttls", "none"]
    host: str
    port: int
    user: str | None
    password: str | None


class Sender(NamedTuple):
    """Whom a mail is from; the name may be empty."""

    name: str
    address: str


def parse_mail_url(text: str) -> MailServer:
    """Read `MAIL_URL`. Raises: ValueError, without the value."""
    try:
        parts = urlsplit(text)
        tls, default_port = _KINDS[parts.scheme]
        host, port = parts.hostname or "", parts.port or default_port
    except (ValueError, KeyError):
        raise ValueError(f"must be {_FORMS}") from None
    if not _HOST.fullmatch(host) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"must be {_FORMS}, with nothing behind the host; write @ : / # ? of a password as %40 …")
    if tls == "none" and not _is_loopback(host):
        raise ValueError("must have TLS to another machine: smtps:// or smtp://")
    return MailServer(tls, host, port, *_credentials(parts))


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if not parts.username and not parts.password:
        return None, None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user or not password or not (user + password).isascii():
        raise ValueError("must have both a user and a password, in ASCII, or neither")
    return user, password


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK


def parse_sender(text: str) -> Sender:
    """Read `MAIL_FROM`. Raises: ValueError, without the value."""
    found = _FROM.fullmatch(text.strip()) if text.isprintable() else None
    if not found:
        raise ValueError("must be an address such as no-reply@example.com, or Example <no-reply@example.com>")
    return Sender(found["name"] or "", found["bare"] or found["address"])


def _mail_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parse_mail_url(value.get_secret_value())
    return value


def _mail_from(value: str | None, info: ValidationInfo) -> str | None:
    if value is not None:
        parse_sender(value)
    return _needed(value, info)


def _service_name(value: str | None, info: ValidationInfo) -> str | None:
    if value is not None and (not value.strip() or not value.isprintable() or len(value) > NAME_LENGTH):
        raise ValueError(f"must be a name of at most {NAME_LENGTH} characters in one line")
    return _needed(value, info)


def _needed(value: str | None, info: ValidationInfo) -> str | None:
    if value is None and info.data.get("mail_url"):
        raise ValueError("must be set with MAIL_URL")
    return value


def _none_is_empty(value: Any) -> Any:
    return () if value == ["none"] else value


MailUrl = Annotated[SecretStr | None, AfterValidator(_mail_url)]
MailFrom = Annotated[str | None, AfterValidator(_mail_from)]
ServiceName = Annotated[str | None, AfterValidator(_service_name)]
MailNotices = Annotated[
    tuple[Notice, ...],
    NoDecode,
    BeforeValidator(_none_is_empty),
    BeforeValidator(split),  # the later one runs first
    AfterValidator(unique),
]
