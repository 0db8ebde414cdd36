"""What docs/ tells about adding something, followed in a copy of the tree."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.clones import clone, installed_by_make
from tests.support.recipes import change, follow, run
from tests.support.settings import ROOT

PAGES = ["docs/adding-a-field.md", "docs/adding-a-resource.md"]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_changes_is_there(page: str, tmp_path: Path) -> None:
    """A developer who moves or renames what a page shows is told at once to mend the page."""
    folder = clone(tmp_path)
    change(page, folder)
    run(f"PYTHONPATH=. {sys.executable} -c 'import app.main'", folder)


@pytest.mark.slow
@installed_by_make
@pytest.mark.parametrize("page", [pytest.param(PAGES[0], marks=pytest.mark.nightly), PAGES[1]])
def test_a_page_leads_to_what_it_promises(page: str, tmp_path: Path, postgres_url: str) -> None:
    """A developer who follows a page has what it is about, and it passes every check."""
    folder = clone(tmp_path)
    with suppress(FileNotFoundError):  # what mypy knows of the files that stay as they are
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    follow(page, folder, TEST_DATABASE_URL=postgres_url)
