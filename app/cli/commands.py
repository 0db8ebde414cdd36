"""The commands of `python -m app`, each imported when it is run: the process that serves needs few of them."""

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from app import __version__
from app.core.config import Settings, load_settings
from app.core.logging import configure_logging
from app.core.operator_error import OperatorError
from app.core.settings_file import name_settings


def print_secret() -> None:
    """Print 48 random bytes as text."""
    print(secrets.token_urlsafe(48))


def print_openapi() -> None:
    """Print the document that clients are generated from."""
    from app.main import create_app

    settings = Settings(
        _env_file=None,
        better_auth_secret="only-to-print-the-document-" + "0" * 32,
        database_url="postgresql://localhost/none",
    )
    document = json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False)
    sys.stdout.buffer.write(f"{document}\n".encode())  # JSON is UTF-8, whatever the terminal is


# What is named by text is a function of the settings and of what was given.
COMMANDS: dict[str, tuple[str | Callable[[], None], str]] = {
    "serve": ("app.cli.serve:serve", "Serve until Ctrl-C or SIGTERM."),
    "migrate": (
        "app.cli.database:migrate",
        "Bring the database to this code's schema; safe to run on several machines at once.",
    ),
    "distribute": (
        "app.cli.database:distribute",
        "Divide the tables among the nodes of a database with the Citus extension.",
    ),
    "prune": (
        "app.cli.database:prune",
        "Delete the denylist rows, sessions, tombstones and counters that nothing needs any more.",
    ),
    "doctor": ("app.cli.doctor:doctor", "Check what the service stands on, and say what to do."),
    "dump": ("app.cli.database:dump", "Write the whole database into a new file."),
    "restore": (
        "app.cli.database:restore",
        "Replace what is in the database by what is in a file, and sign everybody out.",
    ),
    "openapi": (print_openapi, "Print the OpenAPI document, the same on every machine."),
    "secret": (print_secret, "Print a new secret for BETTER_AUTH_SECRET."),
}
USER_ACTIONS = {
    "list": ("app.cli.users:list_users", "Print every account."),
    "sessions": ("app.cli.users:list_sessions", "Print the sessions in which the owner of an account is signed in."),
    "reset": (
        "app.cli.users:make_reset_link",
        "Print a link with which the owner of an account chooses a new password.",
    ),
    "deactivate": ("app.cli.users:deactivate", "Close an account and end its sessions for good."),
    "activate": ("app.cli.users:activate", "Let the owner of a closed account sign in again."),
    "signout": ("app.cli.users:sign_out", "End every session of an account."),
    "delete": ("app.cli.users:delete", "Delete an account with all of its tasks."),
    "history": (
        "app.cli.users:print_history",
        "Print what log files tell of an account: why was its owner signed out?",
    ),
    "export": ("app.cli.moving:export_user", "Print all that is known of the owner of an account, as JSON."),
    "import": ("app.cli.moving:import_users", "Take in the accounts of another system, with their passwords."),
}


def make_parser() -> argparse.ArgumentParser:
    """Describe the commands; each puts into `run` what is to be done."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Accounts, tokens and private task lists.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--env-file", metavar="FILE", help="Read the settings there, not in .env.")
    commands = parser.add_subparsers(required=True)
    for name, (run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        _add_options(command, name)
    users = commands.add_parser("users", help="List accounts, look at one, close, open or delete it, end sessions.")
    actions = users.add_subparsers(required=True)
    for name, (run, text) in USER_ACTIONS.items():
        action = actions.add_parser(name, help=text)
        action.set_defaults(run=run)
        if name == "signout":
            which = action.add_mutually_exclusive_group(required=True)
            which.add_argument("email", nargs="?")
            everybody = "End every session of every account."
            which.add_argument("--all", dest="everybody", action="store_true", help=everybody)
        elif name == "import":
            columns = "CSV whose first line names its columns, or a JSON object a line: email, name, hash, created_at."
            action.add_argument("file", type=Path, help=columns)
            reset = "Take accounts whose hash cannot be verified, too: their owners choose a new password by a link."
            action.add_argument("--without-password", action="store_true", help=reset)
        elif name != "list":
            action.add_argument("email")
        if name == "history":
            action.add_argument("files", nargs="+", type=Path, help="Log files, .gz too; - is standard input.")
    mail = commands.add_parser("mail", help="Find out whether mails arrive.")
    test = mail.add_subparsers(required=True).add_parser("test", help="Send a mail to an address.")
    test.set_defaults(run="app.cli.mail:send_test")
    test.add_argument("address")
    return parser


def _add_options(command: argparse.ArgumentParser, name: str) -> None:
    """Add what a command can be given."""
    if name in ("dump", "restore"):
        command.add_argument("file", type=Path)
    if name == "serve":
        command.add_argument("--reload", action="store_true", help="Start anew whenever the code changes.")
    if name == "distribute":
        command.add_argument("--shards", type=int, help="So many parts gets each table, for so many nodes.")
    if name == "migrate":
        beside = "Do it though processes of 1.0 run, which end every session that is refreshed."
        command.add_argument("--beside-1.0", dest="beside_older", action="store_true", help=beside)


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 1 and a sentence when it cannot."""
    given = vars(make_parser().parse_args(arguments))
    run = given.pop("run")
    try:
        name_settings(given.pop("env_file"))
        if callable(run):
            run()
        else:
            settings = load_settings()
            configure_logging("ERROR", "console")  # `serve` sets its own
            resolve_name(run)(settings, **given)
    except OperatorError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
