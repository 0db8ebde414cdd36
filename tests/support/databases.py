"""Databases and folders of one's own."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from app.core.database.dsn import parse_database_url
from app.operations.distribution import distribute, has_extension
from app.operations.embedded_postgres.server import EmbeddedPostgres
from app.operations.migrations import upgrade
from tests.machines.citus import join_nodes, nodes_of, on_every_node


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder that the server's user can enter, also when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="auth-tasks-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_server() -> Iterator[str]:
    """Start an embedded PostgreSQL, and yield its URL; stop it afterwards."""
    with new_folder() as folder:
        server = EmbeddedPostgres(folder / "postgres", durable=False, echo=lambda text: None)
        try:
            yield server.start()
        finally:
            server.stop()


@contextmanager
def new_database(postgres_url: str, *, like: str = "template1") -> Iterator[str]:
    """Make a database, empty or a copy, and yield its URL; drop it afterwards."""
    name = f"test_{uuid4().hex}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(like))
    nodes = on_every_node(postgres_url, create)
    url = make_url(postgres_url, name)
    try:
        join_nodes(url, nodes)
        yield url
    finally:
        on_every_node(postgres_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def migrated_database(postgres_url: str, template: str | None) -> Iterator[str]:
    """Make a migrated database, as a copy of the template if there is one, and yield its URL; drop it afterwards."""
    if template:
        with new_database(postgres_url, like=template) as url:
            yield url
        return
    with new_database(postgres_url) as url:
        bring_to_head(url)
        yield url


@contextmanager
def new_template(postgres_url: str) -> Iterator[str | None]:
    """Make a migrated database to copy, and yield its name; none on Citus, whose databases know their own nodes.

    Nobody may be connected to what is copied, a pooler included.
    """
    with migrated_database(postgres_url, None) as url, psycopg.connect(postgres_url, autocommit=True) as connection:
        name = conninfo_to_dict(url)["dbname"]
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield None if nodes_of(connection) else str(name)


def bring_to_head(url: str) -> None:
    """Migrate, and on a coordinator of Citus distribute."""
    dsn = parse_database_url(url)
    upgrade(dsn)
    with psycopg.connect(url) as connection:
        several = has_extension(connection)
    if several:
        distribute(dsn)


def make_url(postgres_url: str, name: str) -> str:
    """Return the same server's URL with another database."""
    head, _, query = postgres_url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
