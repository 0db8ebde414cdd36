"""`users history`: why was Ada signed out?"""

import asyncio
import gzip
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.core.logging import AUDIT, JsonFormatter
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person, is_signed_in
from tests.support.server import app_of, client_of, running
from tests.support.settings import SECRET, environment_of, make_settings

Operate = Callable[..., str]
KEPT = {"logger", "event", "actor", "user_id", "session_id", "address", "at"}


@contextmanager
def logging_to(file: Path) -> Iterator[Path]:
    """Write into a file what a service logs that has started before."""
    handler = logging.FileHandler(file)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield file
    logging.getLogger().removeHandler(handler)
    handler.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The service's log, which is a file."""
    with logging_to(tmp_path / "service.log") as file:
        yield file


def written(log: Path) -> str:
    return log.read_text()


@pytest.fixture
def operate(own_database_url: str, tmp_path: Path, log: Path) -> Operate:
    """Runs a command, whose lines go to the log as a container's do, and returns what it prints."""

    def run(*arguments: str) -> str:
        with log.open("ab") as lines:
            done = subprocess.run(
                [sys.executable, "-m", "app", *arguments],
                cwd=tmp_path,
                env=environment_of(BETTER_AUTH_SECRET=SECRET, DATABASE_URL=own_database_url),
                stdout=subprocess.PIPE,
                stderr=lines,
                text=True,
                check=True,
            )
        return done.stdout

    return run


@pytest.fixture
async def clocked_client(own_database_url: str, clock: FrozenClock) -> AsyncIterator[httpx.AsyncClient]:
    async with running(make_settings(own_database_url), clock=clock) as client:
        yield client


class Story:
    """Ada on her telephone, and what happens to her."""

    def __init__(self, ada: Person, operate: Operate, clock: FrozenClock, url: str, folder: Path) -> None:
        self.ada, self.operate, self.clock, self.url, self.folder = ada, operate, clock, url, folder

    async def theft(self) -> None:
        stolen = self.ada.refresh_token
        self.ada.keep(await self.ada.refresh())
        async with client_of(app_of(self.ada.client), "198.51.100.9") as thief:
            body = {"refresh_token": stolen}
            await thief.post("/api/auth/refresh", json=body, headers={"User-Agent": "stolen-tokens/1"})

    async def operator(self) -> None:
        await asyncio.to_thread(self.operate, "users", "signout", self.ada.email)

    async def device(self) -> None:
        laptop = await self.ada.sign_in()
        await laptop.send("DELETE", f"/api/auth/sessions/{self.ada.session_id}")

    async def password(self) -> None:
        laptop = await self.ada.sign_in()
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} new"}
        assert (await laptop.send("POST", "/api/auth/password", json=body)).status_code == 200

    async def expiry(self) -> None:
        self.clock.advance(days=8)

    async def closing(self) -> None:
        await asyncio.to_thread(self.operate, "users", "deactivate", self.ada.email)

    async def restore(self) -> None:
        dump = str(self.folder / "dump")
        await asyncio.to_thread(self.operate, "dump", dump)
        await asyncio.to_thread(self.operate, "restore", dump)

    async def failover(self) -> None:
        """Make the database one that lacks Ada's last new password, as an asynchronous standby may."""
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} new"}
        self.ada.keep(await self.ada.send("POST", "/api/auth/password", json=body))
        with psycopg.connect(make_conninfo(self.url)) as connection:
            connection.execute("UPDATE user_state SET token_version = token_version - 1")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("theft", "a used refresh token was presented again: this session has ended, by somebody, from 198.51.100.9"),
        pytest.param(
            *("operator", "signed out everywhere: every session has ended, by an operator"), marks=pytest.mark.slow
        ),
        ("device", "this session was ended, from 203.0.113.7"),
        ("password", "changed the password: every other session has ended, from 203.0.113.7"),
        ("expiry", "a refresh was refused: its token had run out"),
        ("closing", "closed the account: every session has ended, by an operator"),
        pytest.param(
            *("restore", "restored the database from a dump: everybody was signed out, by an operator"),
            marks=pytest.mark.slow,
        ),
        ("failover", "a refresh was refused: the database does not know of it: it was restored, or has failed over"),
    ],
)
async def test_one_command_tells_why_somebody_was_signed_out(
    clocked_client: httpx.AsyncClient,
    operate: Operate,
    clock: FrozenClock,
    own_database_url: str,
    log: Path,
    what: str,
    told: str,
) -> None:
    """An operator is asked why Ada was signed out, and one command answers, whatever it was. Source: FR-050."""
    ada = await Person.sign_up(clocked_client)
    bob = await Person.sign_up(clocked_client)
    story = Story(ada, operate, clock, own_database_url, log.parent)
    await getattr(story, what)()
    refused = await ada.refresh()
    assert refused.status_code == 401
    assert refused.json()["code"] in ("INVALID_TOKEN", "REFRESH_TOKEN_REUSED")
    history = (await asyncio.to_thread(operate, "users", "history", ada.email, str(log))).splitlines()
    assert "signed up" in history[0]
    assert any(told in line for line in history), "\n".join(history)
    assert any("a refresh was refused: " in line for line in history)
    assert ada.session_id in history[0]
    assert bob.session_id not in "\n".join(history)
    if what == "theft":
        assert any("user_agent stolen-tokens/1" in line for line in history)


async def test_every_event_says_who_did_it_from_where_and_no_secret(
    client: httpx.AsyncClient, ada: Person, log: Path
) -> None:
    """A line of the trail has the actor, the address and the session; of somebody unknown also the program. FR-048."""
    laptop = await ada.sign_in()
    await client.post("/api/auth/signin", json={"email": ada.email, "password": "c4nary-wrong"})
    await client.post("/api/auth/signin", json={"email": "nobody@example.test", "password": "c4nary-wrong"})
    await laptop.send("POST", "/api/auth/password", json={"current_password": "c4nary", "new_password": "c4nary-new-1"})
    await laptop.send("POST", "/api/auth/signout", json={"others": True})
    await laptop.send("POST", "/api/auth/signout")
    again = await ada.sign_in()
    await again.send("POST", "/api/auth/signout", json={"everywhere": True})
    lines = [json.loads(line) for line in written(log).splitlines()]
    trail = [line for line in lines if line["logger"] == AUDIT]
    assert [line["event"] for line in trail] == [
        *("signed_in", "sign_in_failed", "sign_in_failed", "own_password_wrong"),
        *("session_ended", "signed_out", "signed_in", "signed_out_everywhere"),
    ]
    for line in trail:
        known = line["actor"] == "user"
        assert line["address"] == "203.0.113.7"
        assert ("user_agent" in line) is not known
        assert not known or line["user_id"] == ada.user["id"]
        assert line.keys() >= KEPT - {"session_id", "user_id"}
    assert "user_id" not in trail[2]
    assert "c4nary" not in written(log)


async def test_a_foreign_path_is_an_event(own_database_url: str, tmp_path: Path) -> None:
    """An operator sees who has tried other people's paths. Source: ASVS 5.0 16.3.2."""
    async with running(make_settings(own_database_url, API_CONTRACTS="path")) as client:
        ada = await Person.sign_up(client)
        with logging_to(tmp_path / "service.log") as log:
            assert (await ada.get(f"/api/{uuid4()}/tasks")).status_code == 403
    (line,) = [line for line in written(log).splitlines() if "foreign_path_refused" in line]
    assert json.loads(line)["user_id"] == ada.user["id"]


def test_history_reads_what_log_files_are(own_database_url: str, tmp_path: Path, operate: Operate) -> None:
    """Files are rotated and packed, of containers and of other programs; an account that is deleted has its id."""
    user_id, other = str(uuid4()), str(uuid4())

    def line(event: str, at: str, user: str = user_id) -> str:
        return json.dumps({"logger": AUDIT, "event": event, "at": at, "user_id": user, "actor": "user"})

    with gzip.open(tmp_path / "old.log.gz", "wt") as old:
        old.write(f"api-1  | {line('signed_up', '2026-01-01T10:00:00.000+00:00')}\n")
    new = [
        "no JSON at all",
        "{broken",
        "[]",
        line("signed_out", "2026-01-03T10:00:00.000+00:00"),
        line("signed_in", "2026-01-02T10:00:00.000+00:00"),
        line("signed_in", "2026-01-02T10:00:00.000+00:00", other),
        json.dumps({"logger": "x", "event": "database_server_left", "time": "2026-01-04T10:00:00.000+00:00"}),
    ]
    (tmp_path / "new.log").write_text("\n".join(new))
    files = [str(tmp_path / name) for name in ("new.log", "old.log.gz")]
    told = operate("users", "history", user_id, *files).splitlines()
    assert [line[:10] for line in told] == ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
    assert told[-1].endswith("the database has failed over to another server")
    with pytest.raises(subprocess.CalledProcessError):
        operate("users", "history", user_id, str(tmp_path / "missing.log"))


async def test_nobody_is_told_what_the_trail_is_told(clocked_client: httpx.AsyncClient, log: Path) -> None:
    """A refused refresh gives no reason to whoever asks: it may be a thief. Source: RFC 9700 4.14.2."""
    ada = await Person.sign_up(clocked_client)
    await ada.send("POST", "/api/auth/signout")
    refused = await ada.refresh()
    assert "signed_out" not in refused.text
    assert not await is_signed_in(ada)
    assert '"reason":"signed_out"' in written(log)
