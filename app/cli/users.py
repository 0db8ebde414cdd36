"""`users`: list, deactivate, activate, sign out or delete accounts."""

from app.auth import accounts_admin
from app.cli.database import reachable_database, run_with_pool
from app.cli.serve import echo
from app.core.clock import system_clock
from app.core.config import Settings
from app.core.database.pool import Database

_CHANGES = {
    "deactivate": accounts_admin.deactivate,
    "activate": accounts_admin.activate,
    "signout": accounts_admin.sign_out,
    "delete": accounts_admin.delete,
}


def list_users(settings: Settings) -> None:
    """Print every account."""
    with reachable_database(settings) as ready:
        run_with_pool(ready, _list_users)


async def _list_users(database: Database) -> None:
    async for user in accounts_admin.list_users(database):
        state = "active" if user.is_active else "inactive"
        print(f"{user.created_at:%Y-%m-%d}  {state:<8}  {user.email}" + (f"  ({user.name})" if user.name else ""))


def change_user(settings: Settings, action: str, email: str) -> None:
    """Do one of `_CHANGES`."""
    with reachable_database(settings) as ready:
        run_with_pool(ready, lambda database: _CHANGES[action](database, email, system_clock()))
        echo(f"Done: {action} {email}.")
