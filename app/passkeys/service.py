"""What signing in and proving by a passkey mean, and making and deleting one; which errors there are, in order."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from app.accounts.errors import WrongProof
from app.accounts.proving import prove
from app.auth.auth import Auth
from app.auth.notices import OwnersNotice
from app.auth.proof import Act, Assertion, Given, Use
from app.auth.user_database import UserDatabase
from app.core.config import Settings
from app.core.errors import ServiceUnavailable
from app.core.rate_limits.attempt import Attempt
from app.passkeys import options, repository
from app.passkeys.ceremonies import (
    NO_KEY,
    MadeKey,
    NotAccepted,
    RelyingParty,
    Signed,
    challenge_of,
    from_base64url,
    verify_assertion,
    verify_attestation,
)
from app.passkeys.challenges import Challenge, InvalidChallenge, make_challenges
from app.passkeys.errors import InvalidPasskey, PasskeyNotFound, PasskeyRefused, TooManyPasskeys
from app.passkeys.going_repository import ListedPasskey
from app.passkeys.repository import MAX_PASSKEYS, KeyOfUser
from app.passkeys.schemas import Attestation
from app.sessions.service import NewSession, begin_session, end_replaced, sessions_before

_USER_ID_BYTES = 16


class Passkeys:
    """The passkeys of one service: what they sign for, and the challenges that it gives them to sign."""

    def __init__(self, settings: Settings) -> None:
        domain = settings.passkey_domain
        assert domain
        self._party = RelyingParty(domain, list(settings.passkey_pages))
        self._name = settings.service_name or domain
        self._challenges = make_challenges(settings)

    def sign_in_options(self, auth: Auth) -> dict[str, Any]:
        """Return what anybody's browser is asked for, to sign in."""
        return options.request(self._party, self._challenges.make(auth.clock(), "signin"))

    async def sign_in(
        self,
        auth: Auth,
        address: str,
        *,
        assertion: Assertion,
        device: str | None,
        refresh_tokens: Sequence[str] = (),
    ) -> NewSession:
        """Open a session for the key's owner. Raises: TooManyRequests, PasskeyRefused.

        There is no account to guess at, so that only the address is counted.
        """
        by_address = Attempt(auth.limiter, "signin-address", address, auth.settings.rate_limit_signin_address)
        with auth.recording_limit("sign_in_locked", None):
            async with by_address.counted():
                session = await self._begin(auth, assertion, device)
        if session is None:
            raise PasskeyRefused
        user = session.user
        before = sessions_before(auth, user.id, refresh_tokens)
        with suppress(ServiceUnavailable):  # the session has begun
            await by_address.take_back()
            await end_replaced(auth, before)
        auth.record("signed_in", user_id=user.id, session_id=session.id, device=device, by="passkey")
        if not before:
            auth.tell_owner(OwnersNotice("signed_in", user.id, user.email, session.id, device))
        return session

    async def _begin(self, auth: Auth, assertion: Assertion, device: str | None) -> NewSession | None:
        """Open a session, or record why not: a key that is not known takes as long as one that has not signed this."""
        now = auth.clock()
        key: KeyOfUser | None = None
        with suppress(NotAccepted, InvalidChallenge):
            passkey_id = from_base64url(assertion.id)
            bytes_to_sign = challenge_of(assertion.response.clientDataJSON)
            challenge = self._challenges.read(bytes_to_sign, now, "signin")
            handle = from_base64url(assertion.response.userHandle or "")
            if len(handle) == _USER_ID_BYTES:
                key = await repository.select_for_sign_in(auth.database, UUID(bytes=handle), passkey_id)
            signed = verify_assertion(self._party, assertion, bytes_to_sign, key.public_key if key else NO_KEY)
            if key is None or not await repository.use_challenge(auth.database, key, challenge, now):
                raise NotAccepted
            if not await _count(auth, key.id, passkey_id, signed, now):
                raise NotAccepted
            version = key.passkey_version
            session = await begin_session(auth, key.user, begin=repository.BEGIN, version=version, device=device)
            if session:
                return session
        auth.record("sign_in_failed", user_id=key.id if key else None, actor="unknown", by="passkey")
        return None

    async def proof_options(self, auth: Auth, db: UserDatabase, act: Act) -> dict[str, Any]:
        """Return what the user's browser is asked for, to prove who asks for an act. Raises: InvalidToken."""
        keys = await repository.select_passkeys(db)
        challenge = self._challenges.make(db.principal.now, "proof", db.principal, act)
        return options.request(self._party, challenge, keys)

    async def prove(self, auth: Auth, db: UserDatabase, assertion: Assertion, act: Act) -> Use:
        """Verify a proof, and return what uses it. Raises: InvalidToken, WrongProof."""
        user_id, now = db.principal.user_id, db.principal.now
        try:
            passkey_id = from_base64url(assertion.id)
            bytes_to_sign = challenge_of(assertion.response.clientDataJSON)
            challenge = self._challenges.read(bytes_to_sign, now, "proof", db.principal, act)
            if assertion.response.userHandle and from_base64url(assertion.response.userHandle) != user_id.bytes:
                raise NotAccepted
            key = await repository.select_own(db, passkey_id)
            if key is None:
                raise NotAccepted
            signed = verify_assertion(self._party, assertion, bytes_to_sign, key.public_key)
        except (NotAccepted, InvalidChallenge):
            _record_wrong(auth, db)
            raise WrongProof from None

        async def use() -> None:
            if not await repository.use_challenge_in_session(db, challenge) or not await _count(
                auth, user_id, passkey_id, signed, now
            ):
                await db.get_credentials()  # of a session that has ended meanwhile, 401 comes first
                _record_wrong(auth, db)
                raise WrongProof

        return use

    async def list(self, db: UserDatabase) -> Sequence[ListedPasskey]:
        """Return the user's keys, oldest first. Raises: InvalidToken."""
        return await repository.select_passkeys(db)

    async def creation_options(self, auth: Auth, db: UserDatabase) -> dict[str, Any]:
        """Return what the user's browser is asked for, to make a key. Raises: InvalidToken."""
        user, keys = await db.get_user(), await repository.select_passkeys(db)
        challenge = self._challenges.make(db.principal.now, "make", db.principal)
        return options.creation(self._party, self._name, challenge, user, keys)

    async def make(
        self, auth: Auth, db: UserDatabase, address: str, *, attestation: Attestation, name: str | None, proof: Given
    ) -> ListedPasskey:
        """Keep a new key. Raises: InvalidToken, TooManyRequests, WrongPassword, WrongProof, InvalidPasskey,
        TooManyPasskeys.
        """
        credentials = await db.get_credentials()
        use = await prove(auth, db, credentials, proof, address, act="passkey")
        challenge, made = self._read_attestation(db, attestation)
        keys = await repository.select_passkeys(db)
        if attestation.id in [key.id for key in keys] or await repository.is_used(db, challenge):
            raise InvalidPasskey
        if len(keys) >= MAX_PASSKEYS:
            raise TooManyPasskeys
        await use()
        if not await repository.use_challenge_in_session(db, challenge):
            await db.get_credentials()
            raise InvalidPasskey
        created_at = await repository.insert_passkey(
            db, made.id, public_key=made.public_key, sign_count=made.sign_count, synced=made.synced, name=name
        )
        if created_at is None:
            await db.get_credentials()
            raise TooManyPasskeys
        auth.record("passkey_added", user_id=db.principal.user_id, session_id=db.principal.session_id)
        auth.tell_owner(OwnersNotice("passkey_added", db.principal.user_id, credentials.email))
        return ListedPasskey(attestation.id, name, created_at, None, made.synced)

    def _read_attestation(self, db: UserDatabase, attestation: Attestation) -> tuple[Challenge, MadeKey]:
        try:
            bytes_to_sign = challenge_of(attestation.response.clientDataJSON)
            challenge = self._challenges.read(bytes_to_sign, db.principal.now, "make", db.principal)
            return challenge, verify_attestation(self._party, attestation, bytes_to_sign)
        except (NotAccepted, InvalidChallenge):
            raise InvalidPasskey from None

    async def delete(self, auth: Auth, db: UserDatabase, address: str, *, passkey_id: str, proof: Given) -> None:
        """Delete a key. Raises: InvalidToken, TooManyRequests, WrongPassword, WrongProof, PasskeyNotFound."""
        use = await prove(auth, db, await db.get_credentials(), proof, address, act="passkey")
        if passkey_id not in [key.id for key in await repository.select_passkeys(db)]:
            raise PasskeyNotFound
        await use()
        if not await repository.delete_passkey(db, from_base64url(passkey_id)):
            raise PasskeyNotFound
        auth.record("passkey_deleted", user_id=db.principal.user_id, session_id=db.principal.session_id)


async def _count(auth: Auth, user_id: UUID, passkey_id: bytes, signed: Signed, now: datetime) -> bool:
    """Note that a key was used; record that there are two of it, if so."""
    counted = await repository.count_use(
        auth.database, user_id, passkey_id, sign_count=signed.sign_count, synced=signed.synced, now=now
    )
    if not counted and await repository.has_fallen_behind(
        auth.database, user_id, passkey_id, sign_count=signed.sign_count
    ):
        auth.record("passkey_copied", user_id=user_id, actor="unknown")
    return counted


def _record_wrong(auth: Auth, db: UserDatabase) -> None:
    auth.record("own_passkey_wrong", user_id=db.principal.user_id, session_id=db.principal.session_id, actor="unknown")
