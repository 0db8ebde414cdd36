"""The proof that some requests take: a password or a passkey, for this act, in this session. Nothing is elevated.

Source: FR-065, ASVS 5.0 7.5.1.
"""

from uuid import UUID

from app.accounts.errors import PasskeysAreOff, WrongPassword
from app.auth.active_session import Credentials
from app.auth.auth import Auth
from app.auth.proof import Act, Given, Use
from app.auth.user_database import UserDatabase
from app.core.rate_limits.attempt import Attempt

# Apart from the counters of signing in: a stranger's failures there must not keep the owner from a new password.
OWN_PASSWORD = "own-password"


async def prove(auth: Auth, db: UserDatabase, credentials: Credentials, proof: Given, address: str, *, act: Act) -> Use:
    """Verify a proof, and return what uses it, once every other refusal has been looked for.

    Raises: InvalidToken, TooManyRequests, WrongPassword, WrongProof, PasskeysAreOff.
    """
    if proof.passkey is not None:
        if auth.prove_by_passkey is None:
            raise PasskeysAreOff
        return await auth.prove_by_passkey(auth, db, proof.passkey, act)
    await _check_password(auth, credentials, proof.password or "", address, field=proof.field)
    return _nothing


async def _nothing() -> None:
    """A password can be given again."""


async def _check_password(auth: Auth, credentials: Credentials, password: str, address: str, *, field: str) -> None:
    """Count before the hash, so that a stolen session cannot guess. Raises: TooManyRequests, WrongPassword."""
    attempt = guessing(auth, OWN_PASSWORD, credentials.id)
    with auth.recording_limit("own_password_limited", credentials.id):
        async with attempt.counted():
            verified = await auth.passwords.verify(password, credentials.password_hash, client=address)
    if not verified.correct:
        auth.record("own_password_wrong", user_id=credentials.id, actor="unknown")
        raise WrongPassword(field)
    await attempt.succeed()


def guessing(auth: Auth, name: str, user_id: UUID) -> Attempt:
    """Return a try that is counted by the account."""
    return Attempt(auth.limiter, name, str(user_id), auth.settings.rate_limit_signin_account)
