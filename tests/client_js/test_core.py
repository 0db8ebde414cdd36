"""The JavaScript client in Node.js: what it does with answers, lost or not, and what happens to a session."""

import pytest

from tests.client_js.conftest import Project
from tests.support.rounds import rounds
from tests.support.server import Server

pytestmark = pytest.mark.slow

CUTS = rounds(200, least=20)


@pytest.mark.parametrize(
    "scenario",
    [
        *("life", "busy", "again", "silent", "hotel", "bare", "reasons", "clocks"),
        *("a copied store", "one cookie for two", "a stopped tab", "a late tab", "two accounts", "paths", "script"),
    ],
)
def test_the_core(project: Project, server: Server, scenario: str) -> None:
    """Accounts and tasks; 503 and 429 waited out; sent again; no browser; why it ended; a thief; another cookie;
    a tab that is stopped, or late, or somebody else's; where a path leads; a script."""
    project.node("core.mjs", scenario, server)


@pytest.mark.parametrize("locks", ["locks", "no locks"])
def test_lost_answers_sign_nobody_out(project: Project, server: Server, locks: str) -> None:
    """Answers cut at any byte, twenty tabs at once, a late answer: the session goes on. Source: FR-051."""
    print(project.node("lost.mjs", locks, server, str(CUTS)))
