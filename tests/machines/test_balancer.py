"""Two and four processes behind a balancer: nothing is kept in a process that another would need."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.core.test_rate_limit_redis import redis  # noqa: F401  # a fixture
from tests.faults.load import Acknowledged, check, writing
from tests.machines.balancer import balanced, needs_nginx
from tests.support.people import Person, new_email
from tests.support.settings import ROOT

pytestmark = [pytest.mark.slow, needs_nginx]

NOT_THROUGH_A_BALANCER = (
    "test_of_many_at_once_one_wins_and_the_sign_in_is_over",  # reads the log in its own process
    "test_no_operation_opens_without_a_token",  # nginx trims and refuses odd headers by itself
    "test_a_bad_key_is_422",  # the same
    "test_a_bad_key_uses_nothing_up",  # the same
    "test_several_lines_of_a_condition_are_one_list",  # the same
    "test_a_foreign_task_answers_like_a_missing_one",  # nginx adds Date; test_races has it without
)


@pytest.mark.parametrize(("marked", "at_least"), [("core", 50), pytest.param("", 250, marks=pytest.mark.nightly)])
def test_the_tests_of_the_api_pass_through_it(
    own_database_url: str, tmp_path: Path, marked: str, at_least: int
) -> None:
    """Clients need not be sent to the same process twice: the tests pass with each request to any of them."""
    with balanced(tmp_path, 4, DATABASE_URL=own_database_url) as service:
        passed = run_tests(
            *("tests/sessions/test_refresh.py", "tests/sessions/test_refresh_again.py"),
            *("tests/sessions/test_sign_out.py", "tests/accounts/test_sign_up.py"),
            *("tests/tasks/test_tasks.py", "tests/tasks/test_list.py", "tests/tasks/test_isolation.py"),
            *("tests/attacks/test_rotation.py", "tests/attacks/test_races.py"),
            marked=marked,
            without=NOT_THROUGH_A_BALANCER,
            TEST_SERVICE_URL=service.url,
            TEST_SERVICE_DATABASE_URL=own_database_url,
        )
    print(f"four processes behind nginx: {passed} tests passed")
    assert passed > at_least


def run_tests(*paths: str, marked: str, without: tuple[str, ...] = (), **environment: str) -> int:
    """Run tests, those with a mark or all, in a process of their own, and return how many passed."""
    chosen = " and ".join(f"not {name}" for name in without)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", marked or "slow or not slow", "-k", chosen, *paths],
        cwd=ROOT,
        env={**os.environ, "TEST_ROUNDS": "2" if marked else "10", **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found
    return int(found[1])


@pytest.fixture(params=["database", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "database" else request.getfixturevalue("redis")[0]


async def test_a_limit_is_exact_over_four_processes(own_database_url: str, tmp_path: Path, storage: str) -> None:
    """More processes give a guesser no more tries: 20 of 100 at once, from as many addresses."""
    settings = {"RATE_LIMITS": "on", "RATE_LIMIT_SIGNIN_ACCOUNT": "20/15minutes", "RATE_LIMIT_STORAGE": storage}
    with balanced(tmp_path, 4, DATABASE_URL=own_database_url, **settings) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            ada = await Person.sign_up(client)

            async def guess(number: int) -> int:
                body = {"email": ada.email, "password": "wrong"}
                headers = {"X-Forwarded-For": f"192.0.2.{number}"}
                return (await client.post("/api/auth/signin", json=body, headers=headers)).status_code

            assert Counter(await asyncio.gather(*(guess(number) for number in range(100)))) == {401: 20, 429: 80}


async def test_a_killed_process_takes_only_its_own_requests_with_it(own_database_url: str, tmp_path: Path) -> None:
    """A machine that dies costs the requests in flight there, and nothing acknowledged."""
    known, people = Acknowledged(), 12
    with balanced(tmp_path, 4, DATABASE_URL=own_database_url) as service:
        async with writing(service.url, known, people=people):
            for number, server in enumerate(service.servers[:2]):
                await asyncio.sleep(1)
                await asyncio.to_thread(server.kill)  # requests go on being sent meanwhile
                await asyncio.sleep(1)
                lost = known.statuses[0]
                print(
                    f"killed {number + 1} of 4: {lost} requests without an answer, {known.writes} writes acknowledged"
                )
                assert lost <= people * (number + 1), "more than can have been in flight"
        await check(own_database_url, service.url, known)
    assert known.statuses[503] == 0


async def test_one_process_signs_out_what_another_signed_in(own_database_url: str, tmp_path: Path) -> None:
    """Signing out holds at once on every machine, also on one that has just verified the token."""
    with balanced(tmp_path, 2, DATABASE_URL=own_database_url) as service:
        first, second = [httpx.AsyncClient(base_url=server.url) for server in service.servers]
        async with first, second:
            for _ in range(50):
                ada = await Person.sign_up(first, email=new_email())
                there = Person(second, ada.email, access_token=ada.access_token)
                assert (await there.get("/api/tasks")).status_code == 200
                await ada.send("POST", "/api/auth/signout")
                assert (await there.get("/api/tasks")).status_code == 401
        with psycopg.connect(own_database_url) as connection:
            counted = connection.execute("SELECT count(*) FROM token_denylist").fetchone()
    assert counted == (50,)


async def test_an_idle_connection_outlives_that_of_the_balancer(own_database_url: str, tmp_path: Path) -> None:
    """No request fails because the server closes an idle connection first. Balancers keep theirs for 60 seconds."""
    with balanced(tmp_path, 1, DATABASE_URL=own_database_url) as service:
        where = service.servers[0].url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(where[0], int(where[1]))
        for _ in range(2):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" in await reader.readuntil(b"\r\n")
            await reader.readuntil(b"}")
            await asyncio.sleep(6)
        assert not reader.at_eof()
        writer.close()


def test_a_stopped_process_leaves_the_balancer_without_a_trace(own_database_url: str, tmp_path: Path) -> None:
    """A rolling update is not noticed: one of two gets SIGTERM, and every answer is a 200."""
    statuses: Counter[int] = Counter()
    with balanced(tmp_path, 2, DATABASE_URL=own_database_url) as service, httpx.Client() as client:
        for number in range(400):
            if number == 100:
                service.servers[0].process.send_signal(signal.SIGTERM)
            statuses[client.get(f"{service.url}/health/live").status_code] += 1
        assert service.servers[0].process.wait(10) == 0
    assert statuses == {200: 400}
