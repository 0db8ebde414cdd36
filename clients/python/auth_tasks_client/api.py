"""The operations as a program calls them."""

from typing import Any
from uuid import uuid4

import httpx

from auth_tasks_client.auth import ATTEMPTS, TIMEOUT_SECONDS, TokenAuth, stored
from auth_tasks_client.store import TokenStore

Task = dict[str, Any]


class Refused(Exception):
    """The service said no; the message is its `detail`."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(_detail(answer))
        self.status = answer.status_code


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code}."


class TasksClient:
    """One sign-in on one server. Raises: Refused, SignedOut, httpx.TransportError."""

    def __init__(
        self, store: TokenStore, url: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.store = store
        signed_in = store.read()
        self.url = url or (signed_in.url if signed_in else "http://127.0.0.1:8000")
        self._http = httpx.Client(base_url=self.url, transport=transport, timeout=TIMEOUT_SECONDS)
        self._auth = TokenAuth(store, transport=transport)

    def close(self) -> None:
        self._http.close()

    def sign_up(self, email: str, password: str, name: str | None = None) -> None:
        """Make an account and keep its first sign-in."""
        self._begin("/api/auth/signup", {"email": email, "password": password, "name": name})

    def sign_in(self, email: str, password: str) -> None:
        """Sign in and keep the tokens."""
        self._begin("/api/auth/signin", {"email": email, "password": password})

    def _begin(self, path: str, body: dict[str, Any]) -> None:
        answer = _accepted(self._http.post(path, json=body))
        with self.store.locked():
            self.store.write(stored(self.url, answer.json()["user"]["email"], answer))

    def sign_out(self, *, everywhere: bool = False) -> None:
        """End the sign-in, here or everywhere, and forget it."""
        with self.store.locked():
            tokens = self.store.read()
            if tokens is None:
                return
            body = {"refresh_token": tokens.refresh_token, "everywhere": everywhere}
            answer = self._http.post("/api/auth/signout", json=body)
            if answer.status_code != httpx.codes.UNAUTHORIZED:  # then it was over already
                _accepted(answer)
            self.store.clear()

    def tasks(self, **filters: Any) -> list[Task]:
        """Give all tasks, or those that pass the filters of the list."""
        tasks: list[Task] = self._send("GET", "/api/tasks", params=filters).json()
        return tasks

    def add(self, title: str, **fields: Any) -> Task:
        """Make a task; sent again after a lost answer it is made once."""
        headers = {"Idempotency-Key": str(uuid4())}
        for _ in range(ATTEMPTS - 1):
            try:
                return self._task("POST", "/api/tasks", json={"title": title, **fields}, headers=headers)
            except httpx.TransportError:
                continue
        return self._task("POST", "/api/tasks", json={"title": title, **fields}, headers=headers)

    def edit(self, task_id: str, **fields: Any) -> Task:
        return self._task("PATCH", f"/api/tasks/{task_id}", json=fields)

    def remove(self, task_id: str) -> None:
        self._send("DELETE", f"/api/tasks/{task_id}")

    def _task(self, method: str, path: str, **options: Any) -> Task:
        task: Task = self._send(method, path, **options).json()
        return task

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return _accepted(self._http.request(method, path, auth=self._auth, **options))


def _accepted(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise Refused(answer)
    return answer
