"""What the three servers are asked for: people with tasks, and requests that all of them understand."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from passlib.hash import bcrypt_sha256

from app.auth.principal import Principal
from app.auth.tokens import TokenCodec, TokenPair

STRANGERS = 1000
_TASK_COLUMNS = "id, user_id, title, description, status, priority, version, created_at, updated_at"
PASSWORD = "correct horse battery 4"


class Person(NamedTuple):
    id: UUID
    email: str
    task_ids: list[UUID]


class Request(NamedTuple):
    """One request as `load.lua` reads it."""

    method: str
    path: str
    token: str = ""
    body: str = ""
    key: str = ""


class People(NamedTuple):
    """1,000 with 20 tasks each, and one with 1,000."""

    few: list[Person]
    many: Person


def seed(url: str, cost: int) -> People:
    """Fill a migrated database."""
    password_hash = bcrypt_sha256.using(rounds=cost).hash(PASSWORD)  # type: ignore[no-untyped-call]  # passlib has none
    *few, many = everybody = [Person(uuid4(), f"{number}@example.test", []) for number in range(STRANGERS + 1)]
    moment = datetime.now(UTC) - timedelta(days=30)
    users = ((p.id, p.email, password_hash, moment, moment) for p in everybody)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        _copy(cursor, "users (id, email, password_hash, created_at, updated_at)", users)
        _copy(cursor, "user_state (user_id)", ((p.id,) for p in everybody))
        _copy(cursor, f"tasks ({_TASK_COLUMNS})", _tasks([(many, 1000), *((p, 20) for p in few)], moment))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return People(few, many)


def _copy(cursor: psycopg.Cursor, into: str, rows: Iterable[tuple[object, ...]]) -> None:
    with cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _tasks(wanted: list[tuple[Person, int]], moment: datetime) -> Iterator[tuple[object, ...]]:
    for person, count in wanted:
        for number in range(count):
            task_id, made_at = uuid4(), moment + timedelta(seconds=number)
            person.task_ids.append(task_id)
            title = f"Water the plants {number} 🌱"
            yield task_id, person.id, title, "The fern first", "pending", "high", 1, made_at, made_at


def make_tokens(secret: str) -> TokenCodec:
    return TokenCodec(secret, None, access_seconds=900, refresh_seconds=604800)


def access_token(tokens: TokenCodec, person: Person) -> str:
    return _issue(tokens, person).access_token


def _issue(tokens: TokenCodec, person: Person) -> TokenPair:
    return tokens.issue(Principal(person.id, uuid4(), 0, datetime.now(UTC)), refresh_id=uuid4(), number=1)


def refresh_requests(tokens: TokenCodec, people: list[Person], count: int, *, keys: bool = False) -> list[Request]:
    """Return refreshes of as many sessions, with valid tokens that nobody has used."""
    owners = (people[number % len(people)] for number in range(count))
    pairs = (_issue(tokens, person) for person in owners)
    bodies = (f'{{"refresh_token": "{pair.refresh_token}"}}' for pair in pairs)
    return [Request("POST", "/api/auth/refresh", "", body, uuid4().hex if keys else "") for body in bodies]
