"""The types of fields that read text although bodies are strict."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.fields import Date, Id, Instant


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
