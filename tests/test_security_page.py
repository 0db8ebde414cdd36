"""docs/security.md: every line that says what holds names the test that shows it."""

import re

import pytest

from tests.support.settings import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
STOLEN, _, REST = PAGE.partition("## What a stolen … can do")[2].partition("## Not defended")
ASVS = REST.partition("## ASVS 5.0")[2]
MAY_BE_OPEN_AT_LEVEL_1 = "10.4.4"


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    found = [line.strip("|").split(" | ") for line in re.findall(r"(?m)^\|.+\|$", text)]
    return [[cell.strip() for cell in row] for row in found[2:]]


def assert_named(what: str, text: str) -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert tests, what
    for file, name in tests:
        source = (ROOT / file).read_text()
        assert re.search(rf"(?m)^ *(async )?def {name}\(", source), f"{what}: {file} has no {name}"


@pytest.mark.parametrize("row", rows(STOLEN), ids=lambda row: row[0][:20])
def test_what_a_stolen_thing_can_do_is_shown(row: list[str]) -> None:
    """Who doubts a line can run what shows it."""
    assert_named(row[0], row[-1])


def test_every_line_of_asvs_is_shown_or_has_a_reason() -> None:
    """A reviewer finds a test for what is met, a reason for what is not, and level 1 met but for one line."""
    table = rows(ASVS)
    assert len(table) > 60
    for number, level, _, state, why in table:
        assert state in ("met", "open", "deployer"), number
        if state == "met":
            assert_named(number, why)
        elif state == "open":
            assert level == "2" or number == MAY_BE_OPEN_AT_LEVEL_1, number
            assert len(why) > 30, f"{number}: no reason"
