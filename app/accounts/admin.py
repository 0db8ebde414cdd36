"""What an operator does with accounts: list, look at the sessions of one, deactivate, activate, sign out, delete."""

from collections.abc import AsyncIterator
from datetime import datetime

from app.accounts import repository
from app.accounts.emails import normalise_email
from app.accounts.repository import Account, ListedUser
from app.auth.tokens import TokenCodec
from app.core.database.pool import Database
from app.core.operator_error import OperatorError
from app.sessions.repository import ListedSession, select_living_of
from app.sessions.service import newest_first

BATCH = 500


class UserNotFound(OperatorError):
    """No account has this e-mail address."""

    def __init__(self, email: str) -> None:
        super().__init__(f"There is no account with the e-mail address {email}.")


class UserInactive(OperatorError):
    """The account is closed, so that a new password would not open it."""

    def __init__(self, email: str) -> None:
        super().__init__(f"The account {email} is deactivated: activate it first.")


async def list_users(database: Database) -> AsyncIterator[ListedUser]:
    """Yield every account in order of its e-mail address, however many there are."""
    last = ""
    while batch := await repository.select_users(database, after=last, limit=BATCH):
        for user in batch:
            yield user
        last = batch[-1].email


async def list_sessions(database: Database, *, email: str, oldest: datetime) -> list[ListedSession]:
    """Return the living sessions of an account, those used since `oldest`, newest first. Raises: UserNotFound."""
    account = await _account(database, email)
    return newest_first(
        await select_living_of(database, account.id, token_version=account.token_version, oldest=oldest)
    )


async def make_reset_token(database: Database, *, tokens: TokenCodec, email: str, now: datetime) -> str:
    """Return a token with which the owner chooses a new password. Raises: UserNotFound, UserInactive. Source: FR-056.

    Nothing is stored: it is good as long as the account's version is what it names.
    """
    account = await _account(database, email)
    if not account.is_active:
        raise UserInactive(email)
    return tokens.issue_reset(account.id, account.token_version, now)


async def deactivate(database: Database, email: str, now: datetime) -> None:
    """Close an account and end its sessions for good. Raises: UserNotFound."""
    _found(await repository.update_active(database, _address(email), is_active=False, now=now), email)


async def activate(database: Database, email: str, now: datetime) -> None:
    """Let its owner sign in again. Raises: UserNotFound."""
    _found(await repository.update_active(database, _address(email), is_active=True, now=now), email)


async def sign_out(database: Database, email: str, now: datetime) -> None:
    """End every session of an account; its owner can sign in again. Raises: UserNotFound."""
    _found(await repository.end_sessions_of(database, _address(email), now=now), email)


async def delete(database: Database, email: str, now: datetime) -> None:
    """Delete an account with all of its tasks. Raises: UserNotFound."""
    _found(await repository.delete_user(database, _address(email)), email)


async def _account(database: Database, email: str) -> Account:
    account = await repository.select_account(database, _address(email), dummy_hash="")
    _found(account.known, email)
    return account


def _address(email: str) -> str:
    return normalise_email(email) or email


def _found(found: bool, email: str) -> None:
    if not found:
        raise UserNotFound(email)
