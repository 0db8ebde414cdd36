"""Signs and reads the tokens."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args
from uuid import UUID, uuid4, uuid5

import msgspec
from jose.utils import base64url_decode, base64url_encode

from app.auth.errors import InvalidToken
from app.auth.keys import Algorithm, PublicKey, SecretKey, SigningKey
from app.auth.principal import Principal
from app.auth.token_json import from_json, to_json
from app.core.config import Settings

LinkType = Literal["reset", "verify", "change"]
TokenType = Literal["access", "refresh", "script"] | LinkType

ISSUER = "auth-tasks-api"
MAX_TOKEN_LENGTH = 2048
CACHED_TOKENS = 4096  # access tokens, some 5 MB

RESET_SECONDS = CHANGE_SECONDS = 3600
VERIFY_SECONDS = 86400
SCRIPT_DAYS = 365
SCRIPT_PREFIX = "atk_"
"""What each script token begins with, so that programs that look for secrets find it."""

_TYPES: dict[TokenType, str] = {
    "access": "at+jwt",
    "refresh": "rt+jwt",
    "reset": "pr+jwt",
    "verify": "ev+jwt",
    "change": "ec+jwt",
    "script": "st+jwt",
}
# Who may take a token. Libraries that are told of none refuse a token that has one (RFC 7519 4.1.3), so that no other
# service with the secret takes a reset token for an access token.
_AUDIENCES: dict[TokenType, list[Any]] = {
    "access": [],
    "refresh": [["refresh"]],
    "reset": ["password-reset"],
    "verify": ["email-verification"],
    "change": ["email-change"],
    "script": [["script"]],
}
_LINKS = frozenset(get_args(LinkType))
# Those that refresh tokens of 1.0 do not have.
_NEW_CLAIMS = {"aud", "seq", "auth_time"}
# base64url without padding; the signature's last character carries two spare bits, or four, which must be zero.
_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]{42}[AEIMQUYcgkosw048]|[\w-]{85}[AQgw])", re.ASCII)
_KEPT = ("access", "script")  # those that come with every request
_VERSIONS = range(2**31)  # what the column holds
_NUMBERS = range(1, 2**31)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Claims:
    """The content of a valid token. Times are seconds since the epoch."""

    token_type: TokenType
    user_id: UUID
    session_id: UUID
    token_id: UUID
    token_version: int
    issued_at: int
    expires_at: int
    valid_from: int
    """When it was issued, or its `nbf` if that is later."""
    number: int | None
    """A refresh token's place in its session, from 1; None in one that 1.0 has issued, and in other tokens."""
    authenticated_at: int
    """When somebody last proved who they are in this session, by a password; in a token of 1.0 when it was issued."""
    email: str | None = None
    """The address that a link was sent to; None in an operator's link, and in other tokens."""
    replaces: bytes | None = None
    """The fingerprint of the address that a link to a new one replaces."""
    scopes: frozenset[str] | None = None
    """What a script token may do; None in all others."""


class TokenPair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Both tokens of one issue, as they are sent; `expires_in` is the access token's lifetime in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int


def successor_id(token_id: UUID) -> UUID:
    """Return the `jti` of the one refresh token that may follow this one."""
    return uuid5(token_id, "refresh")


class TokenCodec:
    """Issues with the current secret, reads with that and the previous one."""

    def __init__(
        self,
        secret: str,
        previous: str | None,
        *,
        access_seconds: int,
        refresh_seconds: int,
        session_seconds: int | None = None,
        algorithm: Algorithm = "HS256",
    ) -> None:
        secrets = [text for text in (secret, previous) if text]
        keys = [SecretKey(text) for text in secrets]
        self._public_keys = [PublicKey(text) for text in secrets]
        self._lifetimes: dict[TokenType, int] = {
            "access": access_seconds,
            "refresh": refresh_seconds,
            "reset": RESET_SECONDS,
            "verify": VERIFY_SECONDS,
            "change": CHANGE_SECONDS,
            "script": SCRIPT_DAYS * 86400,
        }
        self._session_seconds = session_seconds
        # A valid token begins with one of these exact texts, each of one key and algorithm, so that no header that a
        # stranger wrote is ever parsed. An access token is read in both forms, whichever is issued.
        self._keys: dict[TokenType, dict[str, SigningKey]]
        self._keys = {kind: {key.header(typ): key for key in keys} for kind, typ in _TYPES.items()}
        self._signers = {kind: next(iter(known.items())) for kind, known in self._keys.items()}
        public_keys: dict[str, SigningKey] = {key.header(_TYPES["access"]): key for key in self._public_keys}
        self._keys["access"].update(public_keys)
        if algorithm == "EdDSA":
            self._signers["access"] = next(iter(public_keys.items()))
            self.published_keys()  # who cannot sign so does not start
        # The same text and the same secrets give the same claims, so they are computed once. Nothing is kept of a token
        # that is not valid; the times, and whether the session is active, are checked at each request.
        self._verified = lru_cache(maxsize=CACHED_TOKENS)(self._verify)

    def issue(self, who: Principal, *, refresh_id: UUID, number: int, authenticated_at: int | None = None) -> TokenPair:
        """Sign a pair of this moment. The same arguments give the same bytes, so that a pair can be issued again.

        `number` is the refresh token's place in the session; `authenticated_at` is now unless it is given.
        """
        user_id, issued_at = str(who.user_id), int(who.now.timestamp())
        about = {"sub": user_id, "user_id": user_id, "sid": str(who.session_id), "ver": who.token_version}
        began = issued_at if authenticated_at is None else authenticated_at
        return TokenPair(
            access_token=self._sign("access", uuid5(refresh_id, "access"), issued_at, about),
            refresh_token=self._sign(
                "refresh",
                refresh_id,
                issued_at,
                about | {"seq": number, "auth_time": began},
                ends_at=self.session_end(began),
            ),
            expires_in=self._lifetimes["access"],
        )

    def published_keys(self) -> list[Mapping[str, str]]:
        """Return the keys by which others verify access tokens of the algorithm EdDSA, the current one first."""
        return [key.published() for key in self._public_keys]

    def session_end(self, authenticated_at: int) -> int | None:
        """Return when a session ends in any case; None if that is never."""
        return None if self._session_seconds is None else authenticated_at + self._session_seconds

    def issue_reset(self, user_id: UUID, version: int, now: datetime, *, email: str | None = None) -> str:
        """Sign the token of a link for a new password, which proves the mailbox of this address if one is given."""
        return self._issue_link("reset", user_id, version, now, {"email": email} if email else {})

    def issue_verification(self, user_id: UUID, version: int, now: datetime, *, email: str) -> str:
        """Sign the token of a link that proves an address."""
        return self._issue_link("verify", user_id, version, now, {"email": email})

    def issue_change(self, user_id: UUID, version: int, now: datetime, *, email: str, replaces: bytes) -> str:
        """Sign the token of a link to a new address. Of the old one it has a fingerprint: it is sent to the new one."""
        return self._issue_link("change", user_id, version, now, {"email": email, "replaces": replaces.hex()})

    def _issue_link(self, kind: LinkType, user_id: UUID, version: int, now: datetime, named: dict[str, str]) -> str:
        """Sign a token that belongs to no session, and names itself in the place of one."""
        token_id = uuid4()
        about = {"sub": str(user_id), "user_id": str(user_id), "sid": str(token_id), "ver": version, **named}
        return self._sign(kind, token_id, int(now.timestamp()), about)

    def issue_script(self, who: Principal, *, scopes: Sequence[str], expires_at: int) -> str:
        """Sign a token for a script, which is a session of its own and cannot be refreshed."""
        user_id = str(who.user_id)
        about = {"sub": user_id, "user_id": user_id, "sid": str(who.session_id), "ver": who.token_version}
        about["scope"] = " ".join(scopes)
        return SCRIPT_PREFIX + self._sign("script", uuid4(), int(who.now.timestamp()), about, ends_at=expires_at)

    def _sign(
        self, kind: TokenType, token_id: UUID, issued_at: int, about: dict[str, Any], *, ends_at: int | None = None
    ) -> str:
        claims = {"iss": ISSUER, "type": kind, **about, "jti": str(token_id), "iat": issued_at}
        expires_at = issued_at + self._lifetimes[kind]
        claims["exp"] = expires_at if ends_at is None else min(expires_at, ends_at)
        for audience in _AUDIENCES[kind]:
            claims["aud"] = audience
        payload = base64url_encode(to_json(claims)).decode()
        header, key = self._signers[kind]
        signed = f"{header}.{payload}"
        return f"{signed}.{base64url_encode(key.sign(signed.encode())).decode()}"

    def read(self, token: str, kind: TokenType, now: datetime, *, expired_too: bool = False) -> Claims:
        """Return the claims of a token that was issued here and has not expired. Raises: InvalidToken.

        Source: RFC 7519 4.1, RFC 8725 3, RFC 9068 4.
        """
        try:
            claims = self._verified(token, kind) if kind in _KEPT else self._verify(token, kind)
        except Exception as error:  # whatever the parser meets: RecursionError, OverflowError, UnicodeError…
            raise InvalidToken from error
        seconds = now.timestamp()
        if claims.valid_from > seconds + 60 or (claims.expires_at <= seconds and not expired_too):
            raise InvalidToken
        return claims

    def _verify(self, token: str, kind: TokenType) -> Claims:
        return self._claims(from_json(self._payload(token, kind).decode()), kind)

    def _payload(self, token: str, kind: TokenType) -> bytes:
        """Return the signed bytes. Exactly one spelling of a token passes."""
        if kind == "script":
            if not token.startswith(SCRIPT_PREFIX):
                raise InvalidToken
            token = token[len(SCRIPT_PREFIX) :]
        match = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
        if match is None:
            raise InvalidToken
        header, payload, signature = match.groups()
        key = self._keys[kind][header]
        if not key.verify(f"{header}.{payload}".encode(), base64url_decode(signature.encode())):
            raise InvalidToken
        return bytes(base64url_decode(payload.encode()))

    def _claims(self, said: dict[str, Any], kind: TokenType) -> Claims:
        issued_at, expires_at, version = said["iat"], said["exp"], said["ver"]
        not_before = said.get("nbf", issued_at)  # ours have none; others with the secret may add claims
        if not all(type(n) is int for n in (issued_at, expires_at, not_before, version)) or version not in _VERSIONS:
            raise InvalidToken
        number, authenticated_at = None, issued_at
        is_of_1_0 = kind == "refresh" and not _NEW_CLAIMS & said.keys()
        if not is_of_1_0 and [said[name] for name in ("aud",) if name in said] != _AUDIENCES[kind]:
            raise InvalidToken  # it is meant for somebody else
        if kind == "refresh" and not is_of_1_0:
            number, authenticated_at = said["seq"], said["auth_time"]
            if type(number) is not int or number not in _NUMBERS or type(authenticated_at) is not int:
                raise InvalidToken
        if said["iss"] != ISSUER or said["type"] != kind or said["user_id"] != said["sub"]:
            raise InvalidToken
        # A longer lifetime than configured comes from an older setting or another signer: it is no longer accepted.
        if not 0 < expires_at - issued_at <= self._lifetimes[kind]:
            raise InvalidToken
        user_id, session_id, token_id = (_uuid(said[name]) for name in ("sub", "sid", "jti"))
        valid_from = max(issued_at, not_before)
        times = (issued_at, expires_at, valid_from)
        email, replaces = _named_by_link(said) if kind in _LINKS else (None, None)
        scopes = frozenset(said["scope"].split(" ")) if kind == "script" else None
        ids = (user_id, session_id, token_id)
        return Claims(kind, *ids, version, *times, number, authenticated_at, email, replaces, scopes)


def make_codec(settings: Settings) -> TokenCodec:
    """Return what signs and reads with these settings."""
    previous = settings.better_auth_secret_previous
    return TokenCodec(
        settings.better_auth_secret.get_secret_value(),
        previous.get_secret_value() if previous else None,
        access_seconds=settings.access_token_seconds,
        refresh_seconds=settings.refresh_token_seconds,
        session_seconds=settings.session_seconds,
        algorithm=settings.access_token_algorithm,
    )


def _named_by_link(said: dict[str, Any]) -> tuple[str | None, bytes | None]:
    """Return the address that a link was sent to, and the fingerprint of that which it replaces."""
    match said:
        case {"type": "reset"} if "email" not in said:
            return None, None
        case {"type": "reset" | "verify", "email": str(email)}:
            return email, None
        case {"type": "change", "email": str(email), "replaces": str(replaces)} if replaces:
            return email, bytes.fromhex(replaces)
    raise InvalidToken


def _uuid(text: Any) -> UUID:
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        raise InvalidToken
    return msgspec.convert(text, UUID)
