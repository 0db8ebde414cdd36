"""Prints one table: this service, the usual way and the limit, in turns, over the same tables."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from app.core.database.dsn import parse_database_url
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.migrations import upgrade
from tests.bench import live
from tests.bench.data import PASSWORD, People, Person, Request, access_token, make_tokens, refresh_requests, seed
from tests.bench.servers import Target, Window, load, three_servers
from tests.support.settings import SECRET

# Tokens that nobody has used yet, for one window: more than the fastest can use up.
LIVE = "live"  # streams, which only this service has
REFRESHES_A_SECOND = {"this service": 6000, "usual": 2000, "limit": 14000}


class Bench:
    """What is asked, how hard, and how the answers are checked."""

    def __init__(self, folder: Path, database: Target, people: People, seconds: int) -> None:
        self.folder = folder
        self.database = database
        self.people = people
        self.seconds = seconds
        self.tokens = make_tokens(SECRET)
        self.owner = {access_token(self.tokens, person): person for person in (*people.few, people.many)}
        *few, many = self.owner
        self.few = few
        self.work: dict[str, tuple[int, Callable[[Target], list[Request]]]] = {
            "get one": (16, self.get_one),
            "list of 20": (16, lambda _: [Request("GET", "/api/tasks", token) for token in few]),
            "list of 1,000": (4, lambda _: [Request("GET", "/api/tasks", many)]),
            "mix": (16, self.mix),
            # What makes tasks comes after what looks at a list's first page.
            "create": (16, lambda _: [Request("POST", "/api/tasks", token, '{"title": "Buy milk"}') for token in few]),
            "refresh": (8, self.refresh),
            "refresh with a key": (8, partial(self.refresh, keys=True)),
            "get one, 100 connections": (100, self.get_one),
            "sign-in, cost 12": (4, self.sign_in),
        }

    def get_one(self, target: Target) -> list[Request]:
        return [Request("GET", f"/api/tasks/{self.owner[token].task_ids[7]}", token) for token in self.few]

    def mix(self, target: Target) -> list[Request]:
        """Return what a client does that shows a page, one of its tasks, changes that one, and who is signed in."""
        return [
            request
            for token in self.few
            for task in [f"/api/tasks/{self.owner[token].task_ids[7]}"]
            for request in (
                Request("GET", "/api/auth/me", token),
                Request("GET", "/api/tasks?limit=10", token),
                Request("GET", task, token),
                Request("PATCH", task, token, '{"title": "Water the plants"}'),
            )
        ]

    def refresh(self, target: Target, *, keys: bool = False) -> list[Request]:
        count = int(REFRESHES_A_SECOND[target.name] * (self.seconds + 1))
        return refresh_requests(self.tokens, self.people.few, count, keys=keys)

    def sign_in(self, target: Target) -> list[Request]:
        bodies = [f'{{"email": "{person.email}", "password": "{PASSWORD}"}}' for person in self.people.few]
        return [Request("POST", "/api/auth/signin", "", body) for body in bodies]

    def window(self, target: Target, work: str, *, connections: int = 0) -> Window:
        """Load one server with one kind of work, by as many connections as that has unless they are given.

        Raises: AssertionError for a wrong answer in the sample.
        """
        usual, make = self.work[work]
        connections = connections or usual
        requests = make(target)
        self.check(target, work, requests)
        file = self.folder / "requests"
        file.write_text("".join("\t".join(request) + "\n" for request in requests[4:] or requests))
        return load(target, self.database, file, connections=connections, seconds=self.seconds)

    def check(self, target: Target, work: str, requests: list[Request]) -> None:
        """Hold a sample of the answers against what was stored."""
        for method, path, token, body, key in requests[:4]:
            headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
            headers |= {"Idempotency-Key": key} if key else {}
            answer = httpx.request(method, target.url + path, headers=headers, content=body or None, timeout=30)
            assert answer.is_success, (target.name, work, answer.status_code, answer.text)
            found = answer.json()
            if work == "mix":
                self.check_one_of_mix(method, path, found, self.owner[token])
            elif work.startswith("get"):
                assert found["id"] == path.rpartition("/")[2]
                assert found["user_id"] == str(self.owner[token].id)
            elif work.startswith("list"):
                assert [task["id"] for task in found] == [str(i) for i in reversed(self.owner[token].task_ids)]
                assert all(task["title"].endswith("🌱") and len(task) == 10 for task in found)
            elif work == "create":
                assert (found["title"], found["user_id"]) == ("Buy milk", str(self.owner[token].id))
            else:
                assert found["access_token"] != found["refresh_token"]

    def check_one_of_mix(self, method: str, path: str, found: Any, owner: Person) -> None:
        if path == "/api/auth/me":
            assert (found["id"], found["email"]) == (str(owner.id), owner.email)
        elif "limit" in path:
            assert [task["id"] for task in found] == [str(i) for i in reversed(owner.task_ids)][:10]
        else:
            assert (found["id"], found["user_id"]) == (path.rpartition("/")[2], str(owner.id))
            assert method == "GET" or found["title"] == "Water the plants"


COLUMNS = ("x usual", "of limit", "less CPU", "req/s", "CPU/1k", "PG CPU/1k", "p50 ms", "p99 ms", "errors")


def table(work: str, windows: dict[str, list[Window]]) -> str:
    """Return the medians over the rounds as a table.

    Ratios are medians of each round's own; CPU is in seconds per 1,000 requests.
    """
    lines = [f"{work:28}" + "".join(f"{column:>10}" for column in COLUMNS)]
    for name, own in windows.items():
        rates = {other: ratio(own, windows[other], lambda w: w.rate) for other in ("usual", "limit")}
        less_cpu = ratio(windows["usual"], own, lambda w: w.cpu_per_thousand)
        parts = ("rate", "cpu_per_thousand", "database_cpu_per_thousand", "p50", "p99")
        middle = (median(getattr(window, part) for window in own) for part in parts)
        figures = (*rates.values(), less_cpu, *middle, sum(window.errors for window in own))
        lines.append(f"  {name:26}" + "".join(f"{figure:10.3g}" for figure in figures))
    return "\n".join(lines)


def ratio(own: list[Window], other: list[Window], value: Callable[[Window], float]) -> float:
    return median(value(a) / (value(b) or 1) for a, b in zip(own, other, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each window")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help=f"part of a kind of work's name, or {LIVE}")
    parser.add_argument(
        "--plot", type=Path, help="draw get one over 1 to 1,000 connections into this file, and no more"
    )
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed to load the servers: apt-get install wrk, or your system's package of that name.")
    folder = Path(tempfile.mkdtemp(prefix="auth-tasks-bench-"))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        url = postgres.start()
        upgrade(parse_database_url(url))
        postmaster = int((postgres.data_dir / "postmaster.pid").read_text().split()[0])
        database, people = Target("PostgreSQL", url, postmaster), seed(url, 12)
        if options.only == LIVE:
            live.measure(folder, database, people, rounds=options.rounds, seconds=options.seconds)
            return
        bench = Bench(folder, database, people, options.seconds)
        with three_servers(folder, url, secret=SECRET, workers=options.workers) as targets:
            print(
                f"{options.workers} workers, {os.cpu_count()} cores, {options.rounds} rounds of {options.seconds} s\n"
            )
            if options.plot:
                from tests.bench.plot import draw  # matplotlib is installed for it alone

                draw(bench, targets, options.rounds, options.plot)
                return
            for work in (name for name in bench.work if options.only in name):
                print(table(work, measure(bench, targets, work, options.rounds)), flush=True)
            for target in targets:
                print(f"memory of {target.name}: {target.memory_mb()} MB (PSS)")
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(bench: Bench, targets: list[Target], work: str, rounds: int) -> dict[str, list[Window]]:
    """Measure one window to warm up, then rounds in turns: A B C, C B A, …"""
    windows: dict[str, list[Window]] = {target.name: [] for target in targets}
    for number in range(rounds + 1):
        for target in targets if number % 2 else reversed(targets):
            window = bench.window(target, work)
            if number:
                windows[target.name].append(window)
    return windows


if __name__ == "__main__":
    main()
