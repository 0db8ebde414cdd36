"""What only a raw socket can send."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.core.clock import stopwatch
from app.main import create_app
from tests.support.people import PASSWORD, Person, new_email
from tests.support.raw_http import connect, read_one, read_to_the_end, statuses
from tests.support.server import Server, serving
from tests.support.settings import make_settings


def send(server: Server, request: bytes) -> tuple[int, bytes]:
    """Send these bytes; return the status, and the answer with all that comes after it at once."""
    with connect(server) as link:
        link.sendall(request)
        answer = read_one(link)
        link.settimeout(0.1)
        with suppress(TimeoutError):
            answer += read_to_the_end(link)
    return statuses(answer)[0], answer


@pytest.fixture(scope="module")
def token(two_workers: Server) -> str:
    body = {"email": new_email(), "password": PASSWORD}
    answer = httpx.post(f"{two_workers.url}/api/auth/signup", json=body)
    found: str = answer.json()["access_token"]
    return found


@pytest.mark.parametrize("order", [("{good}", "bad"), ("bad", "{good}"), ("{good}", "{good}")])
def test_two_authorization_headers_are_never_one(two_workers: Server, token: str, order: tuple[str, str]) -> None:
    """A request that names two callers is refused, though Starlette would take the first."""
    headers = "".join(f"Authorization: Bearer {value.format(good=token)}\r\n" for value in order)
    status, _ = send(two_workers, f"GET /api/tasks HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    assert status == 401


@pytest.mark.parametrize(
    "value", [b"Bearer \xff\xfe", b"Bearer \xc3\xa9.b.c", b"Bearer " + b"a" * 65_000, b"Bearer " + b"a" * 900_000]
)
def test_odd_bytes_in_a_token_are_refused(two_workers: Server, value: bytes) -> None:
    """Bytes that no token has, and far too many of them, are the client's error."""
    status, _ = send(two_workers, b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: " + value + b"\r\n\r\n")
    assert status in (400, 401, 431)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
        ("Content-Length: 5\r\nContent-Length: 6", b"hello"),
        ("Content-Length: -1", b"hello"),
        ("Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
        ("Content-Length: five", b"hello"),
    ],
)
def test_ambiguous_lengths_are_400(two_workers: Server, token: str, lines: str, body: bytes) -> None:
    """No second request is smuggled in by a length that can be read in two ways."""
    head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{lines}\r\n\r\n"
    status, answer = send(two_workers, head.encode() + body)
    assert status in (400, 422)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_chunked_flood_is_413_and_closed(two_workers: Server, token: str) -> None:
    """A body that does not declare its length is cut off long before ten megabytes."""
    head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    status, answer = send(two_workers, head.encode() + chunk * 1000 + b"0\r\n\r\n")
    assert status == 413
    assert b"connection: close" in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "BODY_TOO_LARGE"


def test_a_large_body_without_a_token_is_401_unread(two_workers: Server) -> None:
    """A stranger's large body is answered before it is read."""
    head = b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"
    status, _ = send(two_workers, head + b"x" * 1000)
    assert status == 401


@pytest.mark.parametrize("host", ["evil.example", "a b", "", "x:99999", "[::1"])
def test_no_host_is_believed(two_workers: Server, token: str, host: str) -> None:
    """No link leads to a host that only the request named: links are relative."""
    for _ in range(2):
        body = b'{"title":"x"}'
        head = f"POST /api/tasks HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        send(two_workers, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    request = f"GET /api/tasks?limit=1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    status, answer = send(two_workers, request.encode())
    assert status in (200, 400)
    assert b"evil" not in answer
    if status == 200:
        assert b"link: </api/tasks?limit=1&cursor=" in answer.lower()


def test_a_pipelined_bad_token_does_not_spoil_the_good_one(two_workers: Server, token: str) -> None:
    """A refused request does not spoil the next one on the same connection."""
    bad = b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x.y.z\r\n\r\n"
    good = f"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    with connect(two_workers) as link:
        link.sendall(bad + good.encode())
        assert statuses(read_to_the_end(link)) == [401, 200]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [65_537, 200_000, 1_000_000])
async def test_who_sends_too_much_sees_why(two_workers: Server, token: str, size: int, framing: str) -> None:
    """Up to 1 MiB is read and thrown away: whoever sends all before reading would get a reset instead of the 413."""
    whole = b"x" * size

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 10_000):
            yield whole[start : start + 10_000]

    async with httpx.AsyncClient(base_url=two_workers.url, headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(10):
            answer = await client.post("/api/tasks", content=whole if framing == "length" else pieces())
            assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
            assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_who_sends_too_much_slowly_is_not_cut_off(two_workers: Server, token: str, framing: str) -> None:
    """A client on a slow line can send the rest of what is too much, and then reads why it was refused."""
    piece, count = b"x" * 50_000, 10
    head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    length = f"Content-Length: {len(piece) * count}\r\n\r\n"
    with connect(two_workers) as link:
        link.sendall(head.encode() + (length if framing == "length" else "Transfer-Encoding: chunked\r\n\r\n").encode())
        for _ in range(count):
            link.sendall(piece if framing == "length" else f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            time.sleep(0.03)
        if framing == "chunked":
            link.sendall(b"0\r\n\r\n")
        assert link.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_who_asks_before_sending_too_much_need_not_send_it(two_workers: Server, token: str) -> None:
    """RFC 9110 10.1.1: the 413 comes instead of the 100."""
    head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n"
    started = stopwatch()
    status, answer = send(two_workers, f"{head}Content-Length: 900000\r\n\r\n".encode())
    assert (status, answer.count(b"HTTP/1.1 ")) == (413, 1)
    assert stopwatch() - started < 2


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", 0, 400), ("1.1", 1, 200), ("1.1", 2, 400), ("1.0", 0, 200), ("1.0", 2, 400)],
)
def test_one_host_is_named(two_workers: Server, version: str, hosts: int, status: int) -> None:
    """A request names the host that it means once, so that no two readers take different ones. Source: RFC 9112 3.2."""
    request = f"GET /health/live HTTP/{version}\r\n" + "Host: x\r\n" * hosts + "\r\n"
    found, answer = send(two_workers, request.encode())
    assert found == status
    if status == 400:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "BAD_HOST"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"a b", 400),
        (b"", 400),
        (b" \t ", 400),
        (b"a\tb", 400),
        (b"x,y", 200),
        (b"a/b", 400),
        (b"u@x", 400),
        (b"x:y", 400),
        (b":80", 400),
        (b"[::1", 400),
        (b"x\xff", 400),
        (b'"x"', 400),
        (b"x:8000 ", 200),
        (b"[::1]:8000", 200),
        (b"api_1.internal:", 200),
        (b"127.0.0.1", 200),
        (b"[fe80::1%25eth0]", 200),
    ],
)
def test_a_host_is_one(two_workers: Server, host: bytes, status: int, version: str) -> None:
    """What could be no host of a URL is 400. Source: RFC 9112 3.2, RFC 3986 3.2.2."""
    found, answer = send(two_workers, f"GET /health/live HTTP/{version}\r\nHost: ".encode() + host + b"\r\n\r\n")
    assert found == status
    if status == 400:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "BAD_HOST"


CONTRACTS = {"API_CONTRACTS": "v1,path", "METRICS_ENABLED": "true"}


async def test_head_is_get_without_the_body(database_url: str, tmp_path: Path) -> None:
    """RFC 9110 9.3.2: the same status and headers on every GET of every contract, and on every page."""
    # Of the others of the same paths, also those that FastAPI keeps out of the document.
    with serving(tmp_path, wait=True, first="", DATABASE_URL=database_url, **CONTRACTS) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            ada = await Person.sign_up(client)
            task = await ada.add_task()
            for path in [*gets(ada.user["id"], task["id"]), "/nope", "/api/tasks?limit=x", f"/api/tasks/{UUID(int=7)}"]:
                for headers in (ada.bearer, {}, {**ada.bearer, "If-None-Match": "*"}):
                    got, head = await client.get(path, headers=headers), await client.head(path, headers=headers)
                    assert (head.status_code, head.content) == (got.status_code, b""), path
                    assert stable(head) == stable(got), path
            wrong = await client.delete("/api/auth/me", headers=ada.bearer)
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, PATCH")
            for method, status in (("GET", 200), ("HEAD", 200), ("POST", 200)):
                asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": method}
                assert (await client.options("/api/tasks", headers=asked)).status_code == status


def gets(user_id: str, task_id: str) -> list[str]:
    """Name a path of every GET, asking the service what it has."""
    settings = make_settings("postgresql://x@x/x", api_contracts="v1,path", metrics_enabled=True)
    routes = [route for route in create_app(settings).routes if "GET" in (getattr(route, "methods", None) or ())]
    paths = [str(getattr(route, "path", "")) for route in routes]
    assert {"/", "/docs", "/openapi.json", "/metrics", "/health/ready", "/api/tasks"} <= set(paths)
    return [path.format(user_id=user_id, task_id=task_id) for path in paths]


def stable(answer: httpx.Response) -> dict[str, str]:
    """Give the headers that are the same for two requests."""
    passing = {"date", "x-request-id"} | ({"content-length"} if "metrics" in answer.url.path else set())
    return {name: value for name, value in answer.headers.items() if name not in passing}
