"""People who write without a pause, try again what was not answered, and remember what was acknowledged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import uuid4

import httpx
import psycopg

from app.core.clock import stopwatch
from tests.support.copies import CHANGES, Copy
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Server


@dataclass
class Acknowledged:
    """What the service has promised to keep."""

    versions: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    used_tokens: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)  # 0: no answer
    writes: int = 0
    copies: list[Copy] = field(default_factory=list)


class Stopped(Exception):
    """The writer was asked to stop."""


class Writer:
    """One person with one request in flight."""

    def __init__(self, client: httpx.AsyncClient, known: Acknowledged) -> None:
        self.person = Person(client, new_email())
        self.copy = Copy(self.person)
        self.known = known
        self.answered_at = 0.0
        self.stopped = False

    async def send(self, method: str, path: str, **options: object) -> httpx.Response | None:
        """Return the answer, or None if there was none. Raises: Stopped."""
        if self.stopped:
            raise Stopped
        try:
            answer = await self.person.send(method, path, **options)
        except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ReadTimeout):
            answer = None
        # 502: the server behind the balancer died with the request.
        if answer is None or answer.status_code == HTTPStatus.BAD_GATEWAY:
            self.known.statuses[0] += 1
            return None
        self.known.statuses[answer.status_code] += 1
        if answer.is_success:
            self.answered_at = asyncio.get_running_loop().time()
        return answer

    async def insist(self, method: str, path: str, **options: object) -> httpx.Response:
        """Send it until it is answered with something else than 503."""
        while True:
            answer = await self.send(method, path, **options)
            if answer is not None and answer.status_code != 503:
                return answer
            await asyncio.sleep(0.02)

    async def write(self) -> None:
        """Sign up, and write until stopped."""
        body = {"email": self.person.email, "password": PASSWORD}
        await self.insist("POST", "/api/auth/signup", json=body)  # 409: the answer to an earlier try was lost
        await self.sign_in()
        while True:
            task_id = await self.create()
            for _ in range(3):
                await self.toggle(task_id)
            await self.pull()
            await self.refresh()
            if self.known.writes % 5 == 0:
                await self.delete(task_id)

    async def sign_in(self) -> None:
        body = {"email": self.person.email, "password": PASSWORD}
        self.person.keep(await self.insist("POST", "/api/auth/signin", json=body))

    async def create(self) -> str:
        key = uuid4().hex
        answer = await self.insist("POST", "/api/tasks", json={"title": key}, headers={"Idempotency-Key": key})
        assert answer.status_code in (200, 201), answer.text
        task_id: str = answer.json()["id"]
        self.known.versions[task_id] = 1
        self.known.writes += 1
        return task_id

    async def toggle(self, task_id: str) -> None:
        answer = await self.send("PATCH", f"/api/tasks/{task_id}/toggle")
        if answer is not None and answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            self.known.versions[task_id] = answer.json()["version"]
            self.known.writes += 1

    async def refresh(self) -> None:
        used = self.person.refresh_token
        answer = await self.send("POST", "/api/auth/refresh", json={"refresh_token": used})
        if answer is not None and answer.status_code == 200:
            self.known.used_tokens.append(used)
            self.known.writes += 1
            self.person.keep(answer)
        elif answer is None or answer.status_code == 401:
            await self.sign_in()  # the answer that was lost held the new token, and the old one is used up

    async def pull(self) -> None:
        answer = await self.send("GET", CHANGES, params=self.copy.question)
        if answer is not None and answer.status_code != 503:
            self.copy.apply(answer)

    async def delete(self, task_id: str) -> None:
        del self.known.versions[task_id]  # until the answer comes nobody knows whether it is there
        answer = await self.send("DELETE", f"/api/tasks/{task_id}")
        if answer is not None and answer.status_code == 204:
            self.known.deleted.add(task_id)
            self.known.writes += 1


async def more_written(known: Acknowledged, count: int, *, server: Server | None = None) -> int:
    """Wait until so many more are acknowledged, or the server has ended. Return how many are in all."""
    enough = known.writes + count
    deadline = stopwatch() + 60
    while known.writes < enough and not (server and server.process.poll() is not None):
        assert stopwatch() < deadline, f"{known.writes} of {enough} writes in a minute"
        await asyncio.sleep(0.01)
    return known.writes


@asynccontextmanager
async def writing(url: str, known: Acknowledged, *, people: int = 6) -> AsyncIterator[list[Writer]]:
    """Keep so many people writing until the block ends; then let each finish its request."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        writers = [Writer(client, known) for _ in range(people)]
        known.copies += [writer.copy for writer in writers]
        at_work = [asyncio.create_task(writer.write()) for writer in writers]
        try:
            yield writers
            for task in at_work:
                assert not task.done(), task.exception()
        finally:
            for writer in writers:  # not cancelled: httpx would leave a half-made connection's socket open
                writer.stopped = True
            ended = await asyncio.gather(*at_work, return_exceptions=True)
        assert all(isinstance(end, Stopped) for end in ended), ended


async def check(database_url: str, service_url: str, known: Acknowledged, *, moved: bool = False) -> None:
    """Assert that nothing acknowledged is lost or there twice, no used token is valid again, no status is unknown.

    And that every copy is what the list is; only where another server has taken over may it have begun anew.
    """
    with psycopg.connect(database_url) as connection:
        found = {str(row[0]): (row[1], row[2]) for row in connection.execute("SELECT id, title, version FROM tasks")}
    lost = [i for i, version in known.versions.items() if found.get(i, ("", 0))[1] < version]
    risen = known.deleted & found.keys()
    twice = [title for title, count in Counter(title for title, _ in found.values()).items() if count > 1]
    async with httpx.AsyncClient(base_url=service_url, timeout=30) as client:
        wrong = [copy for copy in known.copies if not await is_true(copy, client)]
        # Newest first: the first one that is reused ends its session, and from then on the older ones are refused too.
        newest_first = reversed(known.used_tokens)
        again = [await client.post("/api/auth/refresh", json={"refresh_token": used}) for used in newest_first]
    not_refused = [answer for answer in again if answer.status_code not in (401, 429)]
    unknown = known.statuses.keys() - {0, 200, 201, 204, 401, 409, 503} - ({410} if moved else set())
    print(
        f"{known.writes} acknowledged writes: {len(lost)} lost, {len(twice)} twice, {len(risen)} risen; "
        f"{len(again)} used tokens, {len(not_refused)} not refused; {len(known.copies)} copies, {len(wrong)} wrong; "
        f"statuses {dict(known.statuses)}"
    )
    assert (lost, twice, risen, not_refused, unknown, wrong) == ([], [], set(), [], set(), [])


async def is_true(copy: Copy, client: httpx.AsyncClient) -> bool:
    """Return whether a copy is what the list is, once it has asked again; those who never signed up have none."""
    copy.person.client = client
    if not copy.person.access_token:
        return True
    answer = await copy.person.get(CHANGES, params=copy.question)
    if answer.status_code == 401:  # the session ended with a lost answer
        copy.person.keep(await client.post("/api/auth/signin", json={"email": copy.person.email, "password": PASSWORD}))
    await copy.pull()
    return copy.tasks == await copy.truth()
