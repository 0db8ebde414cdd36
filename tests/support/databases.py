"""Databases and folders of one's own."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from app.core.database.dsn import parse_database_url
from app.operations.distribution import distribute, has_extension
from app.operations.migrations import upgrade
from tests.machines.citus import join_nodes, on_every_node


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
def new_database(postgres_url: str) -> Iterator[str]:
    """Make an empty database and yield its URL; drop it afterwards."""
    name = f"test_{uuid4().hex}"
    nodes = on_every_node(postgres_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(postgres_url, name)
    try:
        join_nodes(url, nodes)
        yield url
    finally:
        on_every_node(postgres_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


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
