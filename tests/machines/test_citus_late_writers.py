"""Writers that commit late, or over two nodes, while rows move and nodes are killed; and a client that asks."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
import psycopg
import pytest

from tests.faults.late_writers import SLOWEST_SECONDS, LateWriter
from tests.machines.citus import Cluster, Node, cluster, needs_citus
from tests.support.copies import CHANGES, Copy
from tests.support.databases import bring_to_head, new_database, new_folder
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import running
from tests.support.settings import make_settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly, needs_citus]

WRITERS = 5
NODE_OF = """SELECT shardid, nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
    WHERE shardid = get_shard_id_for_distribution_column('tasks', %s::uuid)"""
MOVE = "SELECT citus_move_shard_placement(%s, '127.0.0.1', %s, '127.0.0.1', %s, %s::citus.shard_transfer_mode)"
NEXT_ID = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
BURN = "DO $$BEGIN FOR i IN 1..{} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$"
AHEAD = 1000
PREPARED = "SELECT coalesce(sum(result::int), 0) FROM run_command_on_workers('SELECT count(*) FROM pg_prepared_xacts')"


def next_id(node: Node) -> int:
    with psycopg.connect(node.url(), autocommit=True) as connection:
        ((found,),) = connection.execute(NEXT_ID).fetchall()
    return int(found)


def burn(node: Node, goal: int) -> None:
    """Use transaction ids up."""
    with psycopg.connect(node.url(), autocommit=True) as connection:
        connection.execute(BURN.format(goal - next_id(node)).encode())


class Cluttered(LateWriter):
    """Some of whose transactions write a user of another node too, in two phases, and whose nodes may die."""

    def __init__(self, trial: "Trial", person: Person, session_id: str, other: Person) -> None:
        super().__init__(trial.url, person, session_id, trial.chance)
        self.other, self.counts = other.user["id"], trial.counts

    async def write(self) -> None:
        try:
            connection = await self.connect()
            await connection.execute("SET lock_timeout = '1500ms'")
            if self.chance.random() < 0.4:  # as the service does it: one statement, and nothing to commit
                await self.write_one(connection)
                self.counts["statements alone"] += 1
            else:
                await connection.execute("BEGIN")
                await self._transact(connection)
        except psycopg.Error as error:
            self.counts[type(error).__name__] += 1
            if self.connection:
                await self.connection.close()

    async def _transact(self, connection: psycopg.AsyncConnection[Any]) -> None:
        for _ in range(self.chance.randint(1, 3)):
            await self.write_one(connection)
            await asyncio.sleep(self.chance.random() * SLOWEST_SECONDS)
        if self.chance.random() < 0.3:
            await connection.execute("UPDATE tasks SET version = version + 1 WHERE user_id = %s", [self.other])
            self.counts["transactions over two nodes"] += 1
        await self.end(connection)
        self.counts["transactions"] += 1

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await super().connect()
        await connection.set_autocommit(True)
        return connection


class Trial:
    """A user whose tasks are written, another on the other node, and what has happened so far."""

    def __init__(self, made: Cluster, url: str, *, move_every: int, kill_every: int) -> None:
        self.made, self.url = made, url
        self.move_every, self.kill_every = move_every, kill_every
        self.chance, self.counts = random.Random(12), Counter[str]()

    def ask(self, query: str, *args: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode(), args).fetchall()

    async def pull(self, copy: Copy) -> None:
        """Ask what has changed until it is told, and count the refusals."""
        while not copy.apply(await self.get(copy.person, CHANGES, copy.question)):
            pass

    async def get(self, person: Person, path: str, question: dict[str, str] | None = None) -> httpx.Response:
        """Ask until somebody answers, and count the answers."""
        while True:
            answer = await person.get(path, params=question)
            self.counts[f"{path}: {answer.status_code}"] += 1
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.02)

    async def truth(self, person: Person) -> dict[str, Any]:
        return {task["id"]: task for task in (await self.get(person, "/api/tasks")).json()}

    async def settled(self, copy: Copy) -> dict[str, Any]:
        """Bring a copy up to date at a moment in which nothing is written; return the tasks as the list shows them."""
        while True:  # a transaction in two phases may be finished late
            before = await self.truth(copy.person)
            await self.pull(copy)
            if before == (after := await self.truth(copy.person)):
                return after

    def move(self, user_id: str) -> None:
        """Move a user's rows to the other node, while they are written."""
        shard, here, there = self.places(user_id)
        try:
            self.ask(MOVE, shard, here.port, there.port, self.chance.choice(["force_logical", "block_writes"]))
            self.counts["moves"] += 1
        except psycopg.Error as error:
            self.counts[f"moves refused: {str(error).splitlines()[0]}"] += 1

    def places(self, user_id: str) -> tuple[int, Node, Node]:
        """Return the part of the table that has a user's rows, where it is, and the other node."""
        ((shard, port),) = self.ask(NODE_OF, user_id)
        here, there = sorted(self.made.workers, key=lambda node: node.port != port)
        return shard, here, there

    def get_ahead(self, user_id: str) -> None:
        """Let the transaction ids of the node with the user's rows be far beyond the other's."""
        _, here, there = self.places(user_id)
        burn(here, next_id(there) + AHEAD)

    def catch_up(self) -> None:
        """Let every node come as far with its transaction ids as the one that is furthest."""
        furthest = max(map(next_id, self.made.workers))
        for node in self.made.workers:
            burn(node, furthest)

    def kill(self) -> None:
        """Kill a node as a power cut would, and start it."""
        node: Node = self.chance.choice(self.made.workers)
        node.kill()
        node.start()
        self.counts["kills"] += 1

    def events(self, number: int, user_id: str) -> list[asyncio.Task[None]]:
        """Begin what happens in this round, if anything."""
        if self.kill_every and number % self.kill_every == 0:
            return [asyncio.create_task(asyncio.to_thread(self.kill))]
        if number % self.move_every == 0:
            return [asyncio.create_task(asyncio.to_thread(self.move, user_id))]
        return []

    async def round(self, writers: list[Cluttered], copy: Copy, events: list[asyncio.Task[None]]) -> None:
        """Let everybody write, as long as something happens again and again, and a client ask in between."""
        while True:
            writing = asyncio.gather(*(writer.write() for writer in writers))
            while not writing.done():
                await self.pull(copy)
                await asyncio.sleep(self.chance.random() * SLOWEST_SECONDS)
            await writing
            if all(event.done() for event in events):
                break
        await asyncio.gather(*events)
        if events and self.kill_every:
            self.counts["left prepared"] += self.ask(PREPARED)[0][0]
            await self.pull(copy)  # while they are neither committed nor rolled back
            self.ask("SELECT recover_prepared_transactions()")

    async def run(self, count: int) -> None:
        """Write for so many rounds, and compare the copies after each."""
        async with running(make_settings(self.url, log_level="CRITICAL")) as client:
            ada, bob = await Person.sign_up(client), await Person.sign_up(client)
            while self.ask(NODE_OF, bob.user["id"])[0][1] == self.ask(NODE_OF, ada.user["id"])[0][1]:
                bob = await Person.sign_up(client)
            await bob.add_task()
            ((session_id,),) = self.ask("SELECT id FROM sessions WHERE user_id = %s", ada.user["id"])
            writers = [Cluttered(self, ada, session_id, bob) for _ in range(WRITERS)]
            copies = [Copy(ada), Copy(ada)]
            for number in range(1, count + 1):
                # The other copy asks before a move and after it, when the new node has come as far as the old one was.
                before_move, move = (number + 1) % self.move_every == 0, number % self.move_every == 0
                if before_move:
                    await asyncio.to_thread(self.get_ahead, ada.user["id"])
                await self.round(writers, copies[0], self.events(number, ada.user["id"]))
                if move:
                    await self.round(writers, copies[0], [])
                    await asyncio.to_thread(self.catch_up)
                for copy in copies[: 1 + (before_move or move)]:
                    truth = await self.settled(copy)
                    assert copy.tasks == truth, f"round {number}, {dict(self.counts)}"
            for writer in writers:
                if writer.connection:
                    await writer.connection.close()


@pytest.mark.parametrize(("full", "move_every", "kill_every"), [(400, 10, 0), (150, 15, 6)])
async def test_a_copy_is_what_the_table_is_while_rows_move_and_nodes_die(
    full: int, move_every: int, kill_every: int
) -> None:
    """However writers overlap on however many nodes, a client that asks again and again has what is there."""
    count = rounds(full, least=40)
    with new_folder() as folder, cluster(folder) as made, new_database(made.coordinator.url()) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET citus.shard_count = 4".encode())
        bring_to_head(url)
        trial = Trial(made, url, move_every=move_every, kill_every=kill_every)
        await trial.run(count)
    print(f"{count} rounds: {dict(trial.counts)}, 0 copies differ")
    assert trial.counts["transactions over two nodes"] > count / 4
    assert trial.counts["moves"] > 0
