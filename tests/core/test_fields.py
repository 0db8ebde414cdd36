"""The types of fields that read text although bodies are strict, and which text shows nothing."""

import json
import re
import shutil
import subprocess
import sys
import unicodedata
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from app.core.fields import SHOWS_NOTHING, VISIBLE, Date, Id, Instant, blank_is_none, visible


class Body(BaseModel):
    model_config = ConfigDict(strict=True)

    day: Date | None = None
    at: Instant | None = None
    which: Id | None = None


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"day": "2026-01-31"}, date(2026, 1, 31)),
        ({"day": None}, None),
        ({"at": "2026-01-31T10:00:00Z"}, datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ({"at": "2026-01-31t10:00:00.5+02:00"}, datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
        ({"which": "9B2D8B1E-3a53-4c3f-8a6e-0f1f0c7f2a10"}, UUID("9b2d8b1e-3a53-4c3f-8a6e-0f1f0c7f2a10")),
    ],
)
def test_text_is_read_as_what_it_says(sent: dict[str, Any], read: object) -> None:
    """A client writes dates, times and ids in JSON's only way, as text."""
    (name,) = sent
    assert getattr(Body.model_validate(sent), name) == read


@pytest.mark.parametrize(
    "sent",
    [
        *(
            {"day": day}
            for day in ("2026-02-31", "2026-1-1", "31.1.2026", "2026-01-31T00:00:00Z", "٢٠٢٦-01-01", 1, True)
        ),
        *(
            {"at": at}
            for at in ("2026-01-31T10:00:00", "2026-01-31", "2026-01-31T25:00:00Z", "9999-12-31T23:59:59-23:59", 0)
        ),
        *(
            {"which": which}
            for which in ("{9b2d8b1e-3a53-4c3f-8a6e-0f1f0c7f2a10}", "9b2d8b1e3a534c3f8a6e0f1f0c7f2a10", 5)
        ),
    ],
)
def test_anything_else_is_refused_with_the_form_that_is_wanted(sent: dict[str, Any]) -> None:
    """A client that writes a date in another way, or one that does not exist, is told how it is written."""
    with pytest.raises(ValidationError) as found:
        Body.model_validate(sent)
    (error,) = found.value.errors()
    assert error["type"].startswith("own_")
    assert error["msg"].startswith("must be a")


def test_the_document_says_the_format() -> None:
    """Generated clients know the fields as dates, times and ids."""
    formats = {name: schema["anyOf"][0]["format"] for name, schema in Body.model_json_schema()["properties"].items()}
    assert formats == {"day": "date", "at": "date-time", "which": "uuid"}


# DerivedCoreProperties.txt of Unicode 17, and PropList.txt: Python's unicodedata has neither.
DEFAULT_IGNORABLE = (
    "ad 34f 61c 115f-1160 17b4-17b5 180b-180f 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff ffa0 fff0-fff8"
    " 1bca0-1bca3 1d173-1d17a e0000-e0fff"
)
PREPENDED_MARKS = "600-605 6dd 70f 890-891 8e2 110bd 110cd"
BRAILLE_BLANK = 0x2800


def code_points(ranges: str) -> set[int]:
    found = set[int]()
    for first, _, last in (part.partition("-") for part in ranges.split()):
        found |= set(range(int(first, 16), int(last or first, 16) + 1))
    return found


def is_visible(text: str) -> bool:
    try:
        visible(text)
    except PydanticCustomError:
        return False
    return True


def test_what_shows_nothing_is_what_unicode_says() -> None:
    """No text is blank to the eye and not to the service: white space, controls, formats and what is ignored.

    Over all code points, by the properties White_Space, Default_Ignorable_Code_Point, Cc and Cf; of the many that mean
    nothing, a hundredth is tried. Formats that are drawn before a number, such as Arabic's number sign, are seen;
    Braille's blank is not.
    """
    ignorable, seen = code_points(DEFAULT_IGNORABLE), code_points(PREPENDED_MARKS)
    every = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]
    by_properties = {
        c
        for c in every
        if chr(c).isspace() or c in ignorable or (unicodedata.category(chr(c)) in ("Cc", "Cf") and c not in seen)
    }
    assert by_properties | {BRAILLE_BLANK} <= set(map(ord, SHOWS_NOTHING))
    late = set(map(ord, SHOWS_NOTHING)) - by_properties - {BRAILLE_BLANK}
    assert all(unicodedata.category(chr(c)) == "Cn" or 0x13430 <= c <= 0x1343F for c in late), "newer than this Python"
    unseen = by_properties | late | {BRAILLE_BLANK}
    tried = [c for c in every if c in unseen or c % 101 == 0 or unicodedata.category(chr(c)) not in ("Cn", "Co")]
    assert [hex(c) for c in tried if is_visible(chr(c)) == (c in unseen)] == []
    assert not is_visible(SHOWS_NOTHING)
    assert is_visible(f"{SHOWS_NOTHING}x{SHOWS_NOTHING}")


def test_blank_text_is_none_by_the_same_rule() -> None:
    """A name that shows nothing is no name."""
    for blank in ("", " ", SHOWS_NOTHING, "\u3164", "\u2800", "\U000e0020"):
        assert blank_is_none(blank) is None
    for kept in (" x ", "\u0600", "\u0301", 5, None):
        assert blank_is_none(kept) == kept


def test_the_documents_pattern_says_the_same() -> None:
    """A client that validates by the document refuses what the service refuses, within the first 65,536 code points."""
    pattern = re.compile(VISIBLE)
    for c in range(1, 0x10000):
        if not 0xD800 <= c <= 0xDFFF:
            assert bool(pattern.search(chr(c))) == is_visible(chr(c)), hex(c)
    assert not pattern.search("a\0")


@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node to test with: apt-get install nodejs")
@pytest.mark.parametrize("flags", ["", "u"])
def test_javascript_reads_the_documents_pattern_as_python_does(flags: str) -> None:
    """A generated client in JavaScript accepts the same titles, whether it makes the pattern with the flag u or not."""
    program = f"""
        const pattern = new RegExp({json.dumps(VISIBLE)}, "{flags}"), found = [];
        for (let c = 0; c <= 0x10ffff; c++)
            if (!(c >= 0xd800 && c < 0xe000) && !pattern.test(String.fromCodePoint(c))) found.push(c);
        console.log(JSON.stringify(found));"""
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, timeout=60, check=True)
    pattern = re.compile(VISIBLE)
    every = (c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF)
    assert json.loads(done.stdout) == [c for c in every if not pattern.search(chr(c))]
