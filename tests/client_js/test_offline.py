"""The copy of the JavaScript client, with the rules of the Python client's."""

import shutil

import pytest

from tests.client_js.conftest import Project
from tests.support.server import Server
from tests.support.settings import ROOT

pytestmark = pytest.mark.slow

SCENARIOS = ["a copy", "in order", "conflicts", "settle", "lost answers", "later"]
SCENARIOS += ["no locks", "refused", "cursor", "accounts", "one after the other"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_copy(project: Project, server: Server, scenario: str) -> None:
    """What is done without a network is kept, sent once and in order, and nothing typed is lost. Source: FR-059."""
    shutil.copy(ROOT / "clients" / "conflicts.json", project.folder)
    project.node("offline.mjs", scenario, server)
