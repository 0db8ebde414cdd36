"""The list: filters, search, sorting, pages."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.tasks import pages
from tests.support.people import Person


@pytest.fixture
async def rich(ada: Person) -> Person:
    """Somebody with eight tasks of all kinds."""
    for number, (title, status, priority) in enumerate(
        [
            ("banana", "pending", "low"),
            ("Apple", "completed", "high"),
            ("100% äpfel", "in_progress", "medium"),
            ("cherry_pie", "pending", "high"),
            ("ÄPFEL", "completed", "low"),
            ("back\\slash", "pending", "medium"),
            ("apple", "pending", "medium"),
            ("😀" * 200, "in_progress", "low"),
        ]
    ):
        await ada.add_task(title, status=status, priority=priority, description=str(number))
    return ada


async def titles(person: Person, query: str = "") -> list[str]:
    answer = await person.get(f"/api/tasks{query}")
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


async def test_nobody_has_tasks_at_first(ada: Person) -> None:
    """A new user gets an empty list and no error. Source: FR-017."""
    answer = await ada.get("/api/tasks")
    assert (answer.json(), "x-total-count" in answer.headers, "link" in answer.headers) == ([], False, False)
    limited = await ada.get("/api/tasks?limit=5")
    assert (limited.json(), limited.headers["x-total-count"]) == ([], "0")


async def test_the_newest_comes_first(rich: Person) -> None:
    """Without a limit a client gets the whole list, newest first. Source: FR-017."""
    tasks = (await rich.get("/api/tasks")).json()
    assert [task["description"] for task in tasks] == list("76543210")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("completed=true", 2),
        ("completed=false", 6),
        ("status=pending", 4),
        ("status=in_progress", 2),
        ("priority=high", 2),
        ("priority=low&status=pending", 1),
        ("completed=true&status=pending", 0),
        ("q=APPLE", 2),
        ("q=%C3%A4PF", 2),
        ("q=%25", 1),
        ("q=_", 1),
        ("q=%5C", 1),
        ("q=nothing", 0),
        ("q=p&completed=false&priority=medium&sort=title&order=asc", 2),
        ("unknown=1", 8),
    ],
)
async def test_filters_combine(rich: Person, query: str, found: int) -> None:
    """A client chooses by several filters at once, and the total counts what is left. Source: FR-043."""
    assert len(await titles(rich, f"?{query}")) == found
    answer = await rich.get(f"/api/tasks?{query}&limit=100")
    assert answer.headers["x-total-count"] == str(found)


async def test_each_sort_has_its_order(rich: Person) -> None:
    """Priority sorts by rank, title without regard to case, and updated_at by the latest change. Source: FR-044."""
    high_first = [t["priority"] for t in (await rich.get("/api/tasks?sort=priority")).json()]
    assert high_first == ["high"] * 2 + ["medium"] * 3 + ["low"] * 3
    by_title = await titles(rich, "?sort=title&order=asc")
    assert by_title[0].startswith("100%")
    assert {t.lower() for t in by_title[1:3]} == {"apple"}
    assert by_title == (await titles(rich, "?sort=title&order=desc"))[::-1]
    oldest = (await rich.get("/api/tasks?order=asc&limit=1")).json()[0]
    assert oldest["title"] == "banana"
    await rich.send("PATCH", f"/api/tasks/{oldest['id']}/toggle")
    assert (await titles(rich, "?sort=updated_at"))[0] == "banana"


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created_at", "updated_at", "priority", "title"])
@pytest.mark.parametrize("extra", ["", "&completed=false&q=a"])
async def test_a_walk_by_cursor_meets_each_task_once(rich: Person, sort: str, order: str, extra: str) -> None:
    """A client that reads page by page meets each task once, in the order of the whole list. Source: FR-045."""
    query = f"sort={sort}&order={order}{extra}"
    expected = [t["id"] for t in (await rich.get(f"/api/tasks?{query}")).json()]
    url: str | None = f"/api/tasks?limit=3&offset=0&{query}"
    walked: list[str] = []
    while url and len(walked) < 20:
        answer = await rich.get(url)
        walked += [t["id"] for t in answer.json()]
        link = answer.headers.get("link")
        assert link is None or link.endswith('; rel="next"')
        url = link and link[1:].partition(">")[0]
    assert walked == expected


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created_at", "updated_at", "priority", "title"])
async def test_a_list_read_in_batches_is_in_order(
    rich: Person, monkeypatch: pytest.MonkeyPatch, sort: str, order: str
) -> None:
    """A client gets the same bytes in batches as in one piece, whatever the order."""
    whole = await rich.get(f"/api/tasks?sort={sort}&order={order}")
    assert len(whole.json()) == 8
    monkeypatch.setattr(pages, "BATCH", 1)
    assert (await rich.get(f"/api/tasks?sort={sort}&order={order}")).content == whole.content


async def test_a_page_removed_under_the_cursor_does_not_stop_the_walk(rich: Person) -> None:
    """A client can read on though all that it has read was deleted. Source: FR-045."""
    first = await rich.get("/api/tasks?limit=3")
    for task in first.json():
        await rich.send("DELETE", f"/api/tasks/{task['id']}")
    await rich.add_task("new")
    answer = await rich.get(first.headers["link"][1:].partition(">")[0])
    assert [t["description"] for t in answer.json()] == list("432")
    assert answer.headers["x-total-count"] == "6"


async def test_an_offset_leaves_out_so_many(rich: Person) -> None:
    """A client may page by offset, and reads how many tasks there are. Source: FR-045."""
    answer = await rich.get("/api/tasks?limit=3&offset=6")
    assert [t["description"] for t in answer.json()] == list("10")
    assert (answer.headers["x-total-count"], "link" in answer.headers) == ("8", False)
    beyond = await rich.get("/api/tasks?limit=3&offset=2147483647")
    assert (beyond.json(), beyond.headers["x-total-count"]) == ([], "8")
    assert len(await titles(rich, "?offset=5")) == 3


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={quote(v)}" for v in ("-1", "0", "101", "1e3", "1_0", "+5", "5.0", "５", "true", " 5", "9" * 999)),
        *(f"offset={v}" for v in ("-1", "9223372036854775808", "2147483648", "x", "1_0")),
        *(f"completed={v}" for v in ("yes", "1", "on")),
        *("status=done", "priority=urgent", "sort=id", "order=up", "q=%00", "q=" + "x" * 201),
        "limit=5&limit=x",
    ],
)
async def test_a_bad_query_is_422(ada: Person, query: str) -> None:
    """A client is told which parameter is wrong; of a repeated one the last counts."""
    answer = await ada.get(f"/api/tasks?{query}")
    assert answer.status_code == 422, answer.text
    assert [e["field"] for e in answer.json()["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize("query", ["q=%ED%A0%80", "q=%ff", "limit=x&limit=5", "cursor=&limit=1"])
async def test_an_odd_query_is_no_error_of_ours(ada: Person, query: str) -> None:
    """Odd bytes and repetitions in a query are never an error of the server."""
    assert (await ada.get(f"/api/tasks?{query}")).status_code in (200, 422)


def cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


UUID = "0b9e9f0e-6c1f-4d5b-9f2a-6f8f2f6f3f61"
NOW = "2026-01-07T10:00:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "====",
        "é",
        "x" * 5000,
        cursor(None),
        cursor([1, 2]),
        cursor(["created_at", "desc", NOW]),
        cursor(["created_at", "asc", NOW, UUID]),
        cursor(["title", "desc", "a", UUID]),
        cursor(["created_at", "desc", "yesterday", UUID]),
        cursor(["created_at", "desc", "2026-01-07T10:00:00", UUID]),
        cursor(["created_at", "desc", NOW, "x"]),
        cursor(["created_at", "desc", NOW, 5]),
        cursor(["created_at", "desc", 5, UUID]),
        cursor([["created_at"], "desc", NOW, UUID]),
        cursor(["created_at", "desc", "high", UUID]),
        cursor({"a": 1, "b": 2, "c": 3, "d": 4}),
        base64.urlsafe_b64encode(b"[" * 2900).decode(),
    ],
)
async def test_a_made_up_cursor_is_422(ada: Person, value: str) -> None:
    """A client that makes a cursor up is told so, and the database is not troubled. Source: FR-045."""
    answer = await ada.get(f"/api/tasks?limit=2&cursor={quote(value)}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_cursor_after_no_priority_is_422(ada: Person) -> None:
    """A client gets no wrong page: an unknown priority in a cursor would be taken for the lowest. Source: FR-045."""
    answer = await ada.get(f"/api/tasks?sort=priority&cursor={quote(cursor(['priority', 'desc', '3', UUID]))}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("title", "\0"),
        ("title", "\ud800"),
        ("priority", "x"),
        ("priority", "9" * 4000),
        ("priority", "-99999999999"),
        ("created_at", "9999-12-31T23:59:59.999999-23:59"),
        ("created_at", "0001-01-01T00:00:00+23:59"),
    ],
)
async def test_a_made_up_key_is_no_error_of_ours(ada: Person, sort: str, key: str) -> None:
    """NUL, surrogates and numbers too large, in a cursor, are never an error of the server. Source: FR-045."""
    answer = await ada.get(f"/api/tasks?sort={sort}&cursor={quote(cursor([sort, 'desc', key, UUID]))}")
    assert answer.status_code in (200, 422)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sort=st.sampled_from(["title", "priority", "created_at"]), key=st.text(), last=st.text() | st.just(UUID))
async def test_no_cursor_breaks_the_list(ada: Person, sort: str, key: str, last: str) -> None:
    """Whatever is in a cursor, the list or an error of the client comes back. Source: FR-045."""
    value = quote(cursor([sort, "asc", key, last]))
    assert (await ada.get(f"/api/tasks?sort={sort}&order=asc&cursor={value}")).status_code in (200, 422)


SPELLINGS = [
    ("Café", "Cafe\u0301"),
    ("\u212b ngstr\xf6m", "\xc5 ngstro\u0308m"),  # the sign of the unit, and the letter
    ("가게", "\u1100\u1161\u1100\u1166"),
    ("q\u0307\u0323", "q\u0323\u0307"),
    ("\u1e9b\u0323", "\u017f\u0323\u0307"),
    ("\u0958", "\u0915\u093c"),  # a letter that the composed form leaves in two
]


@pytest.mark.parametrize("one_and_other", SPELLINGS)
async def test_a_search_finds_every_spelling_of_the_same_text(ada: Person, one_and_other: tuple[str, str]) -> None:
    """Who searches finds a title that another keyboard wrote in other code points; both stay as they are.

    macOS and some input methods decompose what others compose: the two are the same text (canonical equivalence).
    """
    titles = [f"{before}{text}{after}" for text in one_and_other for before, after in (("", ""), ("My ", "!"))]
    for title in (*titles, "something else"):
        await ada.add_task(title)
    for searched in one_and_other:
        found = (await ada.get("/api/tasks", params={"q": searched, "order": "asc"})).json()
        assert [task["title"] for task in found] == titles, ascii(searched)


async def test_a_letter_is_not_found_in_another_one(ada: Person) -> None:
    """Searching for e does not find é, in whichever way it is written; the case of either does not matter."""
    for title in ("Caf\xe9", "Cafe\u0301", "Cafe"):
        await ada.add_task(title)
    for searched in ("CAF\xc9", "CAFE\u0301"):
        assert len((await ada.get("/api/tasks", params={"q": searched})).json()) == 2
    assert [task["title"] for task in (await ada.get("/api/tasks?q=cafe")).json()] == ["Cafe"]
