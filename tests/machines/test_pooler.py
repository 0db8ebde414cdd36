"""PgBouncer between server and database: two statements may run on two connections."""

from pathlib import Path

import pytest

from app.cli.doctor import report
from tests.machines.pooler import needs_pgbouncer, pooled
from tests.machines.test_balancer import run_tests
from tests.support.settings import make_settings

pytestmark = [pytest.mark.slow, needs_pgbouncer]


@pytest.mark.parametrize(("marked", "at_least"), [("core", 60), pytest.param("", 600, marks=pytest.mark.nightly)])
def test_the_tests_of_the_api_pass_through_it(folder: Path, postgres_url: str, marked: str, at_least: int) -> None:
    """The service works behind a transaction pooler: accounts, tasks, migrations and races."""
    with pooled(folder, postgres_url) as url:
        passed = run_tests(
            *("tests/auth", "tests/sessions", "tests/accounts", "tests/tasks"),
            *("tests/attacks/test_rotation.py", "tests/attacks/test_races.py"),
            marked=marked,
            TEST_DATABASE_URL=url,
            DATABASE_POOLER="transaction",
        )
    print(f"through PgBouncer in transaction mode: {passed} tests passed")
    assert passed > at_least


def test_doctor_says_which_setting_is_missing(
    folder: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator whose pooler refuses every connection reads which setting is missing."""
    with pooled(folder, postgres_url) as url:
        assert not report(make_settings(url))
        assert "set DATABASE_POOLER=transaction" in capsys.readouterr().out
        report(make_settings(url, database_pooler="transaction"))
        assert "ok    database" in capsys.readouterr().out
