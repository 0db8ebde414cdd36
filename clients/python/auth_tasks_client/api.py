"""The operations as a program calls them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import httpx

from auth_tasks_client import live
from auth_tasks_client.auth import TIMEOUT_SECONDS, TokenAuth, stored, until_answered
from auth_tasks_client.changes import Task
from auth_tasks_client.errors import accepted, code_of
from auth_tasks_client.live import Told
from auth_tasks_client.local_copy import LocalCopy
from auth_tasks_client.origins import origin_of
from auth_tasks_client.script import ScriptAuth
from auth_tasks_client.store import StoredTokens, TokenStore
from auth_tasks_client.sync import Synchronised, check_owner, synchronise

Session = dict[str, Any]
"""A session as the server shows it: `id`, `device`, `created_at`, `last_used_at`, `current`, `kind`.

`kind` is `script` for a script's token, with `scopes` and `expires_at`.
"""

ScriptToken = dict[str, Any]
"""A token for a script as the server shows it once: `id`, `name`, `scopes`, `expires_at`, `token`."""

Passkey = dict[str, Any]
"""A passkey as the server shows it: `id`, `name`, `created_at`, `last_used_at`, `synced`."""

Address = dict[str, Any]
"""An e-mail address as the server shows it: `email`, `verified_at`."""


class TaskOperations:
    """What an account's owner and its scripts do with tasks."""

    def __init__(self, url: str, auth: httpx.Auth, transport: httpx.BaseTransport | None) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, transport=transport, timeout=TIMEOUT_SECONDS)
        self._auth = auth

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the session stays open."""
        self._http.close()

    def tasks(self, **filters: Any) -> list[Task]:
        """Return all tasks, or those that pass the filters of the list."""
        tasks: list[Task] = self._send("GET", "/api/tasks", params=filters).json()
        return tasks

    def add(self, title: str, **fields: Any) -> Task:
        """Make a task; after a lost answer ask again, which makes no second one."""
        headers = {"Idempotency-Key": str(uuid4())}
        body = {"title": title, **fields}
        return until_answered(lambda: self._task("POST", "/api/tasks", json=body, headers=headers))

    def edit(self, task_id: str, **fields: Any) -> Task:
        """Change these fields of a task and return it as it is now."""
        return self._task("PATCH", f"/api/tasks/{task_id}", json=fields)

    def remove(self, task_id: str) -> None:
        """Delete a task."""
        self._send("DELETE", f"/api/tasks/{task_id}")

    def watch(self) -> Iterator[Told]:
        """Yield what happens from now on, for ever."""
        return live.watch(self._stream, lambda: str(self._send("GET", "/api/tasks/changes").json()["next"]))

    def _task(self, method: str, path: str, **options: Any) -> Task:
        task: Task = self._send(method, path, **options).json()
        return task

    def _stream(self, cursor: str | None) -> AbstractContextManager[httpx.Response]:
        return self._http.stream("GET", "/api/tasks/changes", auth=self._auth, **live.stream_options(cursor))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return accepted(self._http.request(method, path, **{"auth": self._auth, **options}))


class ScriptClient(TaskOperations):
    """A script's token on one server. Every operation raises: ApiError, httpx.TransportError, TokenEnded.

    ApiError is InsufficientScope where the token has not the scope. Nothing is stored, and nothing refreshed.
    """

    def __init__(self, url: str, token: str, *, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(url, ScriptAuth(url, token), transport)


class TasksClient(TaskOperations):
    """One session on one server. Every operation raises: ApiError, OtherAccount, SignedOut, httpx.TransportError.

    SignedOut is OtherServer if the store has a session of another server than `url`. OtherAccount is that somebody else
    has signed in, by another process, in the middle of it.
    """

    def __init__(
        self, store: TokenStore, url: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.store = store
        session = store.read()
        url = url or (session.url if session else "http://127.0.0.1:8000")
        self._transport = transport
        self._tokens = TokenAuth(store, transport=transport, refuse_others=True)
        super().__init__(url, self._tokens, transport)

    def sign_up(self, email: str, password: str, name: str | None = None, *, device: str | None = None) -> None:
        """Make an account and keep the tokens of its first session, which the list of sessions calls `device`."""
        self._begin("/api/auth/signup", {"email": email, "password": password, "name": name, "device": device})

    def sign_in(self, email: str, password: str, *, device: str | None = None) -> None:
        """Open a session and keep its tokens; the list of sessions calls it `device`."""
        body = {"email": email, "password": password, "device": device}
        if last := self.store.last_refresh_token(self.url):
            body["refresh_token"] = last  # a known device, which others who guess cannot lock out
        self._begin("/api/auth/signin", body)

    def _begin(self, path: str, body: dict[str, Any]) -> None:
        answer = accepted(self._http.post(path, json=body))
        with self.store.locked():
            self.store.write(stored(self.url, answer.json()["user"]["email"], answer))

    def user_id(self) -> str:
        """Return the id of the account."""
        user_id: str = self._send("GET", "/api/auth/me").json()["id"]
        return user_id

    def rename(self, name: str | None) -> None:
        """Change the name of the account, or remove it."""
        self._send("PATCH", "/api/auth/me", json={"name": name})

    def change_password(self, current: str, new: str) -> None:
        """Change the password, end every other session and go on with this one's new tokens."""
        body = {"current_password": current, "new_password": new}
        answer = self._send("POST", "/api/auth/password", json=body)
        with self._session_of(answer) as tokens:
            if tokens:
                self.store.write(stored(tokens.url, tokens.email, answer))

    def mail_reset_link(self, email: str) -> None:
        """Let a link for a new password be mailed to this address, if an account has it: nobody is told whether."""
        accepted(self._http.post("/api/auth/reset/mail", json={"email": email}))

    def reset_password(self, link: str, new: str) -> None:
        """Change the password by a link, or by the token that is in it; nobody is signed in by it."""
        accepted(self._http.post("/api/auth/reset", json={"token": _token(link), "new_password": new}))

    def address(self) -> Address:
        """Return the e-mail address of the account, and when it was proven."""
        address: Address = self._send("GET", "/api/auth/email").json()
        return address

    def mail_verification_link(self) -> None:
        """Let a link be mailed to the account's address, which proves it."""
        self._send("POST", "/api/auth/email/verify/mail")

    def verify_email(self, link: str) -> Address:
        """Prove the account's address by the link that was mailed to it."""
        address: Address = self._send("POST", "/api/auth/email/verify", json={"token": _token(link)}).json()
        return address

    def change_email(self, email: str, password: str) -> None:
        """Let a link be mailed to a new address, which is the account's once the link is used."""
        self._send("POST", "/api/auth/email", json={"email": email, "proof": {"current_password": password}})

    def confirm_email(self, link: str) -> Address:
        """Change the address of the account by the link that was mailed to the new one."""
        answer = self._send("POST", "/api/auth/email/confirm", json={"token": _token(link)})
        address: Address = answer.json()
        with self._session_of(answer) as tokens:
            if tokens:
                self.store.write(replace(tokens, email=address["email"]))
        return address

    def delete_account(self, current: str) -> None:
        """Delete the account and all of its tasks, and forget the tokens."""
        answer = self._send("POST", "/api/auth/me/delete", json={"current_password": current})
        with self._session_of(answer) as tokens:
            if tokens:
                self.store.clear()

    def sessions(self) -> list[Session]:
        """Return where the account is signed in, newest first."""
        sessions: list[Session] = self._send("GET", "/api/auth/sessions").json()
        return sessions

    def end_session(self, session_id: str) -> None:
        """Sign another device out, or end a script's token."""
        self._send("DELETE", f"/api/auth/sessions/{session_id}")

    def create_script_token(self, name: str, scopes: Sequence[str], days: int, current: str) -> ScriptToken:
        """Make a token for a script. It is shown this once."""
        body = {"name": name, "scopes": list(scopes), "days": days, "proof": {"current_password": current}}
        token: ScriptToken = self._send("POST", "/api/auth/tokens", json=body).json()
        return token

    def script_tokens(self) -> list[Session]:
        """Return the sessions of scripts, with the name of each in `device`; `end_session` ends one."""
        return [session for session in self.sessions() if session.get("kind") == "script"]

    def passkeys(self) -> list[Passkey]:
        """Return the account's passkeys."""
        passkeys: list[Passkey] = self._send("GET", "/api/auth/passkeys").json()
        return passkeys

    def delete_passkey(self, passkey_id: str, current: str) -> None:
        """Let a passkey sign nobody in any more."""
        body = {"proof": {"current_password": current}}
        self._send("POST", f"/api/auth/passkeys/{quote(passkey_id, safe='')}/delete", json=body)

    def end_other_sessions(self) -> None:
        """Sign every other device out, and end every script's token."""
        self._send("POST", "/api/auth/signout", json={"others": True})

    def sign_out(self, *, everywhere: bool = False) -> None:
        """End the session, or with `everywhere` all sessions of the account, where it was begun; forget the tokens."""
        with self.store.locked():
            tokens = self.store.read()
            if tokens is None:
                return
            body = {"refresh_token": tokens.refresh_token, "everywhere": everywhere}
            answer = self._http.post(f"{tokens.url.rstrip('/')}/api/auth/signout", json=body)
            if answer.status_code != httpx.codes.UNAUTHORIZED or not code_of(answer):
                accepted(answer)  # otherwise the session was over already
            self.store.end(tokens)

    def sync(self, copy: LocalCopy) -> Synchronised:
        """Bring a local copy and the server together. Raises also: OtherAccount."""
        self.check_copy(copy)
        user_id = self.user_id()
        auth = TokenAuth(self.store, transport=self._transport, refuse_others=True, user_id=user_id)
        return synchronise(copy, user_id, origin_of(self.url), partial(self._send, auth=auth))

    def follow(self, copy: LocalCopy) -> Iterator[Told]:
        """Keep a local copy by streams for ever, and yield what happens once the copy has it; send what waits in it.

        A line that is cut, or a server that restarts, is waited for. Raises also: OtherAccount.
        """
        return live.follow(copy, self._stream, lambda: self.sync(copy))

    def check_server(self) -> None:
        """Raise OtherServer if the stored session is one of another server."""
        if tokens := self.store.read():
            tokens.check_server(self.url)

    def check_copy(self, copy: LocalCopy) -> None:
        """Raise OtherAccount if a copy is of another server or account than the stored session."""
        tokens = self.store.read()
        check_owner(copy, origin_of(self.url), tokens.user_id if tokens else None)

    @contextmanager
    def _session_of(self, answer: httpx.Response) -> Iterator[StoredTokens | None]:
        """Yield what is stored for whoever has asked, and let nobody store anything; None if others are signed in."""
        request = answer.request
        with self.store.locked():
            tokens = self.store.read()
            is_theirs = tokens and tokens.is_account_of(request.url, request.headers["Authorization"])
            yield tokens if is_theirs else None


def _token(link: str) -> str:
    """Return the token of a link, or what is one already."""
    return link.strip().rpartition("#token=")[2]
