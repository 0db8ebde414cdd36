"""What an operator does with accounts: list, look at the sessions of one, deactivate, activate, sign out, delete."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from app.accounts import repository
from app.accounts.emails import normalise_email
from app.accounts.leaving import finish
from app.accounts.repository import ListedUser, State
from app.auth.tokens import TokenCodec
from app.core.database.pool import Database
from app.core.database.statement import Statement
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


class UserLeaving(OperatorError):
    """The account was closed for good."""

    def __init__(self, email: str) -> None:
        super().__init__(f"The account {email} is being deleted: `users delete` finishes that.")


async def list_users(database: Database) -> AsyncIterator[tuple[ListedUser, bool]]:
    """Yield every account in order of its e-mail address, however many there are, and whether it is active."""
    last = ""
    while batch := await repository.select_users(database, after=last, limit=BATCH):
        for listed in batch:
            yield listed
        last = batch[-1][0].email


async def list_sessions(database: Database, *, email: str, oldest: datetime, now: datetime) -> list[ListedSession]:
    """Return the living sessions of an account, those used since `oldest`, newest first. Raises: UserNotFound."""
    state = await _state(database, email)
    return newest_first(
        await select_living_of(database, state.user_id, token_version=state.token_version, oldest=oldest, now=now)
    )


async def find(database: Database, email: str) -> UUID:
    """Return the id of an account. Raises: UserNotFound."""
    account = await repository.select_account(database, _address(email), dummy_hash="")
    _found(account.known, email)
    return account.id


async def make_reset_token(database: Database, *, tokens: TokenCodec, email: str, now: datetime) -> tuple[UUID, str]:
    """Return the account's id, and a token with which its owner chooses a new password.

    Raises: UserNotFound, UserInactive. Source: FR-056.

    Nothing is stored: it is good as long as the account's version is what it names.
    """
    state = await _state(database, email)
    if not state.is_active:
        raise UserInactive(email)
    return state.user_id, tokens.issue_reset(state.user_id, state.token_version, now)


async def deactivate(database: Database, email: str) -> UUID:
    """Close an account and end its sessions for good. Return its id. Raises: UserNotFound, UserLeaving."""
    return await _open_or_close(database, email, is_active=False)


async def activate(database: Database, email: str) -> UUID:
    """Let its owner sign in again. Return the account's id. Raises: UserNotFound, UserLeaving."""
    return await _open_or_close(database, email, is_active=True)


async def _open_or_close(database: Database, email: str, *, is_active: bool) -> UUID:
    user_id = await find(database, email)
    if not await repository.update_active(database, user_id, is_active=is_active):
        raise UserLeaving(email)
    return user_id


async def sign_out(database: Database, email: str) -> UUID:
    """End every session of an account; its owner can sign in again. Return its id. Raises: UserNotFound."""
    user_id = await find(database, email)
    _found(await repository.end_sessions_of(database, user_id), email)
    return user_id


async def delete(database: Database, email: str, *, belongings: Sequence[Statement[UUID]]) -> UUID:
    """Delete an account with all that belongs to it, also one that was interrupted. Return its id.

    Raises: UserNotFound.
    """
    user_id = await find(database, email)
    _found(await repository.leave_for_operator(database, user_id), email)
    await finish(database, belongings, user_id)
    return user_id


async def _state(database: Database, email: str) -> State:
    state = await repository.select_state(database, await find(database, email))
    _found(state is not None, email)
    assert state
    return state


def _address(email: str) -> str:
    return normalise_email(email) or email


def _found(found: bool, email: str) -> None:
    if not found:
        raise UserNotFound(email)
