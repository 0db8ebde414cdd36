"""The documents lead where they say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.settings import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
PAGES += ROOT.glob("clients/*/README.md")


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r'src="([^"]+)"', text)


def anchors(page: Path) -> set[str]:
    """Return what a heading is called in a link, as GitHub does it."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """A reader who follows a link finds the file and the section."""
    for link in links(page):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}: there is no such section"


def test_the_front_page_leads_to_every_page() -> None:
    """Whoever reads the README finds each page of docs/."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    missing = [page.name for page in ROOT.glob("docs/*.md") if page.resolve() not in linked]
    assert missing == []
