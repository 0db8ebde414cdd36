"""Tables on several nodes, where the database has the Citus extension: a user's rows are together on one of them."""

from typing import NamedTuple

import psycopg
from psycopg import sql

from app.core.database.dsn import Dsn
from app.core.database.pool import DatabaseUnavailable
from app.core.operator_error import OperatorError
from app.operations.maintenance import run_without_timeouts
from app.operations.migration_lock import migration_lock

# Copied to each node: signing in reads `users` by the e-mail, `/health/ready` reads `alembic_version`.
COPIED = ("users", "alembic_version", "task_epoch")
# Divided among the nodes, by the column whose value decides on which node a row is stored; what others refer to first.
DISTRIBUTED = {
    "tasks": "user_id",
    "user_state": "user_id",
    "task_tombstones": "user_id",
    "token_denylist": "user_id",
    "sessions": "user_id",
    "passkeys": "user_id",
    "rate_limit_counters": "key",
}
# The service's settings for its own connections, repeated for those from node to node, which do not inherit them. No
# statement_timeout: the coordinator's ends a statement everywhere, and building an index may take longer.
NODE_SETTINGS = {
    "enable_seqscan": "off",
    "jit": "off",
    "lock_timeout": "2s",
    "client_connection_check_interval": "1s",  # of a coordinator that died while a statement waits here
}
# A node that hangs accepts connections and never answers: a statement that needs it would hold a connection of the
# service for as long.
COORDINATOR_SETTINGS = {"citus.node_connection_timeout": "500ms"}


class NotDistributable(OperatorError):
    """The tables cannot be distributed; the message says what is missing."""


class Nodes(NamedTuple):
    """The nodes that hold rows, and those of them that do not answer."""

    known: int
    dead: list[str]


class Changed(NamedTuple):
    """How many rows were changed, and what the nodes said whose rows were not."""

    rows: int
    failed: list[str]


def is_distributed(connection: psycopg.Connection) -> bool:
    """Return whether the tables are divided among nodes."""
    if not has_extension(connection):
        return False
    # One stands for all: they are distributed in one transaction, and later ones by the migration that makes them.
    query = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid::text = 'tasks' AND partmethod = 'h'"
    return _one(connection, query) == 1


def is_distributed_at(dsn: Dsn) -> bool:
    """Return whether the tables there are divided among nodes."""
    with psycopg.connect(dsn.conninfo, prepare_threshold=None) as connection:
        return is_distributed(connection)


def distribute(dsn: Dsn, *, shards: int | None = None) -> bool:
    """Divide the tables among the nodes, with what is in them; return False if they are divided already.

    Each into so many `shards`, which is how many nodes there can be; Citus's own default is 32.
    The settings of the nodes are written in any case, so that a node that was added gets them.
    Raises: NotDistributable.
    """
    with migration_lock(dsn), psycopg.connect(dsn.conninfo, prepare_threshold=None) as connection:
        if not has_extension(connection):
            raise NotDistributable(
                "The database has no Citus extension: put citus into shared_preload_libraries on every node, run "
                "CREATE EXTENSION citus there in this database, and SELECT citus_add_node(…) on the coordinator."
            )
        try:
            done = not is_distributed(connection)
            if done:
                _distribute(connection, shards)
            connection.commit()
            _set_for_nodes(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            message = f"The role may not do this: {error.diag.message_primary}. Let the owner of the tables run it."
            raise NotDistributable(message) from error
        return done


def distribute_new(connection: psycopg.Connection, table: str) -> None:
    """Divide or copy a table that a migration has just made; it is empty and refers to no other."""
    connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
    if table in COPIED:
        connection.execute("SELECT create_reference_table(%s)", [table])
    else:
        _divide(connection, table, beside="tasks")


def change_every_row(dsn: Dsn, table: str, statement: bytes) -> Changed:
    """Run an UPDATE of all rows of a table, on each node for itself: one that does not answer keeps none of the others.

    Raises: psycopg.OperationalError, DatabaseUnavailable.
    """
    try:
        if not is_distributed_at(dsn):
            return Changed(run_without_timeouts(dsn, statement), [])
        with psycopg.connect(dsn.conninfo, prepare_threshold=None) as connection:
            connection.execute("SET statement_timeout = 0")
            done = connection.execute(
                "SELECT nodename || ':' || nodeport, success, result FROM run_command_on_shards(%s, %s, false) "
                "JOIN pg_dist_placement USING (shardid) JOIN pg_dist_node USING (groupid) WHERE noderole = 'primary'",
                [table, statement.decode().replace("%", "%%").replace(table, "%s")],
            ).fetchall()
    except psycopg.errors.UndefinedTable as error:  # not migrated
        raise DatabaseUnavailable from error
    rows = sum(int(result.removeprefix("UPDATE ")) for _, success, result in done if success)
    return Changed(rows, sorted({f"{node}: {result}" for node, success, result in done if not success}))


def find_nodes(connection: psycopg.Connection) -> Nodes:
    """Count the nodes that hold rows, and name those that do not answer."""
    query = (
        "SELECT nodename || ':' || nodeport, EXISTS (SELECT 1 FROM citus_check_connection_to_node(nodename, nodeport) "
        "AS answers WHERE answers) FROM pg_dist_node WHERE noderole = 'primary' AND shouldhaveshards ORDER BY 1"
    )
    found = connection.execute(query).fetchall()
    return Nodes(len(found), [name for name, answers in found if not answers])


def _distribute(connection: psycopg.Connection, shards: int | None) -> None:
    # Foreign keys lead from divided tables to copied ones, so each node is changed on one connection, step by step.
    connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
    connection.execute("SET LOCAL statement_timeout = 0")
    if shards:
        connection.execute("SELECT set_config('citus.shard_count', %s, true)", [str(shards)])
    # An UNLOGGED table cannot be moved from one node to another.
    connection.execute("ALTER TABLE rate_limit_counters SET LOGGED")
    for table in COPIED:
        connection.execute("SELECT create_reference_table(%s)", [table])
    first, *others = DISTRIBUTED
    _divide(connection, first, beside="none")
    for table in others:
        _divide(connection, table, beside=first)
    connection.execute(
        "SELECT create_distributed_function(made) FROM to_regprocedure('this_transaction(uuid)') AS made "
        "WHERE made IS NOT NULL"
    )
    for table in (*reversed(DISTRIBUTED), *COPIED):
        connection.execute("SELECT truncate_local_data_after_distributing_table(%s::regclass)", [table])


def _divide(connection: psycopg.Connection, table: str, *, beside: str) -> None:
    column = DISTRIBUTED[table]
    beside = beside if column == "user_id" else "none"
    connection.execute("SELECT create_distributed_table(%s, %s, colocate_with => %s)", [table, column, beside])


def _set_for_nodes(connection: psycopg.Connection) -> None:
    name = sql.Identifier(connection.info.dbname)
    command = _settings_of_a_node(name)
    failed = connection.execute(
        "SELECT nodename || ':' || nodeport, result FROM run_command_on_workers(%s) AS done "
        "JOIN pg_dist_node USING (nodename, nodeport) WHERE NOT success",
        [command.as_string(connection)],
    ).fetchall()
    if failed:
        raise NotDistributable(f"{failed[0][0]} did not take its settings: {failed[0][1]}")
    for setting, value in COORDINATOR_SETTINGS.items():
        parameter = sql.Identifier(*setting.split("."))
        connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, parameter, sql.Literal(value)))
    connection.commit()


def _settings_of_a_node(name: sql.Identifier) -> sql.Composed:
    """Return what writes the settings there.

    A database with divided tables is itself known to all nodes, and Citus would let no worker change it.
    """
    settings = [
        sql.SQL("ALTER DATABASE {} SET {} = {};").format(name, sql.Identifier(setting), sql.Literal(value))
        for setting, value in NODE_SETTINGS.items()
    ]
    alone = sql.SQL("PERFORM set_config('citus.enable_ddl_propagation', 'off', true);")
    return sql.SQL("DO $alone$ BEGIN {} {} END $alone$").format(alone, sql.SQL(" ").join(settings))


def recovery_seconds(connection: psycopg.Connection) -> float:
    """Return how long a change of several nodes may be missing on one that came back: Citus looks so often."""
    return _one(connection, "SELECT setting::int FROM pg_settings WHERE name = 'citus.recover_2pc_interval'") / 1000


def count_half_done(connection: psycopg.Connection) -> int:
    """Count the transactions that were prepared on some node more than ten seconds ago."""
    command = (
        "SELECT count(*) FROM pg_prepared_xacts "
        "WHERE database = current_database() AND prepared < now() - interval '10 seconds'"
    )
    return count_on_every_node(connection, command)


def count_on_every_node(connection: psycopg.Connection, query: str) -> int:
    """Return the sum of what a query counts on each node that answers, or on the only one."""
    if not has_extension(connection):
        return _one(connection, query)
    total = "SELECT coalesce(sum(result::int), 0)::int FROM run_command_on_all_nodes(%s) WHERE success"
    return _one(connection, total, [query])


def has_extension(connection: psycopg.Connection) -> bool:
    """Return whether the database could have several nodes."""
    return bool(_one(connection, "SELECT count(*) FROM pg_extension WHERE extname = 'citus'"))


def _one(connection: psycopg.Connection, query: str, params: list[object] | None = None) -> int:
    found = connection.execute(query.encode(), params).fetchone()
    assert found is not None
    count: int = found[0]
    return count
