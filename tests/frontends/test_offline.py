"""Copies that go on without a network, by the recipes of docs/offline.md and the real libraries."""

import re
import shutil
from pathlib import Path

import pytest

from tests.frontends.test_node import run
from tests.support.pages import EXAMPLE
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.settings import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm to test with: apt-get install npm"),
]

WATERMELON = "export async function sync(database, client, synchronize, pushChanges) {{\n{}}}\n"


def recipe(library: str) -> str:
    """Return the code that follows the library's name in the document."""
    found = re.search(rf"\*\*{library}\*\*.*?```js\n(.*?)```", (ROOT / "docs/offline.md").read_text(), re.DOTALL)
    assert found, library
    return found[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs with their packages."""
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(Path(__file__).parent / "offline", folder)
    shutil.copytree(EXAMPLE / "client", folder / "client")
    run(folder, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    return folder


@pytest.mark.parametrize(
    ("program", "code"), [("rxdb.mjs", recipe("RxDB")), ("watermelon.mjs", WATERMELON.format(recipe("WatermelonDB")))]
)
def test_a_copy_by_the_recipe_is_what_the_service_has(
    project: Path, database_url: str, tmp_path: Path, program: str, code: str
) -> None:
    """Changes of two devices, lost answers, deletions and an expired cursor leave no copy wrong. Source: FR-059."""
    (project / "recipe.mjs").write_text(code)
    with serving(tmp_path, DATABASE_URL=database_url) as server:
        assert "what the service has" in run(project, "node", program, server.url, new_email(), PASSWORD)
