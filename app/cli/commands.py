"""The commands of `python -m app`, each imported when it is run: the process that serves needs few of them."""

import argparse
from collections.abc import Callable
from pathlib import Path

from app import __version__
from app.core.config import load_settings
from app.core.operator_error import OperatorError

Given = argparse.Namespace


def _serve(given: Given) -> None:
    from app.cli.serve import serve

    serve(load_settings())


def _doctor(given: Given) -> None:
    from app.cli.doctor import doctor

    doctor(load_settings())


def _migrate(given: Given) -> None:
    from app.cli.database import migrate

    migrate(load_settings())


def _distribute(given: Given) -> None:
    from app.cli.database import distribute

    distribute(load_settings())


def _prune(given: Given) -> None:
    from app.cli.database import prune

    prune(load_settings())


def _dump(given: Given) -> None:
    from app.cli.database import dump

    dump(load_settings(), given.file)


def _restore(given: Given) -> None:
    from app.cli.database import restore

    restore(load_settings(), given.file)


def _list_users(given: Given) -> None:
    from app.cli.users import list_users

    list_users(load_settings())


def _change_user(given: Given) -> None:
    from app.cli.users import change_user

    change_user(load_settings(), given.action, given.email)


def _list_sessions(given: Given) -> None:
    from app.cli.users import list_sessions

    list_sessions(load_settings(), given.email)


def _make_reset_link(given: Given) -> None:
    from app.cli.users import make_reset_link

    make_reset_link(load_settings(), given.email)


def _sign_everybody_out(given: Given) -> None:
    from app.cli.users import sign_everybody_out

    sign_everybody_out(load_settings())


def _openapi(given: Given) -> None:
    from app.cli.openapi import print_openapi

    print_openapi()


def _secret(given: Given) -> None:
    from app.cli.secret import print_secret

    print_secret()


COMMANDS: dict[str, tuple[Callable[[Given], None], str]] = {
    "serve": (_serve, "Serve until Ctrl-C or SIGTERM."),
    "migrate": (_migrate, "Bring the database to this code's schema; safe to run on several machines at once."),
    "distribute": (_distribute, "Divide the tables among the nodes of a database with the Citus extension."),
    "prune": (_prune, "Delete the denylist rows, sessions, tombstones and counters that nothing needs any more."),
    "doctor": (_doctor, "Check what the service stands on, and say what to do."),
    "dump": (_dump, "Write the whole database into a new file."),
    "restore": (_restore, "Replace what is in the database by what is in a file, and sign everybody out."),
    "openapi": (_openapi, "Print the OpenAPI document, the same on every machine."),
    "secret": (_secret, "Print a new secret for BETTER_AUTH_SECRET."),
}
USER_ACTIONS: dict[str, tuple[Callable[[Given], None], str]] = {
    "sessions": (_list_sessions, "Print the sessions in which the owner of an account is signed in."),
    "reset": (_make_reset_link, "Print a link with which the owner of an account chooses a new password."),
    "deactivate": (_change_user, "Close an account and end its sessions for good."),
    "activate": (_change_user, "Let the owner of a closed account sign in again."),
    "signout": (_change_user, "End every session of an account."),
    "delete": (_change_user, "Delete an account with all of its tasks."),
}


def make_parser() -> argparse.ArgumentParser:
    """Describe the commands; each puts into `run` what is to be done."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Accounts, tokens and private task lists.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True)
    for name, (run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        if name in ("dump", "restore"):
            command.add_argument("file", type=Path)
    users = commands.add_parser("users", help="List accounts, look at one, close, open or delete it, end sessions.")
    _describe_users(users.add_subparsers(dest="action", required=True))
    return parser


def _describe_users(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions.add_parser("list", help="Print every account.").set_defaults(run=_list_users)
    for action, (run, text) in USER_ACTIONS.items():
        command = actions.add_parser(action, help=text)
        command.set_defaults(run=run)
        which = command.add_mutually_exclusive_group(required=True) if action == "signout" else command
        which.add_argument("email", nargs="?" if action == "signout" else None)
        if action == "signout":
            everybody = "End every session of every account."
            which.add_argument("--all", dest="run", action="store_const", const=_sign_everybody_out, help=everybody)


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits with 1 and a sentence when it cannot."""
    given = make_parser().parse_args(arguments)
    try:
        given.run(given)
    except OperatorError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
