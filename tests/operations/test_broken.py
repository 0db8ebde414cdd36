"""What an operator reads when something is wrong: one sentence that names the remedy, and never a traceback."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from app.cli import commands
from app.core.database.dsn import connection_arguments, parse_database_url
from app.lifespan import MIGRATION_RETRY_SECONDS
from app.operations.connecting import connect
from app.operations.migrations import head_revision
from tests.operations.broken import refusing
from tests.support.databases import bring_to_head, make_url
from tests.support.people import PASSWORD
from tests.support.server import running, serving
from tests.support.settings import SECRET, SETTING_NAMES, environment_of, make_settings

HIDDEN = "hunter2-is-the-password"
EVERY = (["doctor"], ["migrate"], ["users", "list"], ["prune"], ["dump", "new.dump"], ["distribute"])
READS = (["doctor"], ["users", "list"])


@dataclass
class Stage:
    """What a case makes: settings by their names, and what has to end afterwards."""

    postgres_url: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack = field(default_factory=ExitStack)

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self.monkeypatch.setenv(name, value)

    def refuse(self, state: str, text: str, query: str = "", *, tls: bool = False, garbage: bytes = b"") -> None:
        port = self.stack.enter_context(refusing(state, text, tls=self.folder if tls else None, garbage=garbage))
        self.set(DATABASE_URL=f"postgresql://tasks:{HIDDEN}@127.0.0.1:{port}/tasks{query}")

    def database(self, *statements: str, options: str = "", migrated: bool = False, role: str = "") -> None:
        """Make a database, migrate it if asked for, run statements in it, and name it, for a role of its own."""
        name, own = f"broken_{uuid4().hex}", f"role_{uuid4().hex}"
        self.admin(f"CREATE DATABASE {name} {options}")
        self.stack.callback(self.admin, f"DROP DATABASE {name} WITH (FORCE)")
        url = make_url(self.postgres_url, name)
        if migrated:
            bring_to_head(url)
        if role:
            self.admin(f"CREATE ROLE {own} LOGIN PASSWORD '{HIDDEN}' {role}")
            self.stack.callback(self.admin, f"DROP ROLE {own}")
        with psycopg.connect(url, autocommit=True) as admin:
            for statement in statements:
                if "ALLOW_CONNECTIONS" not in statement:
                    admin.execute(statement.format(name=name, role=own).encode())
            if role:
                self.stack.callback(self.drop_owned, url, own)
        for statement in statements:
            if "ALLOW_CONNECTIONS" in statement:  # not from within
                self.admin(statement.format(name=name))
        where = re.sub(r"//[^@]*@", f"//{own}:{HIDDEN}@", url) if role else url
        self.set(DATABASE_URL=where)

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def drop_owned(self, url: str, role: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}".encode())


@pytest.fixture
def stage(postgres_url: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name in SETTING_NAMES | {"ENV_FILE", "PGPASSWORD", "PGSSLROOTCERT"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Stage(postgres_url, tmp_path, monkeypatch)
    made.set(ENVIRONMENT="test", PASSWORD_HASH_COST="4", BETTER_AUTH_SECRET=SECRET)
    with made.stack:
        yield made


Prepare = Callable[[Stage], None]


def settings(**values: str) -> Prepare:
    return lambda stage: stage.set(**values)


def url(text: str) -> Prepare:
    return settings(DATABASE_URL=text)


def both(*prepares: Prepare) -> Prepare:
    def prepare(stage: Stage) -> None:
        for each in prepares:
            each(stage)

    return prepare


def refusal(state: str, text: str, query: str = "", **how: object) -> Prepare:
    return lambda stage: stage.refuse(state, text, query, **how)  # type: ignore[arg-type]


def database(*statements: str, **how: object) -> Prepare:
    return lambda stage: stage.database(*statements, **how)  # type: ignore[arg-type]


def full(table: str) -> str:
    """Let each INSERT fail as it does on a full disk."""
    return (
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file' USING ERRCODE = 'disk_full'; END $$; "
        f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )


def taken_port(stage: Stage) -> None:
    taken = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    stage.set(PORT=str(taken.getsockname()[1]), DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")


def silence(stage: Stage) -> None:
    listening = stage.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    stage.set(DATABASE_URL=f"postgresql://tasks@127.0.0.1:{listening.getsockname()[1]}/tasks")


def env_file(content: bytes) -> Prepare:
    def write(stage: Stage) -> None:
        (stage.folder / ".env").write_bytes(content)

    return write


def file(name: str, content: bytes = b"") -> Prepare:
    def write(stage: Stage) -> None:
        stage.database(migrated=True)
        (stage.folder / name).write_bytes(content)

    return write


THERE = "postgresql://tasks:hunter2-is-the-password@127.0.0.1"
SERVE = (["serve"],)
DOCTOR = (["doctor"],)
MIGRATE = (["migrate"],)
OTHERS = "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES "

# What is the matter, how it comes, the commands that meet it, and the remedy that each of them names.
BROKEN: dict[str, tuple[Prepare, tuple[list[str], ...], str]] = {
    "password": (
        refusal("28P01", 'password authentication failed for user "tasks"'),
        EVERY,
        "refuses the password of tasks: correct DATABASE_URL",
    ),
    "role": (url("missing-role"), READS, "knows no role nobody_of_that_name: CREATE ROLE"),
    "role that may not sign in": (
        refusal("28000", 'role "tasks" is not permitted to log in'),
        READS,
        "ALTER ROLE tasks LOGIN",
    ),
    "database": (url("missing-database"), READS, "CREATE DATABASE none_of_that_name"),
    "database that is closed": (
        database("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        READS,
        "ALLOW_CONNECTIONS true",
    ),
    "right to connect": (
        database("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", role="NOSUPERUSER"),
        READS,
        "GRANT CONNECT ON DATABASE",
    ),
    "connections": (
        refusal("53300", "sorry, too many clients already"),
        READS,
        "is full: raise its max_connections",
    ),
    "connections of a role": (
        database(role="CONNECTION LIMIT 0"),
        READS,
        "is full: raise its max_connections",
    ),
    "pg_hba.conf": (
        refusal("28000", 'no pg_hba.conf entry for host "10.0.0.1", user "tasks", database "tasks", no encryption'),
        READS,
        "add one, or sslmode=require",
    ),
    "anything else": (
        refusal("XX000", f"the moon is full, tell nobody of {HIDDEN}"),
        READS,
        "cannot be used: connection to server",
    ),
    "starting": (refusal("57P03", "the database system is starting up"), READS, "is starting or stopping"),
    "port": (url(f"{THERE}:1/tasks"), READS, "nothing listens at 127.0.0.1:1"),
    "socket": (url("postgresql://tasks@/tasks?host=/nowhere"), READS, "no server listens at /nowhere/.s.PGSQL.5432"),
    "host": (url("postgresql://tasks@db.invalid/tasks"), READS, "there is no host db.invalid"),
    "silence": (silence, DOCTOR, "nothing answers in time; look for a firewall"),
    "another service": (refusal("", "", garbage=b"HTTP/1.1 400 Bad Request\r\n\r\n"), READS, "is no PostgreSQL"),
    "TLS": (refusal("", "", "?sslmode=require"), READS, "speaks no TLS"),
    "authority": (refusal("", "", "?sslmode=verify-full", tls=True), READS, "add sslrootcert=system"),
    "signature": (
        refusal("", "", "?sslmode=verify-full&sslrootcert=system", tls=True),
        READS,
        "no authority known here has signed",
    ),
    "name in the certificate": (
        refusal("", "", "?sslmode=verify-full&sslrootcert=certificate.pem", tls=True),
        READS,
        "has a certificate for example.test, not for 127.0.0.1",
    ),
    "pooler": (
        refusal("08P01", "unsupported startup parameter in options: statement_timeout"),
        DOCTOR,
        "DATABASE_POOLER=transaction",
    ),
    "encoding": (
        database(options="ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"),
        (*EVERY, *SERVE),
        "ENCODING 'UTF8' TEMPLATE template0",
    ),
    "no encoding": (
        database(options="ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"),
        (*READS, *SERVE),
        "ENCODING 'UTF8' TEMPLATE template0",
    ),
    "another program's database": (
        database(OTHERS + "('deadbeef')"),
        (*READS, *SERVE),
        "belongs to another program: name an empty one",
    ),
    "another program's number": (database(OTHERS + "('9999')"), (*READS, *SERVE), "belongs to another program"),
    "another program's table": (database("CREATE TABLE users (id int)"), MIGRATE, "has tables of another program"),
    "revision": (
        database("UPDATE alembic_version SET version_num = 'deadbeef'", migrated=True),
        MIGRATE,
        "which no release of this service has: restore a dump",
    ),
    "migration": (database(), (["users", "list"], *DOCTOR), "run python -m app migrate"),
    "right to make tables": (
        database(role="NOSUPERUSER"),
        (*MIGRATE, *SERVE),
        "GRANT CREATE ON SCHEMA public TO role_",
    ),
    "schema": (
        database("ALTER ROLE {role} SET search_path = nowhere", role="NOSUPERUSER"),
        MIGRATE,
        "CREATE SCHEMA public, or ALTER ROLE role_",
    ),
    "right to read": (
        database("GRANT SELECT ON alembic_version TO {role}", migrated=True, role="NOSUPERUSER"),
        (["users", "list"], *DOCTOR),
        "TO role_",
    ),
    "right to write": (
        database(
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; REVOKE INSERT ON tasks FROM {role}",
            migrated=True,
            role="NOSUPERUSER",
        ),
        DOCTOR,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO role_",
    ),
    "read-only": (
        database("ALTER DATABASE {name} SET default_transaction_read_only = on"),
        MIGRATE,
        "name the server that takes writes",
    ),
    "read-only, migrated": (
        database("ALTER DATABASE {name} SET default_transaction_read_only = on", migrated=True),
        DOCTOR,
        "the database only reads",
    ),
    "disk": (database(full("tasks"), migrated=True), DOCTOR, "has no room left on its disk"),
    "disk, while migrating": (
        database(
            "CREATE FUNCTION full_disk() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' "
            "USING ERRCODE = 'disk_full'; END $$; CREATE EVENT TRIGGER {name} ON ddl_command_end WHEN TAG IN "
            "('CREATE INDEX') EXECUTE FUNCTION full_disk()"
        ),
        MIGRATE,
        "has no room left on its disk",
    ),
    "counters": (database(full("rate_limit_counters"), migrated=True), DOCTOR, "fail  limits"),
    "a table that is gone": (database("DROP TABLE sessions", migrated=True), DOCTOR, "lacks a table of this service"),
    "isolation": (
        both(
            database("ALTER DATABASE {name} SET default_transaction_isolation = serializable", migrated=True),
            settings(DATABASE_POOLER="transaction"),
        ),
        DOCTOR,
        "SET default_transaction_isolation = 'read committed'",
    ),
    "Redis": (
        both(database(migrated=True), settings(RATE_LIMITS="on", RATE_LIMIT_STORAGE="redis://127.0.0.1:1/0")),
        DOCTOR,
        "Redis at RATE_LIMIT_STORAGE does not answer",
    ),
    "parameter": (url(f"{THERE}/tasks?colour=blue"), READS, "has the parameter colour, which libpq does not know"),
    "no database named": (url(THERE), READS, "must name a database"),
    "another database's URL": (url("mysql://tasks@db/tasks"), READS, "must begin with postgres://"),
    "unescaped password": (url("postgresql://tasks:50%@db/tasks"), READS, "special characters of the password as %40"),
    "secret": (settings(BETTER_AUTH_SECRET=""), READS, "python -m app secret"),
    "secret's file": (
        settings(BETTER_AUTH_SECRET="", BETTER_AUTH_SECRET_FILE="/nowhere"),
        READS,
        "BETTER_AUTH_SECRET_FILE names /nowhere",
    ),
    "encoding of .env": (env_file("FRONTEND_URL=http://é".encode("latin-1")), READS, ".env is not UTF-8"),
    "file of settings": (
        env_file(b""),
        (["--env-file", "/nowhere", "doctor"],),
        "/nowhere is no file with settings: name one by --env-file",
    ),
    "port in use": (taken_port, SERVE, "is in use by another program: set PORT, as in PORT="),
    "address": (settings(HOST="192.0.2.1"), SERVE, "is no address of this machine: set HOST"),
    "name of the host": (settings(HOST="here.invalid"), SERVE, "There is no host here.invalid"),
    "dump that exists": (file("new.dump"), (["dump", "new.dump"],), "name a new file"),
    "folder of a dump": (file("a"), (["dump", "nowhere/new.dump"],), "cannot be written: No such file or directory"),
    "dump to restore": (file("a"), (["restore", "nothing.dump"],), "nothing.dump does not exist"),
    "file that is no dump": (file("a", b"no dump"), (["restore", "a"],), "pg_restore failed"),
    "account": (file("a"), (["users", "delete", "ada@example.test"],), "There is no account"),
}
NOWHERE = {"missing-role": ("nobody_of_that_name", "postgres"), "missing-database": ("", "none_of_that_name")}
# The others make a database, which takes a second where several make one.
FAST = {*list(BROKEN)[:21], *list(BROKEN)[list(BROKEN).index("parameter") :]} - {
    *("database that is closed", "right to connect", "connections of a role", "address", "host", "silence"),
    *("dump that exists", "folder of a dump", "dump to restore", "file that is no dump", "account"),
} | {"another program's database", "encoding", "right to make tables"}


def said(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command in this process, and return what it said; it has to end with 1 or the sentence, which exits so."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        commands.main(command)
    text = "".join(capsys.readouterr())
    assert ended.value.code not in (0, None)
    return text + ("" if ended.value.code == 1 else f"{ended.value.code}\n")


@pytest.mark.parametrize(
    "what", [what if what in FAST else pytest.param(what, marks=pytest.mark.slow) for what in BROKEN]
)
def test_what_is_wrong_is_one_sentence_with_the_remedy(
    what: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator reads what to do, from whichever command, and no password is shown."""
    prepare, meeting, remedy = BROKEN[what]
    prepare(stage)
    given = os.environ.get("DATABASE_URL", "")
    if given in NOWHERE:
        role, name = NOWHERE[given]
        there = make_url(stage.postgres_url, name)
        stage.set(DATABASE_URL=re.sub(r"//[^@]*@", f"//{role}:{HIDDEN}@", there) if role else there)
    for command in meeting:
        text = said(command, capsys)
        assert remedy in text, f"{command}: {text}"
        if command != ["doctor"]:  # which has a line for each thing
            assert text.count(remedy) == 1
            assert len([line for line in text.splitlines() if line and not line.endswith(("…", ":"))]) == 1, text
        assert "Traceback" not in text
        assert HIDDEN not in text


def test_defaults_of_the_database_do_not_hold_migrations_up(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """A database whose own default keeps snapshots is migrated: CREATE INDEX CONCURRENTLY would wait for them."""
    stage.database(
        "ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'",
        "ALTER DATABASE {name} SET lock_timeout = '5s'",
    )
    commands.main(["migrate"])
    assert "up to date" in capsys.readouterr().err


async def test_every_connection_of_the_service_reads_what_is_committed(stage: Stage) -> None:
    """Two who write at once wait for each other, and neither fails, whatever the database's default is."""
    stage.database("ALTER DATABASE {name} SET default_transaction_isolation = serializable")
    dsn = parse_database_url(os.environ["DATABASE_URL"])
    async with await psycopg.AsyncConnection.connect(dsn.conninfo, **connection_arguments(dsn)) as connection:
        shown = await (await connection.execute("SHOW transaction_isolation")).fetchone()
    with connect(dsn) as other:
        also = other.execute("SHOW transaction_isolation").fetchone()
    assert shown == also == ("read committed",)


@pytest.mark.slow
async def test_the_log_says_why_once(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    """An operator finds the cause in the log, before and after the first request, and not twice a second."""
    stage.refuse("28P01", 'password authentication failed for user "tasks"')
    async with running(make_settings(os.environ["DATABASE_URL"], migrate_on_start="on")) as client:
        assert (await client.get("/health/ready")).status_code == 503
        await asyncio.sleep(2 * MIGRATION_RETRY_SECONDS)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    told = [line for line in lines if "reason" in line]
    assert {line["event"] for line in told} == {"database_not_reachable", "database_unavailable"}
    assert all("refuses the password of tasks: correct DATABASE_URL" in line["reason"] for line in told)
    assert sum(line["event"] == "database_not_reachable" for line in told) == 1
    assert HIDDEN not in str(lines)


async def test_a_newer_database_of_another_program_is_not_ready(stage: Stage) -> None:
    """A balancer sends nobody to a process whose database is not this service's, though its number is higher."""
    stage.database(OTHERS + "('9999')")
    async with running(make_settings(os.environ["DATABASE_URL"])) as client:
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_NOT_MIGRATED")


def test_doctor_lets_a_password_through_the_queue(
    own_database_url: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """What breaks the threads that hash is found before somebody signs up."""
    stage.set(DATABASE_URL=own_database_url)
    stage.monkeypatch.setattr("app.auth.hash_queue._lower_priority", lambda: 1 / 0)
    assert "fails, so that nobody can sign in" in said(["doctor"], capsys)


def test_doctor_leaves_nothing_behind(own_database_url: str, stage: Stage) -> None:
    """An examination can be repeated for ever: what it has tried to write is gone."""
    stage.set(DATABASE_URL=own_database_url, RATE_LIMITS="on")
    commands.main(["doctor"])
    with psycopg.connect(own_database_url) as connection:
        for table in ("users", "user_state", "sessions", "tasks"):
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            assert connection.execute(query).fetchone() == (0,), table


def test_settings_of_a_unit_are_read_by_every_command(
    own_database_url: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine with systemd the commands use the unit's settings, by one option."""
    stage.monkeypatch.delenv("BETTER_AUTH_SECRET")
    (stage.folder / "auth-tasks.env").write_text(f"BETTER_AUTH_SECRET={SECRET}\nDATABASE_URL={own_database_url}\n")
    (stage.folder / ".env").write_text("DATABASE_URL=mysql://not-this-one\n")
    stage.monkeypatch.setenv("ENV_FILE", "")  # so that it is put back
    commands.main(["--env-file", "auth-tasks.env", "users", "list"])
    commands.main(["--env-file", "auth-tasks.env", "doctor"])
    assert f"at {head_revision()}" in capsys.readouterr().out


FORBIDDEN = "import os\ndef setpriority(*_):\n    raise PermissionError(1, 'no')\nos.setpriority = setpriority"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import os; os.nice(19)", FORBIDDEN])
def test_a_process_that_is_nice_signs_people_up(own_database_url: str, tmp_path: Path, first: str) -> None:
    """A unit with Nice=15, or SystemCallFilter=~@resources, hashes passwords: a priority is a wish."""
    with serving(tmp_path, first=first, DATABASE_URL=own_database_url) as server:
        account = {"email": "ada@example.test", "password": PASSWORD}
        assert httpx.post(f"{server.url}/api/auth/signup", json=account, timeout=60).status_code == 201


@pytest.mark.slow
def test_ctrl_c_while_it_starts_says_nothing(tmp_path: Path) -> None:
    """Whoever changes his mind in the first second sees no traceback."""
    command = [sys.executable, "-X", "importtime", "-m", "app", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment_of(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.endswith("argparse\n"):  # of many modules the first
                process.send_signal(signal.SIGINT)
                break
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == -signal.SIGINT
