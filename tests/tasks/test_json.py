"""The list as it is written, held against the schema that the documentation shows."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.core.config import Settings
from app.tasks import list_repository
from app.tasks.pages import BATCH
from app.tasks.schemas import TaskRead
from tests.support.people import Person
from tests.support.server import app_of, running
from tests.support.settings import make_settings

AS_THE_SCHEMA_WRITES = TypeAdapter(list[TaskRead])
WHOLE_SECOND = re.compile(rb'("\w+_at":"[^"]{19})Z')
COLUMNS = "id, user_id, title, description, status, priority, version, created_at, updated_at"
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200)
MOMENT = st.integers(0, 2**53).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, microseconds)
)
TASK = st.tuples(
    TEXT,
    st.none() | TEXT,
    st.sampled_from(["pending", "in_progress", "completed"]),
    st.sampled_from(["low", "medium", "high"]),
    st.integers(1, 2**31 - 1),
    MOMENT | st.just(datetime(2026, 1, 7, 10, tzinfo=UTC)),
    MOMENT,
)


@pytest.fixture
def configured(database_url: str) -> Settings:
    return make_settings(database_url)


def store(configured: Settings, user_id: str, tasks: list[Any]) -> None:
    with psycopg.connect(configured.dsn.conninfo) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM tasks WHERE user_id = %s", (user_id,))
        with cursor.copy(f"COPY tasks ({COLUMNS}) FROM STDIN") as copy:
            for task in tasks:
                copy.write_row((uuid4(), user_id, *task))


def stored(configured: Settings, user_id: str, order: str = "created_at DESC, id DESC") -> bytes:
    """Write the same rows by the schema, without the service."""
    query = f"SELECT *, status = 'completed' AS completed FROM tasks WHERE user_id = %s ORDER BY {order}"
    with psycopg.connect(configured.dsn.conninfo, row_factory=psycopg.rows.dict_row) as connection:
        rows = connection.execute(query.encode(), (user_id,)).fetchall()
    written = AS_THE_SCHEMA_WRITES.dump_json([TaskRead(**row) for row in rows])
    return WHOLE_SECOND.sub(rb"\1.000000Z", written)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TASK, max_size=8))
async def test_every_text_and_moment_is_written_as_the_schema_does(
    ada: Person, configured: Settings, tasks: list[Any]
) -> None:
    """A client reads the same JSON from a list as from a single task, byte for byte.

    Quotes, control characters, emoji and whole seconds are where writers differ.
    """
    store(configured, ada.user["id"], tasks)
    assert (await ada.get("/api/tasks")).content == stored(configured, ada.user["id"])


async def test_the_list_is_utf_8_whatever_the_url_says(database_url: str) -> None:
    """Lists are UTF-8, though a pasted database URL asks for another encoding."""
    url = f"{database_url}{'&' if '?' in database_url else '?'}client_encoding=latin1"
    async with running(make_settings(url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task("Gießen 🌱", description="ÿ")
        assert (await ada.get("/api/tasks")).json() == [task]


async def test_a_list_is_not_kept_with_its_connection(database_url: str) -> None:
    """Long lists do not stay in memory: otherwise ten megabytes for each connection of the pool."""
    async with running(make_settings(database_url, database_pool_min=1, database_pool_max=1)) as client:
        ada = await Person.sign_up(client)
        await ada.add_task("x" * 200, description="long " * 400)
        await ada.get("/api/tasks")
        await ada.get("/api/auth/me")
        pool = app_of(client).state.database.pool
        connection = await pool.getconn()
        kept = [prepared.transformer.pgresult for prepared in connection._statements._known.values()]
        assert len(kept) > 1
        assert not any(kept)
        await pool.putconn(connection)


async def test_a_list_longer_than_a_batch_is_whole_and_in_order(ada: Person, configured: Settings) -> None:
    """A client cannot tell a list that was read in batches from one that was not."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for count in (BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 2 * BATCH + 7):
        moments = (start + timedelta(seconds=number // 3) for number in range(count))
        store(configured, ada.user["id"], [("t", None, "pending", "low", 1, moment, moment) for moment in moments])
        answer = await ada.get("/api/tasks")
        assert answer.content == stored(configured, ada.user["id"])
        assert len(answer.json()) == count
        reverse = await ada.get("/api/tasks?order=asc&offset=5")
        assert [t["id"] for t in reverse.json()] == [t["id"] for t in answer.json()[::-1][5:]]


async def test_a_sign_in_that_ends_while_its_list_is_read_stops_the_list(ada: Person, configured: Settings) -> None:
    """A client gets no more of a list when its session ends, and can tell that it is not whole."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    store(configured, ada.user["id"], [("t", None, "pending", "low", 1, moment, moment)] * (BATCH + 1))
    select_tasks, calls = list_repository.select_tasks, 0

    async def sign_out_between(*args: Any, **values: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            with psycopg.connect(configured.dsn.conninfo) as connection:
                connection.execute(
                    "UPDATE user_state SET is_active = false WHERE user_id = %s", (UUID(ada.user["id"]),)
                )
        return await select_tasks(*args, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_repository, "select_tasks", sign_out_between)
        answer = await ada.get("/api/tasks")
    assert calls == 2
    with pytest.raises(ValueError, match="Expecting"):
        answer.json()
