"""What changing and leaving one's own account means, and which errors there are, in order."""

from contextlib import suppress

from app.accounts import repository as account_repository
from app.accounts.common_passwords import is_common
from app.accounts.errors import CommonPassword
from app.accounts.leaving import end_made_before, finish
from app.accounts.proving import guessing, prove
from app.auth.active_session import UserRow
from app.auth.auth import Auth
from app.auth.errors import InvalidToken
from app.auth.notices import OwnersNotice
from app.auth.proof import Given
from app.auth.tokens import TokenPair
from app.auth.user_database import UserDatabase
from app.core.database.connection import Transaction
from app.core.errors import ServiceUnavailable
from app.sessions.service import renew_session

RESET = "password-reset"


async def change_name(auth: Auth, db: UserDatabase, name: str | None) -> UserRow:
    """Rename the user. Raises: InvalidToken. Source: FR-053."""
    version = (await db.get_credentials()).password_version
    user = await account_repository.update_name(
        auth.database, db.principal.user_id, password_version=version, name=name, now=db.principal.now
    )
    if user is None:
        raise InvalidToken
    return user


async def change_password(auth: Auth, db: UserDatabase, address: str, *, proof: Given, new: str) -> TokenPair:
    """Change the password, end every other session and return new tokens of this one.

    Raises: InvalidToken, CommonPassword, and what `prove` raises. Of several at once one wins, the others find their
    session's tokens out of date. If the session is signed out in the same moment, the password stays.
    Source: FR-054, ASVS 5.0 6.2.3, 7.4.3.
    """
    credentials, principal = await db.get_credentials(), db.principal
    if auth.settings.common_passwords == "refuse" and is_common(new, credentials.email):
        raise CommonPassword("new_password")
    use = await prove(auth, db, credentials, proof, address, act="password")
    new_hash = await auth.passwords.hash(new, client=address)
    await use()

    async def change(transaction: Transaction) -> TokenPair:
        version = await account_repository.change_password(
            transaction, principal, password_version=credentials.password_version, new_hash=new_hash
        )
        if version is None:
            raise InvalidToken
        return await renew_session(auth, transaction, principal, version)

    pair = await auth.database.transact(change)
    auth.record("password_changed", user_id=principal.user_id, session_id=principal.session_id)
    auth.tell_owner(OwnersNotice("password_changed", principal.user_id, credentials.email))
    return pair


async def delete_account(auth: Auth, db: UserDatabase, address: str, *, proof: Given) -> None:
    """Delete the account and all that belongs to it. Raises: InvalidToken, and what `prove` raises.

    It is closed at once. If the rest is interrupted, `prune` finishes it. Source: FR-055.
    """
    credentials, principal = await db.get_credentials(), db.principal
    use = await prove(auth, db, credentials, proof, address, act="delete")
    await use()
    version = credentials.password_version
    if not await account_repository.leave(auth.database, principal, password_version=version):
        raise InvalidToken
    await finish(auth.database, auth.belongings, principal.user_id)
    auth.record("account_deleted", user_id=principal.user_id, session_id=principal.session_id)
    with suppress(ServiceUnavailable):  # the account is deleted, and nobody can ask for it again
        await auth.limiter.clear("signin-account", credentials.email)


async def reset_password(auth: Auth, address: str, *, token: str, new: str) -> None:
    """Change the password by an operator's link, or one by mail. Raises: InvalidToken, TooManyRequests, CommonPassword.

    One by mail proves the mailbox, and is good while the account has its address. A hash is made whether the account is
    there or not, so that the time of an answer tells nothing. Source: FR-056.
    """
    now = auth.clock()
    claims = auth.tokens.read(token, "reset", now)
    attempt = guessing(auth, RESET, claims.user_id)
    with auth.recording_limit("reset_limited", claims.user_id):
        async with attempt.counted():
            found = await account_repository.select_addressee(auth.database, claims)
            if found and auth.settings.common_passwords == "refuse" and is_common(new, found.email):
                raise CommonPassword("new_password")
            new_hash = await auth.passwords.hash(new, client=address)

    async def change(transaction: Transaction) -> None:
        if not found or not await account_repository.reset_password(
            transaction, claims, password_version=found.password_version, new_hash=new_hash, now=now
        ):
            raise InvalidToken
        await end_made_before(transaction, auth.ended_by_reset, claims.user_id)

    await auth.database.transact(change)
    auth.record("password_reset", user_id=claims.user_id)
    assert found
    auth.tell_owner(OwnersNotice("password_changed", claims.user_id, found.email))
    with suppress(ServiceUnavailable):  # the link is used
        await attempt.succeed()
