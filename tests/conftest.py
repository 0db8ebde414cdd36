"""A real PostgreSQL for every test: the embedded one, or the one that TEST_DATABASE_URL names."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.core.clock import Clock, system_clock
from app.core.config import Settings
from app.core.logging import AUDIT, JsonFormatter
from tests.machines.citus import nodes_of
from tests.support.checks import TOKEN, check_every_response
from tests.support.clock import FrozenClock
from tests.support.databases import migrated_database, new_database, new_folder, new_server, new_template
from tests.support.measuring import choose_measured, import_all, is_measured, untraced
from tests.support.people import PASSWORD, Person
from tests.support.quick_httpx import make_quick
from tests.support.server import Service, running
from tests.support.settings import SECRET, make_settings

make_quick()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server on which databases can be made."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with new_server() as url:
        yield url


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for an embedded database."""
    with new_folder() as made:
        yield made


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database of its own for one test, without tables."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str | None]:
    """The name of the database that migrated ones are copies of; or that of TEST_TEMPLATE_DATABASE."""
    given = os.environ.get("TEST_TEMPLATE_DATABASE")
    if given:
        yield given
        return
    with new_template(postgres_url) as name:
        yield name


@pytest.fixture
def own_database_url(postgres_url: str, template: str | None) -> Iterator[str]:
    """A migrated database of its own, for a test that counts rows, breaks tables or looks at limits."""
    with migrated_database(postgres_url, template) as url:
        yield url


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The migrated database that most tests share, each with people of its own; or that of TEST_SERVICE_URL."""
    given = os.environ.get("TEST_SERVICE_DATABASE_URL")
    if given:
        yield given
        return
    postgres_url, template = map(request.getfixturevalue, ("postgres_url", "template"))
    with migrated_database(postgres_url, template) as url:
        yield url


@pytest.fixture(scope="session")
def settings(database_url: str) -> Settings:
    """The settings of `client` and `clocked`."""
    return make_settings(database_url)


@pytest.fixture(scope="session")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service, or of the one at TEST_SERVICE_URL; every answer is checked for what must always hold."""
    given = os.environ.get("TEST_SERVICE_URL")
    if given:
        async with httpx.AsyncClient(
            base_url=given, timeout=60, event_hooks={"response": [check_every_response]}
        ) as remote:
            yield remote
        return
    async with running(settings) as started:
        yield started


@pytest.fixture
def clock() -> FrozenClock:
    """The clock of `clocked`, and of a `service` that is given it."""
    return FrozenClock()


@pytest.fixture
async def clocked(settings: Settings, clock: FrozenClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose clock the test moves."""
    async with running(settings, clock=clock) as started:
        yield started


@pytest.fixture
def service(database_url: str) -> Service:
    """The service with other settings, over the database that the tests share."""

    def start(*, clock: Clock = system_clock, **overrides: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return running(make_settings(database_url, **overrides), clock=clock)

    return start


@pytest.fixture
async def ada(client: httpx.AsyncClient) -> Person:
    """Somebody who has just signed up."""
    return await Person.sign_up(client, name="Ada")


@pytest.fixture
async def bob(client: httpx.AsyncClient) -> Person:
    """Somebody else."""
    return await Person.sign_up(client, name="Bob")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A second look at the database, past the service."""
    with psycopg.connect(make_conninfo(database_url), autocommit=True, prepare_threshold=None) as opened:
        yield opened


@pytest.fixture(scope="session", autouse=True)
def _no_secret_in_any_line() -> Iterator[None]:
    """Fail if any line that the service logs, through the whole suite and at DEBUG, holds a secret."""
    leaked: list[str] = []
    lines = 0
    plain = JsonFormatter.format

    def checked(self: JsonFormatter, record: logging.LogRecord) -> str:
        nonlocal lines
        lines += 1
        line = plain(self, record)
        if PASSWORD in line or SECRET in line or TOKEN.search(line):
            leaked.append(line)
        return line

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonFormatter, "format", checked)
        yield
    assert not leaked, f"{len(leaked)} of {lines} lines: {leaked[0]}"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Put pytest's own handlers back, and the level: a service or a command that starts takes the loggers over."""
    root, trail = logging.getLogger(), logging.getLogger(AUDIT)
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    trail.handlers[:], trail.propagate = [], True


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Let coverage see the imports of what it measures, and not the collecting."""
    if sys.gettrace() and not session.config.getoption("numprocesses", None):  # if so, the workers collect
        import_all()
    with untraced():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    choose_measured(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let coverage see a test only where it may see something new."""
    if is_measured(item):
        return (yield)
    with untraced():
        return (yield)


def pytest_report_header() -> str:
    """Say on what the tests run."""
    given = os.environ.get("TEST_DATABASE_URL")
    if not given:
        return "database: embedded"
    with psycopg.connect(given) as connection:
        nodes = len(nodes_of(connection))
    return f"database: Citus on {nodes} nodes, every table distributed" if nodes else "database: TEST_DATABASE_URL"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that passed tests have printed."""
    figures = [
        line
        for report in terminalreporter.stats.get("passed", [])
        for line in report.capstdout.splitlines()
        if report.when == "call" and line.strip()
    ]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.line(line)
