"""What came of a command, as lines for people or for scripts."""

import json
from dataclasses import asdict
from typing import Any

from auth_tasks_client.api import Address, Session
from auth_tasks_client.changes import Conflict, Task
from auth_tasks_client.live import Told

# What is true after a request whose answer was lost: the server may have carried it out.
AFTER_LOSS = {
    "signup": "Whether the account was made is not known. Try `signin`, and `signup` again if that fails.",
    "signin": "It is safe to try again.",
    "signout": "Whether the session has ended is not known. It is safe to try again.",
    "list": "It is safe to try again.",
    "password": "Whether the password was changed is not known. Sign in with the new one, then with the old one.",
    "email": "Whether a mail was sent or the address changed is not known. Look with `email`, then try again.",
    "delete": "Whether the account was deleted is not known. Try again: if nobody can sign in, it was.",
    "sessions": "It is safe to try again.",
    "token": "Whether it was done is not known. Look with `token list`, and end a token that nobody has seen.",
    "sync": "It is safe to try again.",
    "watch": "It is safe to try again.",
}
AFTER_LOST_CHANGE = "Whether the change was made is not known. Look with `list`, then try again."


def show(result: Any, *, as_json: bool) -> list[str]:
    """Return the lines that show a result to a script or to a person."""
    if as_json:
        result = {"message": result} if isinstance(result, str) else result
        return [json.dumps(result, ensure_ascii=False, default=asdict)]
    if isinstance(result, str):
        return [result]
    rows = result if isinstance(result, list) else [result]
    return [_row(row) for row in rows] or ["No tasks."]


def _row(row: Any) -> str:
    if isinstance(row, Conflict):
        return f"{row.number}  {row.kind:<6}  {row.task.get('title', row.task['id'])}: {row.reason}"
    if "verified_at" in row:
        return _address(row)
    return _session(row) if "device" in row else _line(row)


def _address(address: Address) -> str:
    return f"{address['email']}  ({'proven' if address['verified_at'] else 'not proven: auth-tasks email --verify'})"


def _session(session: Session) -> str:
    mark = "*" if session["current"] else " "
    what = session["device"] or "unknown device"
    if session.get("kind") == "script":
        what += f"  (a script: {' '.join(session['scopes'])} until {session['expires_at'][:10]})"
    return f"{mark} {session['id'][:8]}  {session['last_used_at'][:16]}Z  {what}"


def _line(task: Task) -> str:
    mark = {"completed": "x", "in_progress": "~"}.get(task["status"], " ")
    waits = "  (not sent)" if task.get("pending") else ""
    return f"[{mark}] {task['id'][:8]}  {task['priority']:<6}  {task['title']}{waits}"


def show_told(told: Told, *, as_json: bool) -> list[str]:
    """Return the lines that show what has happened."""
    if as_json:
        return [json.dumps(told._asdict(), ensure_ascii=False)]
    return [*(_line(task) for task in told.tasks), *(f"    {task_id[:8]}  deleted" for task_id in told.deleted)]
