"""`auth-tasks`, or `python -m auth_tasks_client`: tasks on the command line for people and, with --json, for scripts.

Exit codes: 0 the command was carried out; 1 the server answered with an error, or the id names no single task;
2 the command line or standard input is wrong; 3 nobody is signed in, or signing in failed; 4 the server cannot be
reached, did not answer or does not work at the moment; 5 the command was carried out, and its output cannot be written.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NoReturn
from uuid import UUID

import httpx

from auth_tasks_client.accounts import FOR_ACCOUNTS, TOKEN, run_for_account
from auth_tasks_client.api import ScriptClient, TaskOperations, TasksClient
from auth_tasks_client.arguments import Unclear, given, make_parser, only
from auth_tasks_client.auth import NOT_SENT
from auth_tasks_client.changes import FIELDS, Task
from auth_tasks_client.errors import ApiError, OtherAccount, OtherServer, SignedOut, TokenEnded
from auth_tasks_client.live import Told
from auth_tasks_client.local_copy import LocalCopy, NotSynchronised
from auth_tasks_client.offline import OfflineTasks, copy_of
from auth_tasks_client.origins import can_be_called, is_readable_on_the_way
from auth_tasks_client.showing import AFTER_LOSS, AFTER_LOST_CHANGE, show, show_told
from auth_tasks_client.store import default_store
from auth_tasks_client.sync import Synchronised
from auth_tasks_client.terminal import OutputLost, WrongUse, checked, print_lines

DONE, ERROR, WRONG_USE, SIGNED_OUT, UNREACHABLE, OUTPUT_LOST = range(6)
INTERRUPTED = 130
FOR_COPIES = ("sync", "conflicts", "keep")


def run(arguments: argparse.Namespace, client: TasksClient) -> Any:
    """Carry out one command and return what is to be shown."""
    _check(arguments, client.url)
    if arguments.command in ("signup", "signin"):
        _warn_of_readers(client.url, "password")
    else:
        client.check_server()
    if arguments.command in FOR_ACCOUNTS:
        return run_for_account(arguments, client)
    if arguments.command == "watch":
        _print_all(client.watch(), arguments)
    with copy_of(client, make=arguments.command == "sync") as copy:
        if copy:
            client.check_copy(copy)
        if arguments.command in FOR_COPIES:
            return _run_for_copy(arguments, client, copy)
        if copy is None:
            return _run_for_tasks(arguments, client, client.tasks)
        tasks = OfflineTasks(client, copy)
        try:
            return _run_for_tasks(arguments, tasks, copy.tasks)
        finally:
            print_lines(tasks.said, error=True)


def run_as_script(arguments: argparse.Namespace, token: str) -> Any:
    """Carry out one command with a script's token alone: what is stored on this device is neither read nor written."""
    if arguments.command in FOR_ACCOUNTS:
        raise WrongUse(f"`{arguments.command}` is for the account, which no script's token reaches: unset {TOKEN}.")
    if arguments.command in FOR_COPIES:
        raise WrongUse(f"`{arguments.command}` is for a copy, which a script's token has not: unset {TOKEN}.")
    if not arguments.url:
        raise WrongUse(f"Say where {TOKEN} is to be sent: --url or AUTH_TASKS_URL.")
    _check(arguments, arguments.url)
    try:
        client = ScriptClient(arguments.url, token)
    except ValueError:
        raise WrongUse(f"{TOKEN} has no script's token, which begins with atk_. It is not sent.") from None
    _warn_of_readers(arguments.url, "token")
    with client:
        if arguments.command == "watch":
            _print_all(client.watch(), arguments)
        return _run_for_tasks(arguments, client, lambda: _meant(client, arguments.id))


def _meant(client: ScriptClient, beginning: str) -> list[Task]:
    """Return the tasks that may be meant; for a whole id nothing is read, which a token may not be let to."""
    with suppress(ValueError):
        if len(beginning) == len(str(UUID(beginning))):
            return [{"id": beginning.lower()}]
    return client.tasks()


def _warn_of_readers(url: str, what: str) -> None:
    if is_readable_on_the_way(url):
        print_lines([f"{url} is not encrypted: who is on the way there can read your {what}."], error=True)


def _check(arguments: argparse.Namespace, url: str) -> None:
    """Raise WrongUse for what no server would take."""
    for name, value in vars(arguments).items():
        if isinstance(value, str):
            checked(value, name)
    if not can_be_called(url):
        raise WrongUse(f"--url needs http:// or https:// and a host, as in http://127.0.0.1:8000, not {url}.")
    if getattr(arguments, "title", None) == "":
        raise WrongUse("The title must not be empty.")
    if arguments.command == "edit" and not given(arguments, FIELDS):
        raise WrongUse("Say what to change: --title, --description, --priority or --status.")


def _run_for_tasks(
    arguments: argparse.Namespace, tasks: TaskOperations | OfflineTasks, known: Callable[[], list[Task]]
) -> Any:
    match arguments.command:
        case "list":
            return tasks.tasks(**given(arguments, ("status", "priority", "q")))
        case "add":
            return tasks.add(**given(arguments, FIELDS))
        case "done":
            return tasks.edit(only("task", known(), arguments.id), completed=True)
        case "undo":
            return tasks.edit(only("task", known(), arguments.id), completed=False)
        case "edit":
            return tasks.edit(only("task", known(), arguments.id), **given(arguments, FIELDS))
    tasks.remove(only("task", known(), arguments.id))
    return "Deleted."


def _run_for_copy(arguments: argparse.Namespace, client: TasksClient, copy: LocalCopy | None) -> Any:
    if copy is None:
        raise Unclear("There is no copy on this device. Make one with: auth-tasks sync")
    if arguments.command == "conflicts":
        return copy.conflicts() or ([] if arguments.json else "No conflicts.")
    if arguments.command == "keep":
        if arguments.number not in {conflict.number for conflict in copy.conflicts()}:
            raise Unclear("No such conflict.")
        copy.settle(arguments.number, mine=arguments.mine)
        return "Done. The next `sync` sends it." if arguments.mine else "Done."
    done = client.sync(copy)
    if arguments.follow:
        print_lines(show(_of_sync(done, arguments), as_json=arguments.json))
        _print_all(client.follow(copy), arguments)
    return _of_sync(done, arguments)


def _print_all(told: Iterator[Told], arguments: argparse.Namespace) -> NoReturn:
    """Print what happens, as it happens."""
    for each in told:
        print_lines(show_told(each, as_json=arguments.json))
    raise AssertionError


def _of_sync(done: Synchronised, arguments: argparse.Namespace) -> Any:
    if arguments.json:
        return asdict(done)
    waiting = f"{done.refused} not taken: see `conflicts`." if done.refused else "Nothing waits."
    return f"Sent {done.sent}, received {done.received}. {waiting}"


def main(argv: list[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    try:
        return _carry_out(_parsed(argv))
    except WrongUse as error:
        return _fail(WRONG_USE, str(error))
    except httpx.InvalidURL as error:
        return _fail(WRONG_USE, f"--url: {error}")
    except OSError as error:
        return _fail(ERROR, f"What is kept on this device cannot be used: {error.filename}: {error.strerror}.")
    except OutputLost as error:
        return _fail(OUTPUT_LOST, f"Standard output cannot be written: {error}." if str(error) else "")
    except KeyboardInterrupt:
        return INTERRUPTED


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    """Read the arguments. Exits when help or the version was asked for, or when they are wrong."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        print_lines(parser.format_help().splitlines(), error=True)
        raise SystemExit(WRONG_USE)
    arguments.command = arguments.command.replace("passwd", "password")  # its older name
    return arguments


def _carry_out(arguments: argparse.Namespace) -> int:
    after_loss = AFTER_LOSS.get(arguments.command, AFTER_LOST_CHANGE)
    try:
        print_lines(show(_result(arguments), as_json=arguments.json))
        return DONE
    except SignedOut as error:
        return _fail(SIGNED_OUT, f"{error} {_way_out_of(error)}")
    except ApiError as error:
        if error.status >= httpx.codes.INTERNAL_SERVER_ERROR and error.status != httpx.codes.NOT_IMPLEMENTED:
            return _fail(UNREACHABLE, f"{error.detail} {after_loss}")
        return _fail(SIGNED_OUT if error.status == httpx.codes.UNAUTHORIZED else ERROR, error.detail)
    except (Unclear, NotSynchronised, OtherAccount) as error:
        return _fail(ERROR, str(error))
    except NOT_SENT:
        return _fail(UNREACHABLE, "The server cannot be reached. Nothing was changed.")
    except httpx.RequestError:
        return _fail(UNREACHABLE, f"The server did not answer. {after_loss}")


def _way_out_of(error: SignedOut) -> str:
    if isinstance(error, TokenEnded):
        return "Make another where you are signed in: auth-tasks token create NAME"
    if isinstance(error, OtherServer):
        return "Leave out --url and AUTH_TASKS_URL, or sign in there."
    return "Sign in with: auth-tasks signin EMAIL"


def _result(arguments: argparse.Namespace) -> Any:
    if token := os.environ.get(TOKEN, "").strip():
        return run_as_script(arguments, token)
    with TasksClient(default_store(), arguments.url) as client:
        return run(arguments, client)


def _fail(code: int, text: str) -> int:
    print_lines([text] if text else [], error=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
