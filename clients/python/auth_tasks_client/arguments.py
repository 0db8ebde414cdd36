"""The arguments of the command line."""

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

from auth_tasks_client.script import SCOPES
from auth_tasks_client.terminal import print_lines

STATUSES = ("pending", "in_progress", "completed")
PRIORITIES = ("low", "medium", "high")
_ID = "the task's id or its beginning, as `list` shows it"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _version() -> str:
    try:
        return version("auth-tasks-client")
    except PackageNotFoundError:
        return "not installed"


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help as all else; argparse's own way takes a full disk for a success."""
        print_lines(message.splitlines(), error=file is not sys.stdout)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the commands."""
    parser: argparse.ArgumentParser = _Parser(
        prog="auth-tasks",
        description="Your tasks. `auth-tasks COMMAND --help` explains a command.",
        epilog="For a start: auth-tasks signup ada@example.com --url http://127.0.0.1:8000",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _describe_account(commands)
    _describe_scripts(commands)
    _describe_tasks(commands)
    _describe_copy(commands)
    return parser


def _add(commands: Commands, name: str, text: str, example: str, *older_names: str) -> argparse.ArgumentParser:
    command = _add_group(commands, name, text, example, *older_names)
    command.add_argument(
        "--url", default=os.environ.get("AUTH_TASKS_URL"), help="where the service is; by default where you signed in"
    )
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return command


def _add_group(commands: Commands, name: str, text: str, example: str, *older_names: str) -> argparse.ArgumentParser:
    """Add a command with no arguments of its own."""
    return commands.add_parser(
        name.rpartition(" ")[2],
        aliases=older_names,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"Example: auth-tasks {name} {example}".strip(),
    )


def _describe_account(commands: Commands) -> None:
    signup = _add(commands, "signup", "make an account, and sign in", "ada@example.com --url http://127.0.0.1:8000")
    signup.add_argument("--name", help="what you are called")
    signin = _add(commands, "signin", "sign in", "ada@example.com")
    for command in (signup, signin):
        command.add_argument("email", help="the e-mail address of the account")
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    sessions = _add(commands, "sessions", "show where you are signed in, or end sessions", "--end 3f2a")
    sessions.add_argument("--end", metavar="ID", help="sign this device out; the id or its beginning")
    sessions.add_argument("--end-others", action="store_true", help="sign every other device out")
    changes = "change the password, and sign every other device out"
    password = _add(commands, "password", changes, "--forgot ada@example.com", "passwd")
    how = password.add_mutually_exclusive_group()
    how.add_argument("--forgot", metavar="EMAIL", help="let a link for a new one be mailed to your address")
    how.add_argument("--link", action="store_true", help="choose a new one by a link that was mailed to you")
    email = _add(commands, "email", "show the address of the account, prove or change it", "--new ada@example.net")
    what = email.add_mutually_exclusive_group()
    what.add_argument("--verify", action="store_true", help="let a link be mailed to it, which proves it")
    what.add_argument("--new", metavar="EMAIL", help="let a link be mailed to a new address, which replaces it")
    what.add_argument("--link", action="store_true", help="use a link that was mailed to you")
    delete = _add(commands, "delete", "delete the account and all of its tasks", "")
    for command in (password, email, delete):
        command.add_argument("--password-stdin", action="store_true", help="read a line for each password, or link")
    signout = _add(commands, "signout", "sign out, and delete the copy on this device", "--everywhere")
    signout.add_argument("--everywhere", action="store_true", help="sign every other device out too")
    signout.add_argument("--discard", action="store_true", help="also delete what the server does not have yet")


def _describe_scripts(commands: Commands) -> None:
    example = "backup --scope tasks:read --days 90"
    text = "make, list and end tokens for scripts, which have them as AUTH_TASKS_TOKEN"
    token = _add_group(commands, "token", text, f"create {example}")
    acts = token.add_subparsers(dest="act", metavar="ACT", required=True, help="what to do; each has a --help")
    create = _add(acts, "token create", "make a token for a script, which is shown once", example)
    create.add_argument("name", help="what the list of sessions calls it")
    create.add_argument("--scope", action="append", required=True, choices=SCOPES, help="what it may do; once for each")
    create.add_argument("--days", type=int, required=True, help="how long it may, 1 to 365")
    create.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    _add(acts, "token list", "show the tokens of scripts", "")
    end = _add(acts, "token end", "end a script's token", "3f2a")
    end.add_argument("id", help="the token's id or its beginning, as `token list` shows it")


def _describe_tasks(commands: Commands) -> None:
    listing = _add(commands, "list", "show the tasks, newest first", "--status pending --q water")
    listing.add_argument("--q", metavar="TEXT", help="only titles that contain this")
    add = _add(commands, "add", "add a task", '"Water the plants" --priority high')
    add.add_argument("title", help="what is to be done; in quotes if it has blanks")
    edit = _add(commands, "edit", "change a task", '3f2a --title "Water the fern"')
    edit.add_argument("id", help=_ID)
    edit.add_argument("--title", help="what is to be done")
    for command in (add, edit):
        command.add_argument("--description", help="more about it")
    for command in (listing, add, edit):
        only = "only tasks of this " if command is listing else "its "
        command.add_argument("--priority", choices=PRIORITIES, help=f"{only}priority")
        command.add_argument("--status", choices=STATUSES, help=f"{only}status")
    for name, text in (
        ("done", "mark a task completed"),
        ("undo", "mark a task not completed"),
        ("rm", "delete a task"),
    ):
        _add(commands, name, text, "3f2a").add_argument("id", help=_ID)


def _describe_copy(commands: Commands) -> None:
    sync = _add(commands, "sync", "keep a copy of the tasks on this device, and work offline", "--follow")
    sync.add_argument("--follow", action="store_true", help="go on for ever, and show what happens as it happens")
    _add(commands, "watch", "show what happens from now on, as it happens", "")
    _add(commands, "conflicts", "show the changes that the server did not take", "")
    keep = _add(commands, "keep", "end a conflict", "1 --mine")
    keep.add_argument("number", type=int, help="as `conflicts` shows it")
    whose = keep.add_mutually_exclusive_group(required=True)
    whose.add_argument("--mine", action="store_true", help="make the change over what the server has")
    whose.add_argument("--theirs", action="store_true", help="let the change be")


class Unclear(Exception):
    """The arguments name no task, or more than one."""


def only(kind: str, rows: list[dict[str, Any]], beginning: str) -> str:
    """Return the id that begins like this. Raises: Unclear."""
    ids = [str(row["id"]) for row in rows if str(row["id"]).startswith(beginning.lower())]
    if len(ids) != 1:
        raise Unclear(f"{len(ids)} {kind}s have an id that begins with {beginning}." if ids else f"No such {kind}.")
    return ids[0]


def given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of these names that somebody has given."""
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
