"""What signing up, in and out and refreshing mean, and which errors there are, in order. No HTTP, no SQL."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from app.accounts import repository
from app.accounts.common_passwords import is_common
from app.accounts.emails import normalise_email
from app.auth.active_session import UserRow
from app.auth.errors import CommonPassword, EmailTaken, InvalidCredentials, InvalidToken, NotAuthenticated
from app.auth.events import logger
from app.auth.passwords import PasswordHasher
from app.auth.principal import Principal
from app.auth.tokens import Claims, TokenCodec, TokenPair, TokenType
from app.auth.user_database import UserDatabase
from app.core.clock import Clock
from app.core.config import Settings
from app.core.database.pool import Database, DatabaseUnavailable
from app.core.errors import TooManyRequests
from app.core.rate_limits.limiter import RateLimiter
from app.sessions import denylist, lifetimes
from app.sessions import repository as sessions


class NewSession(NamedTuple):
    """An account and the tokens of its new session."""

    user: UserRow
    tokens: TokenPair


class AuthService:
    """The operations of accounts and sessions, and what they work with."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        tokens: TokenCodec,
        passwords: PasswordHasher,
        limiter: RateLimiter,
        clock: Clock,
        record_event: Callable[[str], None],
    ) -> None:
        self.database = database
        self.settings = settings
        self.tokens = tokens
        self.passwords = passwords
        self.limiter = limiter
        self.clock = clock
        self.record_event = record_event
        self.lifetime = timedelta(seconds=settings.refresh_token_seconds)

    async def sign_up(
        self, address: str, *, email: str, password: str, name: str | None, device: str | None
    ) -> NewSession:
        """Make an account and open its first session. Raises: TooManyRequests, CommonPassword, EmailTaken.

        If the database fails between the two, there is the account, and its owner signs in. Source: FR-001, FR-005.
        """
        await self.limiter.hit("signup-address", address, self.settings.rate_limit_signup_address)
        if self.settings.common_passwords == "refuse" and is_common(password, email):
            raise CommonPassword
        # Before the insert, so that a taken e-mail takes as long.
        password_hash = await self.passwords.hash(password, client=address)
        user = await repository.insert_user(
            self.database, uuid4(), email=email, name=name, password_hash=password_hash, now=self.clock()
        )
        if user is None:
            raise EmailTaken
        logger.info("signed_up", extra={"user_id": user.id})
        return await self._begin_session(user, 0, device)

    async def sign_in(
        self, address: str, *, email: str, password: str, device: str | None, refresh_token: str | None = None
    ) -> NewSession:
        """Open a session. Raises: TooManyRequests, InvalidCredentials. Source: FR-006, NFR-005.

        A device that presents a refresh token of the account, used or expired, has signed in before.
        """
        email = normalise_email(email) or ""
        await self.limiter.hit("signin-address", address, self.settings.rate_limit_signin_address)
        account = await repository.select_account(self.database, email, dummy_hash=self.passwords.dummy_hash)
        counter = self._attempt_counter(account.id, email, refresh_token)
        await self._count_attempt(address, counter)
        verified = await self.passwords.verify(password, account.password_hash, client=address)
        if not account.known or not account.is_active or not verified.correct:
            logger.warning("sign_in_failed", extra={"user_id": account.id, "address": address})
            self.record_event("sign_in_failed")
            raise InvalidCredentials
        await self.limiter.clear(*counter)
        await self.limiter.give_back("signin-address", address)
        if verified.new_hash:
            with suppress(DatabaseUnavailable):  # the old one is good, and the next sign-in tries again
                await repository.update_password_hash(
                    self.database, account.id, old_hash=account.password_hash, new_hash=verified.new_hash
                )
        logger.info("signed_in", extra={"user_id": account.id, "address": address})
        user = UserRow(account.id, account.email, account.name, account.created_at)
        return await self._begin_session(user, account.token_version, device)

    def _attempt_counter(self, account_id: UUID, email: str, refresh_token: str | None) -> tuple[str, str]:
        """Return the counter of failures: the account's, or that of a known device, which strangers cannot lock."""
        claims = self._read_expired_too(refresh_token, "refresh", self.clock())
        if claims and claims.user_id == account_id:
            return "signin-device", str(claims.session_id)
        return "signin-account", email

    async def _count_attempt(self, address: str, counter: tuple[str, str]) -> None:
        """Count before the hash, so that simultaneous attempts cannot slip through together."""
        try:
            await self.limiter.hit(*counter, self.settings.rate_limit_signin_account)
        except TooManyRequests:
            # No password was tried: one locked account must not lock the office behind this address.
            await self.limiter.give_back("signin-address", address)
            logger.warning("sign_in_locked", extra={"address": address})
            self.record_event("sign_in_locked")
            raise

    async def _begin_session(self, user: UserRow, version: int, device: str | None) -> NewSession:
        """Write a session down and issue its tokens, in this order: what its owner cannot see and end must not be.

        Raises: InvalidCredentials if the account was changed while the password was verified.
        """
        principal = Principal(user.id, uuid4(), version, self.clock())
        if not await sessions.insert_session(self.database, principal, device=device):
            raise InvalidCredentials
        if principal.session_id.int % lifetimes.PRUNE_EVERY == 0:
            with suppress(DatabaseUnavailable):  # the session is written down, and its tokens must be sent
                await sessions.delete_old_sessions_of(
                    self.database, user.id, kept=lifetimes.kept_after_use(self.settings)
                )
        pair = self.tokens.issue(user.id, principal.session_id, version, refresh_id=uuid4(), now=principal.now)
        return NewSession(user, pair)

    async def sign_out(
        self, access_token: str | None, refresh_token: str | None, *, everywhere: bool, others: bool
    ) -> None:
        """End the sessions that the tokens belong to, expired or not; or all but the first one's.

        Raises: NotAuthenticated without a token, InvalidToken if none of those given is valid.
        A refresh token of another user than the access token's is ignored. Source: FR-012, FR-057, RFC 7009 2.2.
        """
        now = self.clock()
        given: list[tuple[str | None, TokenType]] = [(access_token, "access"), (refresh_token, "refresh")]
        valid = [claims for token, kind in given if (claims := self._read_expired_too(token, kind, now))]
        if not valid:
            raise InvalidToken if access_token or refresh_token else NotAuthenticated
        first = valid[0]
        if others and not everywhere:
            await self._end_others(first, now)
            return
        given_sessions = {claims.session_id: claims for claims in valid if claims.user_id == first.user_id}
        for claims in given_sessions.values():
            if everywhere:
                await repository.update_token_version(self.database, claims, now)
            await self.end_session(claims, "signed_out", now)
        logger.info("signed_out", extra={"user_id": first.user_id, "everywhere": everywhere})

    async def _end_others(self, claims: Claims, now: datetime) -> None:
        ended = await sessions.end_others(
            self.database, claims, now, oldest=now - self.lifetime, expires_at=now + lifetimes.ENDED_SESSION_KEPT
        )
        if ended:
            logger.info("session_ended", extra={"user_id": claims.user_id, "others": ended})
            self.record_event("session_ended")

    async def end_session(self, claims: Claims, reason: denylist.Reason, now: datetime) -> bool:
        expires_at = now + lifetimes.ENDED_SESSION_KEPT
        return await denylist.insert_ended_session(self.database, claims, reason, now, expires_at=expires_at)

    def _read_expired_too(self, token: str | None, kind: TokenType, now: datetime) -> Claims | None:
        try:
            return self.tokens.read(token, kind, now, expired_too=True) if token else None
        except InvalidToken:
            return None

    def authenticate(self, access_token: str) -> UserDatabase:
        """Return the database of the user who sent this access token. Raises: InvalidToken. Source: FR-013, FR-014.

        Only its signature and its times are checked here, so that a forged one costs no connection.
        """
        now = self.clock()
        return self.user_database(self.tokens.read(access_token, "access", now), now)

    def user_database(self, claims: Claims, now: datetime) -> UserDatabase:
        principal = Principal(claims.user_id, claims.session_id, claims.token_version, now)
        return UserDatabase(self.database, principal)
