"""The arguments of the command line."""

import argparse
import os
from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("auth-tasks-client")
    except PackageNotFoundError:
        return "not installed"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=os.environ.get("AUTH_TASKS_URL"), help="where the service is")
    common.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser = argparse.ArgumentParser(prog="auth-tasks", description="Your tasks.")
    parser.add_argument("--version", action="version", version=_version())
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
    _describe_copy(commands, common)
    for name, text in (("passwd", "change the password"), ("delete", "delete the account and all of its tasks")):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("--password-stdin", action="store_true", help="read a line for each password")
    for name, text in (("done", "mark a task completed"), ("rm", "delete a task")):
        commands.add_parser(name, parents=[common], help=text).add_argument("id", help="the id or its beginning")
    signout = commands.add_parser("signout", parents=[common], help="sign out, and delete the copy on this device")
    signout.add_argument("--everywhere", action="store_true")
    signout.add_argument("--discard", action="store_true", help="also what the server does not have yet")
    return parser


def _describe_copy(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    commands.add_parser("sync", parents=[common], help="keep a copy of the tasks on this device, and work offline")
    commands.add_parser("conflicts", parents=[common], help="show the changes that the server did not take")
    keep = commands.add_parser("keep", parents=[common], help="end a conflict")
    keep.add_argument("number", type=int, help="as `conflicts` shows it")
    whose = keep.add_mutually_exclusive_group(required=True)
    whose.add_argument("--mine", action="store_true", help="make the change over what the server has")
    whose.add_argument("--theirs", action="store_true", help="let the change be")
