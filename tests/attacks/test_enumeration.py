"""Signing in tells nobody which accounts there are: not by its words, not by its time."""

import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from app.auth.tokens import make_codec
from app.core.clock import stopwatch, system_clock
from tests.support.mail import Says, listening, mail_settings
from tests.support.people import Person, new_email
from tests.support.server import free_port, serving
from tests.support.settings import make_settings
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def auc(first: list[float], second: list[float]) -> float:
    """Return the chance that one of the first is slower than one of the second: 0.5 tells nothing."""
    ranked = sorted([(t, 0) for t in first] + [(t, 1) for t in second])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    return (ranks - len(first) * (len(first) + 1) / 2) / (len(first) * len(second))


async def timed(client: httpx.AsyncClient, email: str) -> float:
    began = stopwatch()
    answer = await client.post("/api/auth/signin", json={"email": email, "password": "wrong password"})
    assert answer.status_code == 401
    return stopwatch() - began


async def pairs(client: httpx.AsyncClient, known: str, count: int) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(count):
        for which in (number % 2, 1 - number % 2):
            times[which].append(await timed(client, (known, new_email())[which]))
    return times


async def test_2000_pairs_of_timings_cannot_be_told_apart(http: httpx.AsyncClient) -> None:
    """The time of an answer does not tell whether an account exists.

    Measured at low cost, where the hash hides least; the machine is shared, so the best of three counts.
    """
    ada = await Person.sign_up(http)
    figures = []
    for _ in range(3):
        figures.append(auc(*await pairs(http, ada.email, 2000)))
        if abs(figures[-1] - 0.5) <= 0.04:
            break
    print(f"rank AUC of 2,000 interleaved pairs at cost 4: {[round(f, 3) for f in figures]}")
    assert abs(figures[-1] - 0.5) <= 0.04


async def test_at_full_cost_the_medians_agree(database_url: str, tmp_path: Path) -> None:
    """The time of an answer does not tell at the cost of a production either."""
    with serving(tmp_path, DATABASE_URL=database_url, PASSWORD_HASH_COST="12") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            ada = await Person.sign_up(client)
            figures, known, unknown = [], list[float](), list[float]()
            for _ in range(6):
                for all_times, times in zip((known, unknown), await pairs(client, ada.email, 40), strict=True):
                    all_times.extend(times)
                figures.append(statistics.median(known) / statistics.median(unknown))
                if abs(figures[-1] - 1) <= 0.01:
                    break
            print(f"medians at cost 12, known / unknown: {[round(f, 4) for f in figures]}")
            assert abs(figures[-1] - 1) <= 0.01


async def test_the_first_answer_after_a_start_does_not_tell_either(database_url: str, tmp_path: Path) -> None:
    """By passlib's own dummy it would: that makes the first unknown e-mail address twice as slow.

    The machine is shared, so the best of three starts counts.
    """
    ratios = []
    for _ in range(3):
        with serving(tmp_path, DATABASE_URL=database_url, PASSWORD_HASH_COST="12") as server:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                first, *others = [await timed(client, new_email()) for _ in range(12)]
                ratios.append(first / statistics.median(others))
    print(f"first unknown address after a start / median: {[round(ratio, 2) for ratio in ratios]}")
    assert min(ratios) < 1.6


async def test_1000_pairs_of_resets_cannot_be_told_apart(http: httpx.AsyncClient) -> None:
    """The time of an answer does not tell whether the account of a used link is still there.

    The machine is shared, so the best of three counts.
    """
    ada = await Person.sign_up(http)
    codec = make_codec(make_settings("postgresql://localhost/none"))
    tokens = [codec.issue_reset(it, 7, system_clock()) for it in (UUID(ada.user["id"]), uuid4())]

    async def timed_reset(token: str) -> float:
        began = stopwatch()
        answer = await http.post("/api/auth/reset", json={"token": token, "new_password": ada.password})
        assert answer.status_code == 401
        return stopwatch() - began

    figures = []
    for _ in range(3):
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(1000):
            for which in (number % 2, 1 - number % 2):
                times[which].append(await timed_reset(tokens[which]))
        figures.append(auc(*times))
        if abs(figures[-1] - 0.5) <= 0.04:
            break
    print(f"rank AUC of 1,000 interleaved pairs of resets at cost 4: {[round(f, 3) for f in figures]}")
    assert abs(figures[-1] - 0.5) <= 0.04


@contextmanager
def mailing(database_url: str, folder: Path, *, takes: bool, **settings: str) -> Iterator[str]:
    """Run the service with a mail server that takes all mails, or that never says a word, and yield its URL."""
    with ExitStack() as stack:
        if takes:
            port = free_port()
            sink = ["-W", "ignore", "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Sink", "-l", f"127.0.0.1:{port}"]
            process = stack.enter_context(subprocess.Popen([sys.executable, *sink]))
            stack.callback(process.terminate)
            wait_until(lambda: is_open(port))
        else:
            port = stack.enter_context(listening(Says))
        named: dict[str, Any] = {name.upper(): str(value) for name, value in mail_settings(port, **settings).items()}
        server = stack.enter_context(serving(folder, DATABASE_URL=database_url, LOG_LEVEL="WARNING", **named))
        stack.callback(server.kill)  # it would wait for the mails
        yield server.url


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def insert_accounts(database_url: str, count: int) -> list[str]:
    """Make accounts of which nobody knows the password."""
    emails = [new_email() for _ in range(count)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "WITH made AS (INSERT INTO users (id, email, password_hash) "
            "SELECT gen_random_uuid(), unnest(%s::text[]), '' RETURNING id) "
            "INSERT INTO user_state (user_id) SELECT id FROM made",
            (emails,),
        )
    return emails


async def ask(client: httpx.AsyncClient, email: str) -> tuple[float, float, tuple[int, bytes, list[str]]]:
    """Ask for a link; return how long it took, how long the next request on the connection took, and the answer."""
    began = stopwatch()
    answer = await client.post("/api/auth/reset/mail", json={"email": email})
    between = stopwatch()
    await client.get("/health/live")
    alike = [f"{name}: {value}" for name, value in answer.headers.items() if name not in ("date", "x-request-id")]
    body = answer.content.replace(answer.headers["x-request-id"].encode(), b"")
    return between - began, stopwatch() - between, (answer.status_code, body, alike)


async def compare(client: httpx.AsyncClient, known: list[str], unknown: list[str], status: int) -> tuple[float, float]:
    """Ask for both in turns; return the AUC of the answers' times and of the next requests'. The answers are alike."""
    times: tuple[list[float], ...] = ([], [], [], [])
    answers = set()
    for number, pair in enumerate(zip(known, unknown, strict=True)):
        for which in (number % 2, 1 - number % 2):
            first, then, (code, body, headers) = await ask(client, pair[which])
            times[which].append(first)
            times[2 + which].append(then)
            answers.add((code, body, *headers))
    assert len(answers) == 1, answers
    assert {code for code, *_ in answers} == {status}
    return auc(times[0], times[1]), auc(times[2], times[3])


async def best_of_three(
    client: httpx.AsyncClient, known: list[str], status: int, *, asked_before: bool = False
) -> list[tuple[float, float]]:
    """Compare until the times are as alike as those of 200 pairs can be: the machine is shared."""
    figures = []
    for _ in range(3):
        unknown = [new_email() for _ in known]
        for email in (*known, *unknown) if asked_before else ():
            await client.post("/api/auth/reset/mail", json={"email": email})
        figures.append(await compare(client, known, unknown, status))
        if max(abs(figure - 0.5) for figure in figures[-1]) <= 0.06:
            break
    return figures


async def test_200_known_and_200_unknown_addresses_get_the_same_answer(own_database_url: str, tmp_path: Path) -> None:
    """Nobody learns from asking for a link which addresses have an account.

    Not by the answer, not by its time, and not by that of the next request.
    """
    known = insert_accounts(own_database_url, 200)
    with mailing(own_database_url, tmp_path, takes=True) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            figures = await best_of_three(client, known, 202)
    print(f"rank AUC of 200 pairs of asking for a link, then of the next request: {rounded(figures)}")
    assert max(abs(figure - 0.5) for figure in figures[-1]) <= 0.06


async def test_neither_a_limit_nor_a_full_queue_tells_200_known_from_200_unknown(
    own_database_url: str, tmp_path: Path
) -> None:
    """Nor does anybody learn it when the limit of an address is reached, or when too many mails wait."""
    known = insert_accounts(own_database_url, 200)
    limits = {"rate_limits": "on", "rate_limit_mail_client": "100000/hour", "rate_limit_mail_account": "1/hour"}
    with mailing(own_database_url, tmp_path, takes=False, **limits) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            limited = await best_of_three(client, known, 202, asked_before=True)
            while (await client.post("/api/auth/reset/mail", json={"email": new_email()})).status_code == 202:
                pass
            full = await best_of_three(client, known, 503)
    print(f"the same, limit reached: {rounded(limited)}, queue full: {rounded(full)}")
    assert max(abs(figure - 0.5) for figure in (*limited[-1], *full[-1])) <= 0.06


def rounded(figures: list[tuple[float, float]]) -> list[tuple[float, ...]]:
    return [tuple(round(figure, 3) for figure in pair) for pair in figures]
