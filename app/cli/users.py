"""`users`: list, deactivate, activate, sign out or delete accounts, and look at one."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from app.accounts import admin as accounts_admin
from app.accounts.repository import END_EVERY_SESSION
from app.auth.tokens import RESET_SECONDS, make_codec
from app.belongings import BELONGINGS
from app.cli.database import reachable_database, run_with_pool, wake_every_stream
from app.cli.serve import echo
from app.cli.trail import record
from app.core.clock import system_clock
from app.core.config import Settings
from app.core.database.pool import Database
from app.core.fields import UUID_TEXT
from app.core.logging import plain
from app.core.operator_error import OperatorError
from app.operations.distribution import change_every_row
from app.operations.history import read_history
from app.operations.maintenance import run_without_timeouts
from app.tasks.changes_repository import END_EPOCH


def list_users(settings: Settings) -> None:
    """Print every account."""
    with reachable_database(settings) as ready:
        run_with_pool(ready, _list_users)


async def _list_users(database: Database) -> None:
    async for user, is_active in accounts_admin.list_users(database):
        state = "active" if is_active else "inactive"
        line = f"{user.created_at:%Y-%m-%d}  {state:<8}  {user.id}  {user.email}"
        line += f"  ({user.name})" if user.name else ""
        print(plain(line))


def list_sessions(settings: Settings, email: str) -> None:
    """Print the sessions in which the owner of an account is signed in, newest first."""
    with reachable_database(settings) as ready:
        lifetime = timedelta(seconds=ready.refresh_token_seconds)
        now = system_clock()
        work = partial(accounts_admin.list_sessions, email=email, oldest=now - lifetime, now=now)
        for session in run_with_pool(ready, work):
            began, used = (f"{moment:%Y-%m-%d %H:%M}" for moment in (session.created_at, session.last_used_at))
            ends = f"  script until {session.expires_at:%Y-%m-%d}" if session.expires_at else ""
            print(plain(f"{session.id}  began {began}  used {used}{ends}  {session.device or ''}".rstrip()))


def make_reset_link(settings: Settings, email: str) -> None:
    """Print a link with which the owner of an account chooses a new password, and the token that is in it."""
    with reachable_database(settings) as ready:
        work = partial(accounts_admin.make_reset_token, tokens=make_codec(ready), email=email, now=system_clock())
        user_id, token = run_with_pool(ready, work)
        pages = [origin for origin in ready.frontend_url if origin.startswith("http")]
        for page in pages[:1]:
            print(f"{page}/reset#token={token}")
        print(token)
        record("reset_link_made", user_id=user_id)
        echo(f"Good for {RESET_SECONDS // 60} minutes and one use. Hand it over so that nobody else can read it.")


Change = Callable[[Database, str], Coroutine[Any, Any, UUID]]


def _change(name: str, event: str, change: Change, settings: Settings, email: str) -> None:
    with reachable_database(settings) as ready:
        user_id = run_with_pool(ready, lambda database: change(database, email))
        record(event, user_id=user_id)
        echo(f"Done: {name} {email} ({user_id}).")


deactivate = partial(_change, "deactivate", "account_closed", accounts_admin.deactivate)
activate = partial(_change, "activate", "account_opened", accounts_admin.activate)
delete = partial(_change, "delete", "account_deleted", partial(accounts_admin.delete, belongings=BELONGINGS))


def sign_out(settings: Settings, email: str, *, everybody: bool) -> None:
    """End every session of an account, or of every account."""
    if everybody:
        _sign_everybody_out(settings)
    else:
        _change("signout", "signed_out_everywhere", accounts_admin.sign_out, settings, email)


def _sign_everybody_out(settings: Settings) -> None:
    """End every session, and let every client that keeps a copy read everything again."""
    with reachable_database(settings) as ready:
        count, failed = change_every_row(ready.dsn, "user_state", END_EVERY_SESSION)
        record("everybody_signed_out")
        if failed:
            raise OperatorError(f"Signed out {count:,} accounts, not those of {'; '.join(failed)}. Do it again later.")
        run_without_timeouts(ready.dsn, END_EPOCH)
        wake_every_stream(ready)
        echo(f"Done: signed out {count:,} accounts.")


def print_history(settings: Settings, email: str, files: list[Path]) -> None:
    """Print what log files tell of an account, by its e-mail address or, when it is deleted, by its id."""
    if UUID_TEXT.fullmatch(email):
        user_id = UUID(email)
    else:
        with reachable_database(settings) as ready:
            user_id = run_with_pool(ready, lambda database: accounts_admin.find(database, email))
    events = read_history(files, user_id)
    for event in events:
        print(plain(event))
    if not events:
        echo(f"These files tell nothing of {user_id}.")
