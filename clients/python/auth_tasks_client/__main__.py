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

from auth_tasks_client.api import Session, Task, TasksClient
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
    "passwd": "Whether the password was changed is not known. Sign in with the new one, then with the old one.",
    "delete": "Whether the account was deleted is not known. Try again: if nobody can sign in, it was.",
    "sessions": "It is safe to try again.",
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
    sessions = commands.add_parser("sessions", parents=[common], help="show where you are signed in, or end sessions")
    sessions.add_argument("--end", metavar="ID", help="sign this device out; the id or its beginning")
    sessions.add_argument("--end-others", action="store_true", help="sign every other device out")
    for name, text in (("passwd", "change the password"), ("delete", "delete the account and all of its tasks")):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--password-stdin", action="store_true", help="read a line for each password")
    for name, text in (("done", "mark a task completed"), ("rm", "delete a task")):
        commands.add_parser(name, parents=[common], help=text).add_argument("id", help="the id or its beginning")
    commands.add_parser("signout", parents=[common], help="sign out").add_argument("--everywhere", action="store_true")
    return parser


def run(arguments: argparse.Namespace, client: TasksClient) -> Any:
    """Carry out one command and return what is to be shown."""
    if arguments.command in ("signup", "signin", "signout", "passwd", "sessions", "delete"):
        return _run_for_account(arguments, client)
    match arguments.command:
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


def _run_for_account(arguments: argparse.Namespace, client: TasksClient) -> Any:
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
        case "passwd":
            client.change_password(_password(arguments), _new_password(arguments))
            return "Your password is changed, and every other session has ended."
        case "sessions":
            return _sessions(arguments, client)
    client.delete_account(_password(arguments))
    return "Your account and all of its tasks are deleted."


def _given(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def _password(arguments: argparse.Namespace) -> str:
    return sys.stdin.readline().rstrip("\n") if arguments.password_stdin else getpass.getpass()


def _new_password(arguments: argparse.Namespace) -> str:
    if arguments.password_stdin:
        return _password(arguments)
    new = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != new:
        raise Unclear("The two passwords are not the same. Nothing was changed.")
    return new


def _sessions(arguments: argparse.Namespace, client: TasksClient) -> Any:
    if arguments.end_others:
        client.end_other_sessions()
        return "Every other session has ended."
    if arguments.end is not None:
        client.end_session(_only("session", client.sessions(), arguments.end))
        return "The session has ended."
    return client.sessions()


def _find(client: TasksClient, beginning: str) -> str:
    """Return the id of the one task whose id begins so. Raises: Unclear."""
    return _only("task", client.tasks(), beginning)


def _only(kind: str, rows: list[dict[str, Any]], beginning: str) -> str:
    ids = [str(row["id"]) for row in rows if str(row["id"]).startswith(beginning.lower())]
    if len(ids) != 1:
        raise Unclear(f"{len(ids)} {kind}s have an id that begins with {beginning}." if ids else f"No such {kind}.")
    return ids[0]


def show(result: Any, *, as_json: bool) -> list[str]:
    """Return the lines that show a result to a script or to a person."""
    if as_json:
        return [json.dumps({"message": result} if isinstance(result, str) else result, ensure_ascii=False)]
    if isinstance(result, str):
        return [result]
    rows = result if isinstance(result, list) else [result]
    return [_session(row) if "device" in row else _line(row) for row in rows] or ["No tasks."]


def _session(session: Session) -> str:
    mark = "*" if session["current"] else " "
    return f"{mark} {session['id'][:8]}  {session['last_used_at'][:16]}Z  {session['device'] or 'unknown device'}"


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
