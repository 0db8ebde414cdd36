"""The service in memory, as far as a client sees it, and what can go wrong between the two."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_urlsafe
from threading import Condition
from typing import Any
from uuid import UUID, uuid4, uuid5

Json = dict[str, Any]
BEAT_SECONDS = 1.0  # the service's own come every 16 to 20 s
EVERYTHING = -1


def now() -> str:
    """Return the time as the service writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Request:
    """What a client has sent, and when."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json
    at: float = field(default_factory=time.monotonic)

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")

    @property
    def position(self) -> str | None:
        """From where it asks for changes."""
        return self.headers.get("last-event-id") or self.query.get("since")


@dataclass
class Answer:
    """What the service answers. `lost`: it was carried out, and nobody hears of it."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False
    stream: Iterator[str] | None = None


class Refused(Exception):
    """An error of the service."""

    def __init__(self, status: int, code: str, detail: str = "Refused.", **headers: str) -> None:
        super().__init__(status, code)
        self.answer = Answer(status, {"status": status, "code": code, "detail": detail}, headers)


@dataclass
class Fault:
    """An answer that is lost, or another one in its place, for some requests to a route."""

    route: str
    times: int
    answer: Answer | None = None


@dataclass
class Pair:
    """Two tokens of a session; the key is that of the request which exchanged them."""

    access: str
    refresh: str
    key: str | None = None
    is_used: bool = False


@dataclass
class Session:
    """What one sign-in opened."""

    account: "Account"
    pairs: list[Pair] = field(default_factory=list)
    is_over: bool = False


@dataclass
class Account:
    """One person, the tasks, and when each changed or was deleted, by a number that grows."""

    email: str
    password: str
    id: str = field(default_factory=lambda: str(uuid4()))
    created_at: str = field(default_factory=now)
    tasks: dict[str, Json] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    number: int = 0

    def as_user(self) -> Json:
        return {"id": self.id, "email": self.email, "name": None, "created_at": self.created_at}


class Service:
    """Everything it was asked is in `seen`; `faults` are used up in order."""

    def __init__(self) -> None:
        self.changes = Condition()
        self.reset()

    def reset(self) -> None:
        """Forget everybody and everything."""
        with self.changes:
            self.seen: list[Request] = []
            self.faults: list[Fault] = []
            self.accounts: dict[str, Account] = {}
            self.sessions: list[Session] = []
            self.good_access: set[str] = set()
            self.epoch = token_urlsafe(6)
            self.told_again: list[Json] = []
            self.has_streams = True
            self.end_of_streams: tuple[str, int] | None = None
            self.cuts = getattr(self, "cuts", 0) + 1
            self.is_cut_within = False
            self.changes.notify_all()

    # What goes wrong.

    def lose(self, route: str, times: int = 1) -> None:
        """Carry out the next requests to a route and lose their answers."""
        self.faults.append(Fault(route, times))

    def answer_instead(self, route: str, answer: Answer, times: int = 1) -> None:
        """Answer the next requests to a route so, and do nothing."""
        self.faults.append(Fault(route, times, answer))

    def mend(self) -> None:
        """Let everything go well from now on."""
        self.faults.clear()

    def expire_access(self) -> None:
        """Let every access token be an expired one."""
        self.good_access.clear()

    def expire_cursors(self) -> None:
        """Answer 410 to every cursor given until now, as a restored database does."""
        self.epoch = token_urlsafe(6)

    def cut_streams(self, *, within: bool = False) -> None:
        """Cut all streams; with `within` the next time something is told, behind its first part."""
        with self.changes:
            self.is_cut_within = within
            self.cuts += not within
            self.changes.notify_all()

    def end_streams(self, code: str, retry: int) -> None:
        """End all streams as the service does it."""
        with self.changes:
            self.end_of_streams = (code, retry)
            self.cuts += 1
            self.changes.notify_all()

    # What is asked.

    def answer(self, request: Request) -> Answer:
        """Answer as the service does, or as a fault says."""
        with self.changes:
            self.seen.append(request)
            fault = next((one for one in self.faults if request.route.startswith(one.route) and one.times), None)
            if fault:
                fault.times -= 1
            if fault and fault.answer:
                return fault.answer
            try:
                answer = self._routed(request)
            except Refused as refusal:
                answer = refusal.answer
            answer.lost = fault is not None
            self.changes.notify_all()
            return answer

    def _routed(self, request: Request) -> Answer:
        operations = {
            "POST /api/auth/signup": self._sign_up,
            "POST /api/auth/signin": self._sign_in,
            "POST /api/auth/refresh": self._refresh,
            "POST /api/auth/signout": self._sign_out,
            "GET /api/auth/me": lambda request: Answer(200, self._who(request).as_user()),
            "GET /api/tasks": lambda request: Answer(200, newest_first(self._who(request))),
            "POST /api/tasks": self._create,
            "GET /api/tasks/changes": self._changes,
        }
        operation = operations.get(request.route)
        if operation:
            return operation(request)
        if request.path.startswith("/api/tasks/"):
            return self._one(request)
        raise Refused(404, "NOT_FOUND")

    def _sign_up(self, request: Request) -> Answer:
        email = request.body["email"]
        if email in self.accounts:
            raise Refused(409, "EMAIL_TAKEN")
        self.accounts[email] = Account(email, request.body["password"])
        return Answer(201, self._begun(self.accounts[email]))

    def _sign_in(self, request: Request) -> Answer:
        account = self.accounts.get(request.body["email"])
        if account is None or account.password != request.body["password"]:
            raise Refused(401, "INVALID_CREDENTIALS")
        return Answer(200, self._begun(account))

    def _begun(self, account: Account) -> Json:
        session = Session(account)
        self.sessions.append(session)
        return {**self._told(self._next_pair(session)), "user": account.as_user()}

    def _next_pair(self, session: Session) -> Pair:
        pair = Pair(token(session.account, "at+jwt"), token(session.account, "rt+jwt"))
        session.pairs.append(pair)
        self.good_access.add(pair.access)
        return pair

    def _told(self, pair: Pair) -> Json:
        seconds = 900 if pair.access in self.good_access else 0
        tokens = {"access_token": pair.access, "refresh_token": pair.refresh}
        return {**tokens, "token_type": "bearer", "expires_in": seconds}

    def _refresh(self, request: Request) -> Answer:
        return Answer(200, self.exchanged(request.body.get("refresh_token"), request.key))

    def exchanged(self, refresh_token: str | None, key: str | None) -> Json:
        """Exchange a token, as contract and docs/clients.md say."""
        for session in self.sessions:
            for index, pair in enumerate(session.pairs):
                if pair.refresh == refresh_token:
                    return self._exchanged(session, index, key)
        raise Refused(401, "INVALID_TOKEN")

    def _exchanged(self, session: Session, index: int, key: str | None) -> Json:
        pair = session.pairs[index]
        if session.is_over:
            raise Refused(401, "INVALID_TOKEN")
        if not pair.is_used:
            pair.is_used, pair.key = True, key
            return self._told(self._next_pair(session))
        successor = session.pairs[index + 1]
        if key and key == pair.key and not successor.is_used:
            return self._told(successor)
        if key and key == pair.key:
            raise Refused(401, "INVALID_TOKEN")  # a late duplicate
        session.is_over = True
        raise Refused(401, "REFRESH_TOKEN_REUSED")

    def _sign_out(self, request: Request) -> Answer:
        given = {request.body.get("refresh_token"), request.headers.get("authorization", "").removeprefix("Bearer ")}
        found = [
            it for it in self.sessions if given & {text for pair in it.pairs for text in (pair.access, pair.refresh)}
        ]
        if not found:
            raise Refused(401, "NOT_AUTHENTICATED")
        for session in found:
            session.is_over = True
        return Answer(200, {"detail": "Signed out."})

    def _who(self, request: Request) -> Account:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            raise Refused(401, "NOT_AUTHENTICATED")
        for session in self.sessions:
            if any(pair.access == given for pair in session.pairs):
                if session.is_over or given not in self.good_access:
                    break
                return session.account
        raise Refused(401, "INVALID_TOKEN")

    # Tasks, also as another device changes them.

    def _create(self, request: Request) -> Answer:
        account = self._who(request)
        task_id = str(uuid5(UUID(account.id), request.key)) if request.key else str(uuid4())
        if task_id in account.tasks:
            return Answer(200, account.tasks[task_id])
        return Answer(201, self.create(account, id=task_id, **request.body))

    def create(self, account: Account, **fields: Any) -> Json:
        """Make a task."""
        check(fields)
        at = now()
        task = {
            **{"id": str(uuid4()), "user_id": account.id, "description": None, "priority": "medium"},
            **{"status": "pending", "version": 0, "created_at": at},
            **{name: value for name, value in fields.items() if name != "completed"},
        }
        if fields.get("completed"):
            task["status"] = "completed"
        return self._keep(account, task)

    def edit(self, account: Account, task_id: str, **fields: Any) -> Json:
        """Change a task."""
        check(fields)
        task = {**account.tasks[task_id], **{name: value for name, value in fields.items() if name != "completed"}}
        if "completed" in fields:
            task["status"] = "completed" if fields["completed"] else "pending"
        return self._keep(account, task)

    def delete(self, account: Account, task_id: str) -> None:
        """Delete a task."""
        with self.changes:
            account.number += 1
            del account.tasks[task_id]
            account.deleted[task_id] = account.number
            self.changes.notify_all()

    def _keep(self, account: Account, task: Json) -> Json:
        with self.changes:
            account.number += 1
            completed = task["status"] == "completed"
            kept = {**task, "completed": completed, "version": task["version"] + 1, "updated_at": now()}
            account.tasks[task["id"]] = kept
            account.changed[task["id"]] = account.number
            account.deleted.pop(task["id"], None)
            self.changes.notify_all()
            return kept

    def _one(self, request: Request) -> Answer:
        account = self._who(request)
        task_id = request.path.removeprefix("/api/tasks/").removesuffix("/toggle")
        task = account.tasks.get(task_id)
        if task is None:
            raise Refused(404, "TASK_NOT_FOUND")
        if request.headers.get("if-match", f'"{task["version"]}"') != f'"{task["version"]}"':
            raise Refused(412, "TASK_CHANGED")
        if request.method == "DELETE":
            self.delete(account, task_id)
            return Answer(204)
        if request.path.endswith("/toggle"):
            return Answer(200, self.edit(account, task_id, completed=not task["completed"]))
        return Answer(200, self.edit(account, task_id, **request.body) if request.method != "GET" else task)

    # Changes.

    def _changes(self, request: Request) -> Answer:
        account = self._who(request)
        since = self._number(request.position)
        is_stream = "text/event-stream" in request.headers.get("accept", "")
        if is_stream and not self.has_streams:
            raise Refused(501, "LIVE_IS_OFF")
        if is_stream:
            return Answer(200, stream=self._stream(account, since))
        told = self._since(account, since)
        told["tasks"] += self.told_again
        self.told_again = []
        return Answer(200, told)

    def _number(self, cursor: str | None) -> int:
        if cursor is None:
            return EVERYTHING
        epoch, _, number = cursor.rpartition(".")
        if not number.isdigit():
            raise Refused(422, "VALIDATION_FAILED")
        if epoch != self.epoch:
            raise Refused(410, "SYNC_EXPIRED")
        return int(number)

    def _since(self, account: Account, since: int) -> Json:
        tasks = [task for task_id, task in account.tasks.items() if account.changed[task_id] > since]
        deleted = [task_id for task_id, number in account.deleted.items() if number > since]
        deleted = [] if since == EVERYTHING else deleted
        return {"tasks": tasks, "deleted": deleted, "next": f"{self.epoch}.{account.number}"}

    def _stream(self, account: Account, since: int) -> Iterator[str]:
        cuts = self.cuts
        yield "retry: 200\n\n"
        first = True
        while True:
            with self.changes:
                is_told = first or account.number > since
                told, since = self._since(account, since), account.number
                cursor = told.pop("next")
            if is_told and self.is_cut_within and not first:
                self.is_cut_within = False
                yield event({"tasks": told["tasks"][:1], "deleted": []})
                return
            if is_told:
                yield event(told, cursor)
            first = False
            with self.changes:
                deadline = time.monotonic() + BEAT_SECONDS
                while account.number == since and self.cuts == cuts and time.monotonic() < deadline:
                    self.changes.wait(BEAT_SECONDS)
                if self.cuts != cuts:
                    break
            if account.number == since:
                yield ":\n\n"
        if self.end_of_streams:
            code, retry = self.end_of_streams
            self.end_of_streams = None
            yield f"retry: {retry}\n\n"
            yield f"event: end\n{event({'code': code})}"


def event(data: Json, cursor: str | None = None) -> str:
    text = json.dumps(data, ensure_ascii=False)  # as the service writes it, so with ends of lines that are not its own
    return (f"id: {cursor}\n" if cursor else "") + f"data: {text}\n\n"


def check(fields: Json) -> None:
    """Refuse what the service refuses."""
    title = fields.get("title", "x")
    if not title.strip() or len(title) > 200:
        raise Refused(422, "VALIDATION_FAILED", "title must have at most 200 characters")


def newest_first(account: Account) -> list[Json]:
    return sorted(account.tasks.values(), key=lambda task: (task["created_at"], task["id"]), reverse=True)


def token(account: Account, kind: str) -> str:
    """Return something that looks like the service's tokens."""
    claims = {"sub": account.id, "jti": token_urlsafe(8), "exp": int(time.time()) + 900}
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "typ": kind}, claims))
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), token_urlsafe(32)])
