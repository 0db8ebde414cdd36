"""Whatever is sent: 4xx in one shape, nothing echoed, nothing lost."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.fields import SHOWS_NOTHING
from tests.support.people import NOBODY, Person

NASTY = [
    "emoji 👩‍👩‍👧‍👦 and flags 🇩🇪",
    "right-to-left \u202egnp.exe\u202c",
    "combining e\u0301 and precomposed é",
    "line\r\nbreaks\tand tabs",
    "<script>alert(1)</script>",
    "'; DROP TABLE tasks; --",
    "%s %(title)s {{7*7}} ${x} \\u0000 \\",
    '"quotes" and \u2028 separators \u007f',
    "  leading and trailing  ",
    "\u200bvisible after a zero-width space",
]


@pytest.mark.parametrize("text", NASTY)
async def test_text_comes_back_as_it_was_sent(ada: Person, text: str) -> None:
    """Users get their text back as they wrote it: escaping belongs to the page that shows it."""
    task = await ada.add_task(text, description=text)
    again = (await ada.get(f"/api/tasks/{task['id']}")).json()
    assert (again["title"], again["description"]) == (text, text)
    assert (await ada.get("/api/tasks")).json() == [again]


storable_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=storable_text, description=st.none() | storable_text)
async def test_any_text_is_kept_or_refused_as_blank(ada: Person, title: str, description: str | None) -> None:
    """Any title that can be seen is kept exactly."""
    answer = await ada.send("POST", "/api/tasks", json={"title": title, "description": description})
    if answer.status_code == 201:
        assert (answer.json()["title"], answer.json()["description"]) == (title, description)
    else:
        assert not title.strip(SHOWS_NOTHING)


@pytest.mark.parametrize(
    "blank",
    [
        *("", " ", "   ", "\t\n", "\u200b", "\u200d", "\ufeff", "\u00a0", "\u2028", "\u202e\u202c"),
        *("\u3164", "\uffa0", "\u115f\u1160", "\u034f", "\u2800", "\ufe0f", "\U000e0001\U000e0041", "\U0001d173"),
    ],
)
async def test_a_blank_title_is_422(ada: Person, blank: str) -> None:
    """No task is without a title that can be seen. Source: FR-024."""
    answer = await ada.send("POST", "/api/tasks", json={"title": blank})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "title")


@pytest.mark.parametrize("character", ["a", "😀", "é"])
@pytest.mark.parametrize(("field", "limit"), [("title", 200), ("description", 2000)])
async def test_lengths_count_code_points(ada: Person, character: str, field: str, limit: int) -> None:
    """An emoji counts as one character of a title or a description. Source: FR-024, FR-025."""
    for length, status in ((limit, 201), (limit + 1, 422)):
        answer = await ada.send("POST", "/api/tasks", json={"title": "x", field: character * length})
        assert answer.status_code == status


@pytest.mark.parametrize(
    "content",
    [
        b"{bad",
        b'{"title":',
        b'{"title":"a",}',
        b"{'title':'a'}",
        b'{"title":"\xff\xfe"}',
        '{"title":"a"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"title":"a"}',
        b'{"title":NaN}',
        b'{"title":"a","x":Infinity}',
        b'{"title":"a","x":-Infinity}',
        b'{"title":"a","x":1e400}',
        b'{"title":"a","x":' + b"9" * 5000 + b"}",
        b"[" * 30_000,
        b"\0",
    ],
)
async def test_what_is_not_json_is_400(ada: Person, content: bytes) -> None:
    """A client that sends no JSON is told so, and nothing is made.

    Source: FR-033.
    """
    answer = await ada.send("POST", "/api/tasks", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_BODY")
    assert (await ada.get("/api/tasks")).json() == []


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'"x"', b"5", b"true", b"[" * 300 + b"]" * 300])
async def test_what_is_no_object_is_422(ada: Person, content: bytes) -> None:
    """A client that sends no object, or nothing where a body is needed, is told so. Source: FR-036."""
    answer = await ada.send("POST", "/api/tasks", content=content)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body"


@pytest.mark.parametrize("value", [r'"a\u0000b"', r'"\ud800"', r'"\udfff\ud800"'])
@pytest.mark.parametrize("field", ["title", "description"])
async def test_what_cannot_be_stored_is_422(ada: Person, field: str, value: str) -> None:
    """A client is told of text that cannot be stored, where naive code gives 500."""
    body = f'{{"title":"x","{field}":{value}}}' if field != "title" else f'{{"title":{value}}}'
    answer = await ada.send("POST", "/api/tasks", content=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("depth", [300, 990, 2000, 30_000])
@pytest.mark.parametrize("field", ["title", "other"])
async def test_nesting_beyond_reason_is_no_error_of_ours(ada: Person, field: str, depth: int) -> None:
    """A deeply nested body is the client's error and is not echoed.

    How deep Python reads depends on its version.
    """
    content = f'{{"title":"a","{field}":'.encode() + b"[" * depth + b"]" * depth + b"}"
    answer = await ada.send("POST", "/api/tasks", content=content)
    assert answer.status_code in ((400, 422) if field == "title" else (400, 201))
    assert len(answer.content) < 1000


async def test_a_surrogate_in_a_field_nobody_reads_does_no_harm(ada: Person) -> None:
    """A field that the API does not know does no harm, whatever is in it."""
    assert (await ada.send("POST", "/api/tasks", content=rb'{"title":"x","other":"\ud800"}')).status_code == 201


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("title", [1, True, None, [], {}, 1.5]),
        ("description", [1, True, [], {}]),
        ("completed", ["yes", "true", 1, 0, None, []]),
        ("status", ["done", "PENDING", 1, None, []]),
        ("priority", ["urgent", 3, None, []]),
    ],
)
async def test_types_are_taken_as_they_are(ada: Person, field: str, values: list[Any]) -> None:
    """A client is told of a wrong type: nothing is converted, not even "true" to true."""
    for value in values:
        answer = await ada.send("POST", "/api/tasks", json={"title": "x", field: value})
        assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field])


async def test_every_mistake_is_named_at_once_and_none_echoed(ada: Person) -> None:
    """A form can mark every wrong field at once, and nothing that was sent comes back. Source: FR-029."""
    body = {"title": "", "description": "c4nary" * 500, "status": "c4nary", "priority": "c4nary", "completed": "c4nary"}
    answer = await ada.send("POST", "/api/tasks", json=body)
    assert {e["field"] for e in answer.json()["errors"]} == body.keys()
    assert "c4nary" not in answer.text
    assert all(e["message"] in answer.json()["detail"] for e in answer.json()["errors"])


async def test_what_the_server_owns_cannot_be_set(ada: Person, bob: Person) -> None:
    """Nobody gives a task another owner, id, version or date by sending more fields."""
    forced = {
        "id": str(uuid4()),
        "user_id": bob.user["id"],
        "owner": bob.user["id"],
        "version": 99,
        "created_at": "1999-01-01T00:00:00Z",
        "updated_at": "1999-01-01T00:00:00Z",
    }
    task = await ada.add_task(**forced)
    assert task.keys() & forced.keys() == forced.keys() - {"owner"}
    assert not set(forced.values()) & {v for v in task.values() if isinstance(v, str)}
    assert (task["user_id"], task["version"]) == (ada.user["id"], 1)
    answer = await ada.send("PUT", f"/api/tasks/{task['id']}", json={"title": "y", **forced})
    changed = answer.json()
    assert {n: changed[n] for n in ("id", "user_id", "created_at")} == {
        n: task[n] for n in ("id", "user_id", "created_at")
    }
    assert changed["version"] == 2
    assert (await bob.get("/api/tasks")).json() == []


@pytest.mark.parametrize(
    "task_id",
    [
        *("%00", "%ff", "%ED%A0%80", "1", "x", "%EF%BC%95", "{}", "a" * 10_000, "..%2f..%2fetc%2fpasswd"),
        *(f"{NOBODY}%0a", f"{{{NOBODY}}}", NOBODY.hex, f"urn:uuid:{NOBODY}"),
        "00000000-0000-0000-0000-000000000000",
    ],
)
async def test_what_is_no_id_is_missing_like_any_other(ada: Person, task_id: str) -> None:
    """A broken link to a task is answered like one to a task that is gone. Source: FR-031."""
    for method, suffix, body in (
        ("GET", "", None),
        ("PUT", "", {"title": "x"}),
        ("DELETE", "", None),
        ("PATCH", "/toggle", None),
    ):
        answer = await ada.send(method, f"/api/tasks/{task_id}{suffix}", json=body)
        assert answer.status_code == 404


async def test_an_id_may_be_written_in_capitals(ada: Person) -> None:
    """A client may write ids in capitals (RFC 9562 4)."""
    task = await ada.add_task()
    assert (await ada.get(f"/api/tasks/{task['id'].upper()}")).json() == task


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/json; charset=utf-16", "x"])
async def test_a_body_declared_as_something_else_is_415(ada: Person, media_type: str) -> None:
    """A body that is declared as something else, or packed, is not guessed at."""
    content = b'{"title":"x"}'
    answer = await ada.send("POST", "/api/tasks", headers={"Content-Type": media_type}, content=content)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    packed = await ada.send("POST", "/api/tasks", headers={"Content-Encoding": "gzip"}, content=content)
    assert packed.status_code == 415


@pytest.mark.parametrize(
    "media_type", ["application/json", "APPLICATION/JSON; Charset=UTF-8", "application/merge-patch+json", ""]
)
async def test_json_may_be_declared_in_several_ways(ada: Person, media_type: str) -> None:
    """Clients may declare JSON in any usual spelling, or not at all."""
    headers = {"Content-Type": media_type} if media_type else {}
    answer = await ada.send("POST", "/api/tasks", headers=headers, content=b'{"title":"x"}')
    assert answer.status_code == 201


async def test_a_body_above_64_kib_is_413(ada: Person) -> None:
    """A large body is refused by the length it declares, and by what really comes."""

    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1024

    body = b'{"title":"' + b"x" * 70_000 + b'"}'
    declared = await ada.send("POST", "/api/tasks", content=body)
    streamed = await ada.send("POST", "/api/tasks", content=chunks())
    for answer in (declared, streamed):
        assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    fits = b'{"title":"x","other":"' + b"x" * 65_000 + b'"}'
    assert (await ada.send("POST", "/api/tasks", content=fits)).status_code == 201


@pytest.mark.parametrize(
    ("headers", "content"),
    [({}, b"{bad"), ({}, b"x" * 100_000), ({"Content-Type": "text/plain"}, b"x"), ({}, b"{}"), ({}, b"")],
)
async def test_who_calls_is_asked_before_the_body_is_read(
    client: httpx.AsyncClient, headers: dict[str, str], content: bytes
) -> None:
    """A stranger learns nothing by sending bodies: 401 comes before 413, 415, 400 and 422."""
    for method, url in (("POST", "/api/tasks"), ("PUT", f"/api/tasks/{uuid4()}"), ("PATCH", "/api/tasks/x")):
        answer = await client.request(method, url, headers=headers, content=content)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_the_body_of_a_stranger_is_not_read(client: httpx.AsyncClient) -> None:
    """A stranger cannot make the server take a body in."""
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        taken += 1
        yield b"{}"

    for headers in ({}, {"Authorization": "Bearer a.b.c"}):
        answer = await client.post("/api/tasks", content=body(), headers=headers)
        assert (answer.status_code, taken) == (401, 0)
