"""`python -m app doctor`: what an operator learns about an installation."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from app.cli import commands
from app.cli.trial import try_out
from app.operations.doctor import examine
from app.operations.migrations import head_revision
from tests.core.test_hosts import with_hosts
from tests.support.settings import SECRET, make_settings


def found(url: str, **settings: Any) -> dict[str, tuple[str, str]]:
    return {what: (verdict, how) for verdict, what, how in examine(make_settings(url, **settings), try_out)}


def test_a_healthy_service_is_called_so(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator reads a line for each thing that was examined, and none of them fails."""
    monkeypatch.setenv("DATABASE_URL", own_database_url)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    commands.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    whats = ["settings", "tokens", "database", "version", "migration", "processes", "clock", "durability", "nodes"]
    whats += ["changes", "connections", "hashing", "limits", "writes", "live"]
    assert [line.split()[1] for line in lines] == whats
    assert not any(line.startswith("fail") for line in lines)


def test_what_is_wrong_is_said_with_the_remedy(own_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator reads what is wrong and what mends it."""
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute("UPDATE alembic_version SET version_num = '0001'")
        remedy = f"at 0001, not {head_revision()}: run python -m app migrate"
        assert found(own_database_url)["migration"] == ("fail", remedy)
        admin.execute("UPDATE alembic_version SET version_num = '9999'")
        verdict, how = found(own_database_url)["migration"]
        assert (verdict, how.partition(":")[0]) == (
            "warn",
            f"at 9999, newer than this code, which knows {head_revision()}",
        )
        admin.execute("DROP TABLE alembic_version")
        assert found(own_database_url)["migration"][0] == "fail"
        admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        assert found(own_database_url)["durability"][0] == "warn"
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        assert found(own_database_url)["durability"] == ("fail", "the database only reads: nothing can be written")
    assert found(own_database_url, rate_limits="off")["settings"][0] == "warn"
    assert found(own_database_url, workers=20)["connections"][0] == "warn"
    for name, value in {"CLOCK_SECONDS": -1, "FAR_MS": 0, "OLDEST_VERSION": 99}.items():
        monkeypatch.setattr(f"app.operations.doctor.{name}", value)
    monkeypatch.setattr("app.cli.trial.HASH_SECONDS", 0)
    verdicts = found(own_database_url)
    assert {verdicts[what][0] for what in ("clock", "hashing", "database", "version")} == {"warn"}


def test_a_role_that_may_not_read_the_timeline_is_reported(own_database_url: str) -> None:
    """An operator of a locked-down database reads why clients that were offline get 503."""
    role = sql.Identifier(f"role_{uuid4().hex}")
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {0}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {0}").format(role))
        try:
            database = sql.Identifier(admin.info.dbname)
            admin.execute(sql.SQL("ALTER DATABASE {} SET role = {}").format(database, role))
            assert found(own_database_url)["changes"][0] == "ok"
            admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_recovery() FROM PUBLIC")
            verdict, how = found(own_database_url)["changes"]
            assert (verdict, "EXECUTE" in how) == ("warn", True)
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_of_several_servers_it_says_what_a_failover_loses(own_database_url: str) -> None:
    """An operator reads what a failover loses, and whether any server takes writes."""
    several = with_hosts(own_database_url)
    assert found(several)["failover"][0] == "warn"
    with psycopg.connect(own_database_url, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{admin.info.dbname}" SET default_transaction_read_only = on')
    assert found(several)["database"] == ("fail", "answers, and none of its servers takes writes: promote one")


def test_a_database_that_is_away_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a database the command fails, names DATABASE_URL and prints no password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    with pytest.raises(SystemExit) as refused:
        commands.main(["doctor"])
    assert refused.value.code == 1
    said = capsys.readouterr().out
    assert "nothing listens at 127.0.0.1:1; start the server, or correct DATABASE_URL" in said
    assert "hunter2" not in said
