"""What the operations of accounts and sessions work with, and how they read tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.auth.errors import InvalidToken
from app.auth.fingerprints import Fingerprints
from app.auth.passwords import PasswordHasher
from app.auth.principal import Principal
from app.auth.tokens import Claims, TokenCodec, TokenType
from app.auth.user_database import UserDatabase
from app.core.clock import Clock
from app.core.config import Settings
from app.core.database.pool import Database
from app.core.database.statement import Statement
from app.core.logging import current_request
from app.core.rate_limits.limiter import RateLimiter


@dataclass(frozen=True, slots=True)
class Auth:
    """What the operations work with; `record_event` counts an event in the metrics.

    `belongings` delete what belongs to a user, some rows at a time.
    """

    database: Database
    settings: Settings
    tokens: TokenCodec
    fingerprints: Fingerprints
    passwords: PasswordHasher
    limiter: RateLimiter
    belongings: Sequence[Statement[UUID]]
    clock: Clock
    record_event: Callable[[str], None]

    @property
    def lifetime(self) -> timedelta:
        """Return how long a refresh token is valid."""
        return timedelta(seconds=self.settings.refresh_token_seconds)


def read_bearer(auth: Auth, access_token: str) -> UserDatabase:
    """Return the database of the user whom this access token names. Raises: InvalidToken. Source: FR-013, FR-014.

    Only its signature and its times are checked here, so that a forged one costs no connection.
    """
    now = auth.clock()
    claims = auth.tokens.read(access_token, "access", now)
    current_request().name_caller(claims.user_id, claims.session_id)
    return user_database(auth, claims, now)


def user_database(auth: Auth, claims: Claims, now: datetime) -> UserDatabase:
    """Return the database of the user whom valid claims name."""
    return UserDatabase(auth.database, Principal(claims.user_id, claims.session_id, claims.token_version, now))


def read_expired_too(auth: Auth, token: str | None, kind: TokenType, now: datetime) -> Claims | None:
    """Return the claims of a genuine token, expired or not; None without one."""
    try:
        return auth.tokens.read(token, kind, now, expired_too=True) if token else None
    except InvalidToken:
        return None
