"""Processes of 1.0, which take the rows of sessions for their ends: all stop before the schema changes."""

import psycopg

from app.core.database.dsn import Dsn
from app.core.operator_error import OperatorError
from app.operations.connecting import connect
from app.operations.distribution import count_on_every_node

# What 1.0 calls itself; later releases add their version.
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'auth-tasks-api'"
)


class OlderProcesses(OperatorError):
    """Processes of 1.0 use the database that is to be migrated."""

    def __init__(self, connections: int) -> None:
        super().__init__(
            f"Processes of 1.0 are still running ({connections} connections). They would end every session that is "
            "refreshed: stop them all first, then migrate. `python -m app migrate --beside-1.0` does it all the same."
        )


def count_connections(connection: psycopg.Connection) -> int:
    """Return how many connections to this database, on whichever of its nodes, processes of 1.0 have."""
    return count_on_every_node(connection, CONNECTIONS)


def refuse_beside_older(dsn: Dsn, revision: str | None) -> None:
    """Raise OlderProcesses if the database, which is at this revision, is in use by processes of 1.0."""
    if revision is None:
        return
    with connect(dsn) as connection:
        if connections := count_connections(connection):
            raise OlderProcesses(connections)
