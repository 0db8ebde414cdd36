"""How far long work is: told on a terminal, and not in a pipe."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from app.cli import progress
from app.core.database.dsn import parse_database_url
from app.operations.migrations import how_far
from tests.support.settings import ROOT, SECRET, environment_of
from tests.support.waiting import wait_until

SLOWLY = """
import sys, time
from app.cli import progress
progress.INTERVAL_SECONDS = 0.05
done, shown = 0, set()

def describe():
    shown.add(done)
    return f"{done} rows"

with progress.progress(describe):
    for done in range(4):
        for _ in range(1000):
            if done in shown or not sys.stderr.isatty():
                break
            time.sleep(0.01)
print("Done.", file=sys.stderr)
"""


def on_a_terminal(*command: str, **environment: str) -> str:
    """Run a command with a terminal for its standard error, and return what it shows."""
    ours, theirs = pty.openpty()
    started = subprocess.Popen([sys.executable, *command], cwd=ROOT, stderr=theirs, env={**os.environ, **environment})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    finally:
        os.close(ours)
    assert started.wait(20) == 0
    return shown.decode()


def test_a_terminal_shows_how_far_it_is_and_is_left_clean() -> None:
    """Somebody who waits sees one line that goes on, and none of it afterwards."""
    shown = on_a_terminal("-c", SLOWLY)
    lines = shown.split("\r\x1b[K")
    rows = re.findall(r"^(\d rows) \(\d+ s\)$", "\n".join(lines), re.MULTILINE)
    assert list(dict.fromkeys(rows)) == ["0 rows", "1 rows", "2 rows", "3 rows"]
    assert lines[-1].strip() == "Done."


def test_a_pipe_gets_nothing_of_it() -> None:
    """A log of a nightly job has no line that is rewritten."""
    done = subprocess.run([sys.executable, "-c", SLOWLY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "Done.\n"


def test_work_that_fails_leaves_the_terminal_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is read on a line of its own, and nothing goes on showing progress."""
    written: list[str] = []

    class Terminal:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            written.append(text)

        def flush(self) -> None:
            """Nothing is held back."""

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.01)

    def fail() -> None:
        with progress.progress(lambda: "Writing"):
            wait_until(lambda: "Writing" in "".join(written))
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert "".join(written).endswith("\r\x1b[K")


def test_an_operator_sees_where_a_migration_is(own_database_url: str) -> None:
    """The line names the revision, and how much of an index is built while one is being built."""
    dsn = parse_database_url(own_database_url)
    assert how_far(dsn).startswith("At revision 00")
    with psycopg.connect(own_database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE alembic_version")
    assert how_far(dsn).startswith("At revision none of 00")
    assert how_far(parse_database_url("postgresql://nobody@127.0.0.1:1/none")) == "Migrating"


@pytest.mark.slow
def test_a_dump_and_a_restore_work_on_a_terminal(own_database_url: str, tmp_path: Path) -> None:
    """What is shown does not disturb what is done."""
    settings = environment_of(BETTER_AUTH_SECRET=SECRET, DATABASE_URL=own_database_url)
    for command in ("dump", "restore"):
        shown = on_a_terminal("-m", "app", command, str(tmp_path / "tasks.dump"), **settings)
        assert "bytes." in shown or "Restored." in shown
    for command in ("migrate", "prune"):
        assert "Traceback" not in on_a_terminal("-m", "app", command, **settings)
