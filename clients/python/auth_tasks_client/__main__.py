"""`auth-tasks`, or `python -m auth_tasks_client`: tasks on the command line for people and, with --json, for scripts.

Exit codes: 0 the command was carried out; 1 the server answered with an error, or the id names no single task;
2 the command line is wrong; 3 nobody is signed in, or signing in failed; 4 the server cannot be reached, did not
answer or does not work at the moment.
"""

import argparse
import getpass
import json
import os
import sys
from typing import Any

import httpx

from auth_tasks_client.api import Task, TasksClient
from auth_tasks_client.auth import NOT_SENT
from auth_tasks_client.errors import ApiError, SignedOut
from auth_tasks_client.store import default_store
from auth_tasks_client.terminal import print_lines

DONE, ERROR, SIGNED_OUT, UNREACHABLE = 0, 1, 3, 4  # 2 is argparse's
FIELDS = ("title", "description", "priority", "status")

# What is true after a request whose answer was lost: the server may have carried it out.
AFTER_LOSS = {
    "signup": "Whether the account was made is not known. Try `signin`, and `signup` again if that fails.",
    "signin": "It is safe to try again.",
    "signout": "Whether the session has ended is not known. It is safe to try again.",
    "list": "It is safe to try again.",
}
AFTER_LOST_CHANGE = "Whether the change was made is not known. Look with `list`, then try again."


class Unclear(Exception):
    """The arguments name no task, or more than one."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=os.environ.get("AUTH_TASKS_URL"), help="where the service is")
    common.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser = argparse.ArgumentParser(prog="auth-tasks", description="Your tasks.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("signup", "make an account"), ("signin", "sign in")):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("email")
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        command.add_argument("--name", help="only with signup")
    listing = commands.add_parser("list", parents=[common], help="show the tasks")
    listing.add_argument("--status", choices=("pending", "in_progress", "completed"))
    listing.add_argument("--q", metavar="TEXT", help="only titles that contain this")
    add = commands.add_parser("add", parents=[common], help="add a task")
    add.add_argument("title")
    edit = commands.add_parser("edit", parents=[common], help="change a task")
    edit.add_argument("id", help="the id or its beginning")
    edit.add_argument("--title")
    for command in (add, edit):
        command.add_argument("--description")
        command.add_argument("--priority", choices=("low", "medium", "high"))
        command.add_argument("--status", choices=("pending", "in_progress", "completed"))
    for name, text in (("done", "mark a task completed"), ("rm", "delete a task")):
        commands.add_parser(name, parents=[common], help=text).add_argument("id", help="the id or its beginning")
    commands.add_parser("signout", parents=[common], help="sign out").add_argument("--everywhere", action="store_true")
    return parser


def run(arguments: argparse.Namespace, client: TasksClient) -> Any:
    """Carry out one command and return what is to be shown."""
    match arguments.command:
        case "signup":
            client.sign_up(arguments.email, _password(arguments), arguments.name)
            return f"Welcome, you are signed in as {arguments.email}."
        case "signin":
            client.sign_in(arguments.email, _password(arguments))
            return f"You are signed in as {arguments.email}."
        case "signout":
            client.sign_out(everywhere=arguments.everywhere)
            return "You are signed out."
        case "list":
            return client.tasks(**_given(arguments, ("status", "q")))
        case "add":
            return client.add(**_given(arguments, FIELDS))
        case "done":
            return client.edit(_find(client, arguments.id), completed=True)
        case "edit":
            return client.edit(_find(client, arguments.id), **_given(arguments, FIELDS))
    client.remove(_find(client, arguments.id))
    return "Deleted."


def _given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def _password(arguments: argparse.Namespace) -> str:
    return sys.stdin.readline().rstrip("\n") if arguments.password_stdin else getpass.getpass()


def _find(client: TasksClient, beginning: str) -> str:
    """Return the id of the one task whose id begins so. Raises: Unclear."""
    ids = [str(task["id"]) for task in client.tasks() if str(task["id"]).startswith(beginning.lower())]
    if len(ids) != 1:
        raise Unclear(f"{len(ids)} tasks have an id that begins with {beginning}." if ids else "No such task.")
    return ids[0]


def show(result: Any, *, as_json: bool) -> list[str]:
    """Return the lines that show a result to a script or to a person."""
    if as_json:
        return [json.dumps({"message": result} if isinstance(result, str) else result, ensure_ascii=False)]
    if isinstance(result, str):
        return [result]
    tasks = result if isinstance(result, list) else [result]
    return [_line(task) for task in tasks] or ["No tasks."]


def _line(task: Task) -> str:
    mark = {"completed": "x", "in_progress": "~"}.get(task["status"], " ")
    return f"[{mark}] {task['id'][:8]}  {task['priority']:<6}  {task['title']}"


def main(argv: list[str] | None = None) -> int:
    """Carry out one command and return its exit code."""
    arguments = make_parser().parse_args(argv)
    after_loss = AFTER_LOSS.get(arguments.command, AFTER_LOST_CHANGE)
    try:
        with TasksClient(default_store(), arguments.url) as client:
            print_lines(show(run(arguments, client), as_json=arguments.json))
        return DONE
    except SignedOut as error:
        return _fail(SIGNED_OUT, f"{error} Sign in with: auth-tasks signin EMAIL")
    except ApiError as error:
        if error.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return _fail(UNREACHABLE, f"{error.detail} {after_loss}")
        return _fail(SIGNED_OUT if error.status == httpx.codes.UNAUTHORIZED else ERROR, error.detail)
    except Unclear as error:
        return _fail(ERROR, str(error))
    except (*NOT_SENT, httpx.InvalidURL):
        return _fail(UNREACHABLE, "The server cannot be reached. Nothing was changed.")
    except httpx.RequestError:
        return _fail(UNREACHABLE, f"The server did not answer. {after_loss}")


def _fail(code: int, text: str) -> int:
    print_lines([text], error=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
