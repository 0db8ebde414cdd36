"""The accounts of another system, read line by line from CSV or JSON lines, and why some of them are not taken."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from app.accounts.emails import normalise_email
from app.auth.models import NAME_LENGTH
from app.core.fields import blank_is_none
from app.core.operator_error import OperatorError

COLUMNS = ("email", "name", "hash", "created_at")
_REQUIRED = {"email", "hash"}


class Arrival(NamedTuple):
    """An account that can be taken; one without a hash says why: its owner has yet to choose a password."""

    line: int
    email: str
    name: str | None
    created_at: datetime
    password_hash: str | None
    why_no_hash: str = ""


class Refused(NamedTuple):
    """A line that is not taken."""

    line: int
    why: str


Admit = Callable[[str], str]
"""Returns a hash as it is stored. Raises: ValueError, which says why it cannot be."""


def read_arrivals(
    file: Iterable[str], *, admit: Admit, without_password: bool, now: datetime
) -> Iterator[Arrival | Refused]:
    """Yield what each line says. Raises: OperatorError if the first line says no columns.

    The file was opened with `newline=""` and `errors="surrogateescape"`.
    """
    for line, fields in _read_lines(file):
        if isinstance(fields, str):
            yield Refused(line, fields)
            continue
        try:
            yield _arrival(line, fields, admit=admit, without_password=without_password, now=now)
        except ValueError as error:
            yield Refused(line, str(error))


def _read_lines(file: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Yield each line's number and its fields, or why there are none."""
    lines = iter(file)
    first = next(lines, "")
    all_lines = chain([first], lines)
    return _read_json(all_lines) if first.lstrip().startswith("{") else _read_csv(all_lines)


def _read_json(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            read = None
        yield number, read if isinstance(read, dict) else "it is no JSON object"


def _read_csv(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    reader = csv.reader(lines, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
    except csv.Error:
        columns = []
    if not set(columns) >= _REQUIRED or len(set(columns)) < len(columns):
        wanted = ", ".join(COLUMNS)
        raise OperatorError(
            f"The file is neither JSON lines nor CSV in UTF-8 whose first line names the columns: {wanted}."
        )
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"it is not CSV up to line {reader.line_num}: {error}"
            continue
        if len(row) == len(columns):
            yield number, dict(zip(columns, row, strict=True))
        elif row:
            yield number, f"it has {len(row)} columns, the first line {len(columns)}"


def _arrival(line: int, fields: Mapping[str, Any], *, admit: Admit, without_password: bool, now: datetime) -> Arrival:
    texts = {name: _text(name, fields.get(name)) for name in COLUMNS}
    email = normalise_email(texts["email"] or "")
    if email is None:
        raise ValueError("the e-mail address is not valid" if texts["email"] else "it has no e-mail address")
    name: str | None = blank_is_none(texts["name"])
    if name and len(name) > NAME_LENGTH:
        raise ValueError(f"the name has {len(name)} characters, {NAME_LENGTH} are the most")
    known = (line, email, name, _moment(texts["created_at"], now))
    try:
        if texts["hash"] is None:
            raise ValueError("it has no hash")
        return Arrival(*known, admit(texts["hash"]))
    except ValueError as error:
        if without_password:
            return Arrival(*known, None, str(error))
        raise


def _text(name: str, value: Any) -> str | None:
    """Return a field, None if it is empty."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    if "\0" in value:
        raise ValueError(f"{name} has a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not UTF-8") from None
    return value


def _moment(text: str | None, now: datetime) -> datetime:
    """Read a moment as databases write it; without an offset it is UTC."""
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("created_at is no date such as 2026-01-31 10:00:00+00") from None
    if moment > now:
        raise ValueError("created_at lies ahead")
    return moment
