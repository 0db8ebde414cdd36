"""A backup of all nodes at one moment, under load, by docs/scaling.md's recipe."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.load import Acknowledged, more_written, writing
from tests.machines.citus import Cluster, Node, cluster, needs_citus
from tests.machines.test_citus import operate
from tests.support.databases import bring_to_head, new_database, new_folder
from tests.support.server import serving

pytestmark = [pytest.mark.slow, pytest.mark.nightly, needs_citus]

WRITES = 300
TASKS = "SELECT id::text, version FROM tasks"
HALF_DONE = "SELECT count(*)::int FROM pg_prepared_xacts"
ACCOUNTS = "SELECT md5(string_agg(users::text, ',' ORDER BY id)) FROM users"


class Archived:
    """A node that archives its WAL, and a base backup of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.archive, self.backup = (node.folder.with_name(f"{node.folder.name}-{name}") for name in ("wal", "base"))
        node.make_folder(self.archive)
        with (node.folder / "postgresql.conf").open("a") as settings:
            settings.write(f"archive_mode = on\narchive_command = 'cp %p {self.archive}/%f'\n")
        node.stop()
        node.start()

    def back_up(self) -> None:
        self.node.make_folder(self.backup)
        self.backup.chmod(0o700)
        self.node.run("pg_basebackup", "-d", self.node.url(), "-c", "fast", "-D", self.backup)

    def restore(self, point: str) -> None:
        """Put the backup in the node's place, and let it recover as far as the point."""
        self.node.stop()
        shutil.rmtree(self.node.folder)
        self.backup.rename(self.node.folder)
        (self.node.folder / "recovery.signal").touch()
        with (self.node.folder / "postgresql.conf").open("a") as settings:
            settings.write(
                f"restore_command = 'cp {self.archive}/%f %p'\n"
                f"recovery_target_name = '{point}'\nrecovery_target_action = 'promote'\n"
            )
        self.node.start()
        while self.ask("SELECT pg_is_in_recovery()"):
            pass

    def ask(self, query: str, database: str = "postgres") -> Any:
        with psycopg.connect(self.node.url(database), autocommit=True) as connection:
            ((found,),) = connection.execute(query.encode()).fetchall()
        return found


async def test_all_nodes_are_restored_to_one_moment(tmp_path: Path) -> None:
    """An operator restores every node to one point: what was acknowledged before it is there, later writes are not."""
    with new_folder() as folder, cluster(folder) as made, new_database(made.coordinator.url()) as url:
        bring_to_head(url)
        name = url.rpartition("/")[2]
        nodes = [Archived(node) for node in made.nodes]
        before, gone, after = await _write_around_a_point(url, made, nodes, tmp_path)
        for node in nodes:
            node.ask("SELECT pg_switch_wal()::text")
        for node in nodes:
            await asyncio.to_thread(node.restore, "nightly")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT recover_prepared_transactions()")
            tasks: dict[str, int] = dict(connection.execute(TASKS).fetchall())
        assert {task for task, version in before.items() if tasks.get(task, 0) < version} == set()
        assert not tasks.keys() & (gone | after)
        assert [node.ask(HALF_DONE, name) for node in nodes] == [0, 0, 0]
        assert len({node.ask(ACCOUNTS, name) for node in nodes}) == 1
        everybody = await asyncio.to_thread(operate, url, tmp_path, "users", "signout", "--all")
        assert everybody.returncode == 0, everybody.stderr
        print(
            f"of the tasks {len(before)} from before the point are there, none of {len(gone)} that were gone by then, "
            f"and none of {len(after)} that came after it"
        )


async def _write_around_a_point(
    url: str, made: Cluster, nodes: list[Archived], folder: Path
) -> tuple[dict[str, int], set[str], set[str]]:
    """Back all nodes up and make a point under load; return the tasks there and gone before it, and those after it."""
    known = Acknowledged()
    with serving(folder, DATABASE_URL=url, LOG_LEVEL="WARNING", MIGRATE_ON_START="off") as server:
        async with writing(server.url, known):
            await more_written(known, WRITES)
            for node in nodes:
                await asyncio.to_thread(node.back_up)
            await more_written(known, WRITES)
            before, gone = dict(known.versions), set(known.deleted)
            with psycopg.connect(made.coordinator.url(url.rpartition("/")[2]), autocommit=True) as connection:
                await asyncio.to_thread(connection.execute, "SELECT citus_create_restore_point('nightly')")
            await more_written(known, WRITES)  # whatever was in flight at the point has been answered
            seen = set(known.versions) | known.deleted
            await more_written(known, WRITES)
    # Of a task that was deleted later nobody knows whether that was before the point.
    kept = {task: version for task, version in before.items() if task in known.versions}
    return kept, gone, set(known.versions) - seen
