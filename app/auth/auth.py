"""What the operations of accounts and sessions work with, and how they read tokens."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from app.auth.errors import InvalidToken
from app.auth.events import AUTH_EVENTS, Actor, write_event
from app.auth.fingerprints import Fingerprints
from app.auth.notices import OwnersNotice
from app.auth.passwords import PasswordHasher
from app.auth.principal import Principal
from app.auth.proof import Act, Assertion, Use
from app.auth.tokens import SCRIPT_PREFIX, Claims, TokenCodec, TokenType
from app.auth.user_database import UserDatabase
from app.core.clock import Clock
from app.core.config import Settings
from app.core.database.pool import Database
from app.core.database.statement import Statement
from app.core.errors import TooManyRequests
from app.core.logging import current_request
from app.core.rate_limits.limiter import RateLimiter


@dataclass(frozen=True, slots=True)
class Auth:
    """What the operations work with; `count_event` counts an event in the metrics.

    `belongings` delete what belongs to a user, some rows at a time, `ended_by_reset` that of it which a reset ends.
    `tell_owner` sends a notice, if there is mail; `prove_by_passkey` verifies a proof, if there are passkeys.
    """

    database: Database
    settings: Settings
    tokens: TokenCodec
    fingerprints: Fingerprints
    passwords: PasswordHasher
    limiter: RateLimiter
    belongings: Sequence[Statement[UUID]]
    ended_by_reset: Sequence[Statement[Any]]
    clock: Clock
    count_event: Callable[[str], None]
    tell_owner: Callable[[OwnersNotice], None]
    prove_by_passkey: "ProveByPasskey | None"

    @property
    def lifetime(self) -> timedelta:
        """Return how long a refresh token is valid."""
        return timedelta(seconds=self.settings.refresh_token_seconds)

    def record(
        self,
        event: str,
        *,
        user_id: UUID | None,
        session_id: UUID | None = None,
        actor: Actor = "user",
        **details: str | int | UUID | None,
    ) -> None:
        """Write an event into the trail, and count it if that is done."""
        write_event(event, self.clock(), user_id=user_id, session_id=session_id, actor=actor, **details)
        if event in AUTH_EVENTS:
            self.count_event(event)

    @contextmanager
    def recording_limit(self, event: str, user_id: UUID | None) -> Iterator[None]:
        """Record that what is tried in this block was tried too often."""
        try:
            yield
        except TooManyRequests:
            self.record(event, user_id=user_id, actor="unknown")
            raise


ProveByPasskey: TypeAlias = Callable[[Auth, UserDatabase, Assertion, Act], Awaitable[Use]]


def read_bearer(auth: Auth, access_token: str) -> UserDatabase:
    """Return the database of the user whom this access token, or a script's, names. Raises: InvalidToken.

    Only its signature and its times are checked here, so that a forged one costs no connection. Source: FR-013, FR-014.
    """
    now = auth.clock()
    claims = bearer_claims(auth, access_token, now)
    current_request().name_caller(claims.user_id, claims.session_id)
    return user_database(auth, claims, now)


def bearer_claims(auth: Auth, token: str, now: datetime) -> Claims:
    """Return what an access token, or a script's, says. Raises: InvalidToken."""
    return auth.tokens.read(token, "script" if token.startswith(SCRIPT_PREFIX) else "access", now)


def user_database(auth: Auth, claims: Claims, now: datetime) -> UserDatabase:
    """Return the database of the user whom valid claims name."""
    return UserDatabase(
        auth.database, Principal(claims.user_id, claims.session_id, claims.token_version, now, claims.scopes)
    )


def read_expired_too(auth: Auth, token: str | None, kind: TokenType, now: datetime) -> Claims | None:
    """Return the claims of a genuine token, expired or not; None without one."""
    try:
        return auth.tokens.read(token, kind, now, expired_too=True) if token else None
    except InvalidToken:
        return None
