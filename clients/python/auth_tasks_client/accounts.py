"""The commands of the account: signing in and out, sessions, the password, the address, tokens for scripts."""

import argparse
import platform
from typing import Any

from auth_tasks_client.api import TasksClient
from auth_tasks_client.arguments import Unclear, only
from auth_tasks_client.errors import OtherAccount
from auth_tasks_client.local_copy import LocalCopy
from auth_tasks_client.offline import copy_of
from auth_tasks_client.terminal import ask_password, print_lines, read_password

TOKEN = "AUTH_TASKS_TOKEN"
"""The variable with a script's token."""
FOR_ACCOUNTS = ("signup", "signin", "signout", "password", "email", "sessions", "token", "delete")


def run_for_account(arguments: argparse.Namespace, client: TasksClient) -> Any:
    """Carry out one of `FOR_ACCOUNTS`, and return what is to be shown."""
    match arguments.command:
        case "signup":
            client.sign_up(arguments.email, _new_password(arguments, "Password: "), arguments.name, device=_device())
            return f"Welcome, you are signed in as {arguments.email}."
        case "signin":
            client.sign_in(arguments.email, _password(arguments), device=_device())
            return f"You are signed in as {arguments.email}."
        case "signout":
            return _sign_out(arguments, client)
        case "password":
            return _change_password(arguments, client)
        case "email":
            return _email(arguments, client)
        case "sessions":
            return _sessions(arguments, client)
        case "token":
            return _token(arguments, client)
    return _delete(arguments, client)


def _delete(arguments: argparse.Namespace, client: TasksClient) -> str:
    password = _password(arguments)
    with copy_of(client) as copy:
        is_theirs = copy and _is_of_another(client, copy)
        client.delete_account(password)
        if copy and not is_theirs:  # somebody else's may have changes that wait
            copy.delete()
    return "Your account and all of its tasks are deleted."


def _change_password(arguments: argparse.Namespace, client: TasksClient) -> str:
    if arguments.forgot is not None:
        client.mail_reset_link(arguments.forgot)
        return "If this address has an account, a link is on its way to it. Open it, or: auth-tasks password --link"
    if arguments.link:
        client.reset_password(_link(arguments), _new_password(arguments, "New password: "))
        return "Your password is changed, and every session has ended. Sign in with: auth-tasks signin EMAIL"
    client.change_password(_password(arguments), _new_password(arguments, "New password: "))
    return "Your password is changed, and every other session has ended."


def _email(arguments: argparse.Namespace, client: TasksClient) -> Any:
    if arguments.verify:
        client.mail_verification_link()
        return "A link is on its way to your address. Open it, or: auth-tasks email --link"
    if arguments.new is not None:
        client.change_email(arguments.new, _password(arguments))
        return f"A link is on its way to {arguments.new}. Open it, or: auth-tasks email --link"
    if arguments.link:
        link = _link(arguments)
        return client.confirm_email(link) if "/email#" in link else client.verify_email(link)
    return client.address()


def _sign_out(arguments: argparse.Namespace, client: TasksClient) -> str:
    with copy_of(client) as copy:
        waits = copy and (copy.changes() or copy.conflicts())
        is_theirs = copy and _is_of_another(client, copy)
        if waits and not is_theirs and not arguments.discard:
            raise Unclear("The server does not have all of your changes. `sync` first, or `signout --discard`.")
        client.sign_out(everywhere=arguments.everywhere)
        if copy and not (waits and is_theirs):
            copy.delete()
    return "You are signed out."


def _is_of_another(client: TasksClient, copy: LocalCopy) -> bool:
    """Return whether the copy on this device is somebody else's."""
    try:
        client.check_copy(copy)
    except OtherAccount:
        return True
    return False


def _password(arguments: argparse.Namespace) -> str:
    return read_password() if arguments.password_stdin else ask_password("Password: ")


def _link(arguments: argparse.Namespace) -> str:
    return read_password() if arguments.password_stdin else ask_password("Link: ")


def _new_password(arguments: argparse.Namespace, prompt: str) -> str:
    if arguments.password_stdin:
        return read_password()
    new = ask_password(prompt)
    if ask_password("Once more: ") != new:
        raise Unclear("The two passwords are not the same. Nothing was changed.")
    return new


def _device() -> str:
    """Return what the list of sessions calls this device."""
    return f"auth-tasks on {platform.node() or 'an unnamed host'}"


def _sessions(arguments: argparse.Namespace, client: TasksClient) -> Any:
    if arguments.end_others:
        client.end_other_sessions()
        return "Every other session has ended."
    if arguments.end is not None:
        client.end_session(only("session", client.sessions(), arguments.end))
        return "The session has ended."
    return client.sessions()


def _token(arguments: argparse.Namespace, client: TasksClient) -> Any:
    if arguments.act == "list":
        return client.script_tokens() or ([] if arguments.json else "No tokens.")
    if arguments.act == "end":
        client.end_session(only("token", client.script_tokens(), arguments.id))
        return "The token has ended."
    made = client.create_script_token(arguments.name, arguments.scope, arguments.days, _password(arguments))
    print_lines(
        [
            f"It is shown this once. Give it to the script as {TOKEN}, and {client.url} as AUTH_TASKS_URL.",
            f"It may {' and '.join(made['scopes'])} until {made['expires_at'][:10]}. "
            f"End it with: auth-tasks token end {made['id'][:8]}",
        ],
        error=True,
    )
    return made if arguments.json else made["token"]
