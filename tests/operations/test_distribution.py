"""`python -m app distribute` where there is nothing to distribute to; `tests/machines/test_citus.py` has the rest."""

import psycopg
import pytest

from app.cli import commands
from app.core.database.dsn import parse_database_url
from app.operations.distribution import NotDistributable, distribute, has_extension, is_distributed
from tests.support.settings import SECRET


@pytest.fixture
def undivided(own_database_url: str) -> str:
    """A database without the extension."""
    with psycopg.connect(own_database_url) as connection:
        if has_extension(connection):
            pytest.skip("this PostgreSQL has Citus")
        assert not is_distributed(connection)
    return own_database_url


def test_without_the_extension_it_says_what_is_missing(undivided: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator without Citus learns what is missing, and nothing is changed."""
    with pytest.raises(NotDistributable, match="no Citus extension: put citus into shared_preload_libraries"):
        distribute(parse_database_url(undivided))
    monkeypatch.setenv("DATABASE_URL", undivided)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    with pytest.raises(SystemExit, match="no Citus extension"):
        commands.main(["distribute"])
