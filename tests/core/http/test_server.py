"""What the server bounds: heads, waiting, connections; and what it answers when it does."""

import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.core.http.connection_limit import BEYOND, LimitedProtocol
from tests.support.people import PASSWORD, new_email
from tests.support.raw_http import connect, read_one, read_to_the_end, statuses
from tests.support.server import Server, serving
from tests.support.settings import MEASURED
from tests.support.waiting import wait_until

MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id"}
CONNECTIONS = 12
# The same bounds as in service, in less time.
HASTY = """
from app.core.http.server import BoundedProtocol
BoundedProtocol.head_seconds = 0.5
BoundedProtocol.body_seconds = 0.8
BoundedProtocol.write_seconds = 0.5
"""
POST = b"POST /api/auth/signin HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"DATABASE_URL": database_url, "MAX_CONNECTIONS": str(CONNECTIONS), "API_CONTRACTS": "path"}
    with serving(tmp_path_factory.mktemp("hasty"), wait=True, first=HASTY, **settings, **MEASURED) as started:
        yield started


@pytest.fixture(scope="module")
def patient(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For what takes several steps before a head is whole."""
    first = HASTY + "BoundedProtocol.head_seconds = 2"
    settings = {"DATABASE_URL": database_url, "MAX_CONNECTIONS": str(CONNECTIONS)}
    with serving(tmp_path_factory.mktemp("patient"), wait=True, first=first, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    answer = httpx.post(f"{server.url}/api/auth/signup", json={"email": new_email(), "password": PASSWORD})
    found: str = answer.json()["access_token"]
    return found


def connect_from(address: str, server: Server) -> socket.socket:
    """Connect as a client of another address of this machine's."""
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 80), timeout=5, source_address=(address, 0))


def ask(server: Server, *parts: bytes) -> bytes:
    with connect(server) as link:
        for part in parts:
            link.sendall(part)
        return read_to_the_end(link)


def check_refusal(answer: bytes, status: int, code: str) -> dict[str, str]:
    """Hold an error of the server itself to the shape and the headers of all others, and give its headers."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.decode().splitlines())}
    members: dict[str, Any] = json.loads(body)
    assert statuses(answer) == [status], answer
    assert members.keys() == MEMBERS
    assert (members["status"], members["code"]) == (status, code)
    assert members["request_id"] == headers["x-request-id"]
    assert headers["content-type"] == "application/json"
    assert (headers["connection"], headers["cache-control"]) == ("close", "no-store")
    assert headers["x-content-type-options"] == "nosniff"
    return headers


class TestHeads:
    """64 KiB as a whole, then 431 (RFC 6585 5)."""

    @pytest.mark.parametrize(
        ("start", "more"),
        [
            (HEAD, b"X-Line: " + b"x" * 1000 + b"\r\n"),
            (HEAD + b"X-Long: ", b"x" * 1000),
            (HEAD, b"x" * 1000),
            (HEAD, b"ab:cd\r\n" * 150),
            (b"GET /", b"x" * 1000),
            (CHUNKED + b"1\r\n{\r\n0\r\n", b"X: y\r\n" * 99),
            (CHUNKED + b"1;", b"x" * 1000),
        ],
        ids=["many lines", "one line", "a name", "short lines", "a path", "trailers", "an extension of a chunk"],
    )
    def test_what_has_no_end_is_431_and_closed(self, server: Server, start: bytes, more: bytes) -> None:
        """Lines of 20 MB held 600 MB: neither httptools nor uvicorn counts them."""
        before = resident_mb(server)
        answer = ask(server, start, *[more * (3_000_000 // len(more) // 100)] * 100)
        check_refusal(answer, 431, "HEAD_TOO_LARGE")
        assert resident_mb(server) - before < 20

    def test_64_kib_less_a_byte_is_read(self, server: Server) -> None:
        """The largest head that is still one."""
        for size, status in ((65_535, 200), (65_537, 431)):
            start, end = HEAD + b"Connection: close\r\nX-Long: ", b"\r\n\r\n"
            answer = ask(server, start + b"x" * (size - len(start + end)) + end)
            assert statuses(answer) == [status]

    def test_a_hundred_headers_are_read(self, server: Server) -> None:
        """Short ones take twenty times their size: 11,000 of them in 64 KiB would hold 2 MB."""
        for count, status in ((98, 200), (99, 431)):
            assert statuses(ask(server, HEAD + b"ab:cd\r\n" * count + b"Connection: close\r\n\r\n")) == [status]

    def test_a_path_of_8_kib_is_read(self, server: Server) -> None:
        """What stands behind a question mark is no part of it."""
        for path, status in ((b"x" * 8191, 404), (b"x" * 8192, 431), (b"health/live?" + b"x" * 8180, 200)):
            answer = ask(server, b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert statuses(answer) == [status]

    def test_large_bodies_are_not_counted(self, server: Server) -> None:
        """The bound is for what is no body."""
        head = f"PUT /health HTTP/1.1\r\nHost: x\r\nContent-Length: {10**6}\r\n\r\n"
        next_one = HEAD + b"Connection: close\r\n\r\n"
        assert statuses(ask(server, head.encode() + b"x" * 10**6, next_one)) == [405, 200]

    def test_trailers_never_become_headers(self, server: Server, token: str) -> None:
        """RFC 9110 6.5.1: what stands behind the body does not sign anybody in, nor forwards for anybody."""
        head = b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = ask(server, head + f"0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert statuses(answer) == [401]

    def test_eight_requests_wait_for_their_turn(self, server: Server) -> None:
        """Those behind them are not answered, and the last answer says so: RFC 9112 9.3.2 has them sent again."""
        answer = ask(server, (HEAD + b"\r\n") * 20)
        assert statuses(answer) == [200] * 9
        assert [b"connection: close" in one for one in answer.split(b"HTTP/1.1 ")[1:]] == [False] * 8 + [True]

    def test_requests_by_the_thousand_hold_no_memory(self, server: Server) -> None:
        """Twenty connections with 256 KB of the shortest ones held 450 MB."""
        before = resident_mb(server)
        with ExitStack() as stack:
            for _ in range(CONNECTIONS - 1):
                link = stack.enter_context(connect(server))
                link.setblocking(False)
                with suppress(BlockingIOError, ConnectionError):
                    link.send(b"GET / HTTP/1.1\r\nHost:a\r\n\r\n" * 10_000)
            server.wait_until("/health/live")
            assert resident_mb(server) - before < 20

    def test_nonsense_is_400_in_the_same_shape(self, server: Server) -> None:
        """uvicorn says it in plain text."""
        check_refusal(ask(server, b"nonsense\r\n\r\n"), 400, "BAD_REQUEST")

    def test_nonsense_behind_a_request_does_not_take_its_answer(self, server: Server) -> None:
        """One answer, the right one, and the connection is over."""
        assert statuses(ask(server, HEAD + b"\r\n" + b"nonsense\r\n\r\n")) == [200]


BODY = b'{"title":"Buy milk"}'
FRAMED = {
    "length": b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (BODY[:5], len(BODY) - 5, BODY[5:]),
}
OFFERED = [
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
    b"Upgrade: TLS/1.0, foo/2\r\nX-Odd:\r\nconnection:keep-alive ,\tUPGRADE\r\n",
    b"Upgrade: h2c\r\nUpgrade: foo\r\nConnection: foo\r\nConnection: upgrade\r\n",
    b"Upgrade:\r\nConnection: upgrade\r\n",
]
LAST = HEAD + b"Connection: close\r\n\r\n"


class TestUpgrades:
    """No upgrade is taken, so that the request counts as it stands, its body too. Source: RFC 9110 7.8."""

    @pytest.fixture
    def task(self, server: Server, token: str) -> str:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{server.url}/api/tasks", json={"title": "x"}, headers=headers)
        return f"/api/tasks/{answer.json()['id']}"

    @pytest.mark.parametrize("version", ["1.1", "1.0"])
    @pytest.mark.parametrize("framing", FRAMED)
    @pytest.mark.parametrize("offer", OFFERED, ids=["h2c", "websocket", "several", "several lines", "none"])
    def test_every_offer_leaves_the_body(
        self, server: Server, token: str, offer: bytes, framing: str, version: str
    ) -> None:
        """curl --http2 and every Java client offer one with each request."""
        head = f"POST /api/tasks HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        answer = ask(server, head.encode() + offer + FRAMED[framing], LAST if version == "1.1" else b"")
        assert statuses(answer) == ([201, 200] if version == "1.1" else [201])
        assert b'"title":"Buy milk"' in answer

    @pytest.mark.parametrize("framing", FRAMED)
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_changes_are_made_as_asked(self, server: Server, token: str, task: str, method: str, framing: str) -> None:
        """Not only new tasks."""
        head = f"{method} {task} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        answer = ask(server, head.encode() + OFFERED[0] + FRAMED[framing], LAST)
        assert (statuses(answer), b'"title":"Buy milk"' in answer) == ([200, 200], True)

    @pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "OPTIONS"])
    def test_a_body_that_means_nothing_is_not_the_next_request(
        self, server: Server, token: str, task: str, method: str
    ) -> None:
        """What another request would look like stays the body of this one."""
        hidden = HEAD + b"\r\n"
        head = f"{method} {task} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        answer = ask(server, head.encode() + OFFERED[0] + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden, LAST)
        assert len(statuses(answer)) == 2

    def test_it_may_come_byte_by_byte(self, patient: Server, token: str) -> None:
        """Head and body in as many segments as there are bytes."""
        head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
        with connect(patient) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in head + OFFERED[0] + FRAMED["chunked"] + LAST:
                link.sendall(bytes([byte]))
            assert statuses(read_to_the_end(link)) == [201, 200]

    def test_a_body_that_comes_when_it_is_asked_for(self, server: Server, token: str) -> None:
        """RFC 9110 7.8: the 100 is sent as always."""
        head = f"POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue \r\n"
        with connect(server) as link:
            link.sendall(head.encode() + OFFERED[0] + FRAMED["length"][: -len(BODY)])
            assert link.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            link.sendall(BODY)
            assert statuses(read_one(link)) == [201]
            link.sendall(LAST)
            assert statuses(read_to_the_end(link)) == [200]

    def test_many_follow_each_other(self, server: Server) -> None:
        """Pipelined offers are answered one by one, with nothing lost and in no more than their own time."""
        count = 8
        for _ in range(100):
            answer = ask(server, (HEAD + OFFERED[0] + b"\r\n") * count + LAST)
            assert statuses(answer) == [200] * (count + 1)

    def test_closing_is_still_asked_for(self, server: Server) -> None:
        """The other tokens of `Connection` keep their meaning: what comes behind is not read."""
        answer = ask(server, HEAD + b"Connection: close, upgrade\r\nUpgrade: h2c\r\n\r\n" + HEAD + b"\r\n")
        assert statuses(answer) == [200]
        assert b"connection: close" in answer

    @pytest.mark.parametrize(
        "lines", [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Content-Length: 5\r\nContent-Length: 6"]
    )
    def test_lengths_that_can_be_read_in_two_ways_are_400(self, server: Server, lines: bytes) -> None:
        """As without an offer."""
        answer = ask(server, POST + OFFERED[0] + lines + b"\r\n\r\n0\r\n\r\n" + HEAD + b"\r\n")
        check_refusal(answer, 400, "BAD_REQUEST")

    def test_heads_are_bounded_as_always(self, server: Server) -> None:
        """In bytes and in lines, at the same place."""
        offer = b"Connection: close, upgrade\r\nUpgrade: h2c\r\n"
        for size, status in ((65_535, 200), (65_537, 431)):
            start, end = HEAD + offer + b"X-Long: ", b"\r\n\r\n"
            assert statuses(ask(server, start + b"x" * (size - len(start + end)) + end)) == [status]
        for count, status in ((97, 200), (98, 431)):
            assert statuses(ask(server, HEAD + b"ab:cd\r\n" * count + offer + b"\r\n")) == [status]

    def test_an_address_that_is_none_is_400(self, server: Server) -> None:
        """Once, and the connection is closed."""
        target = b"http://x:99999999/"
        answer = ask(server, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + OFFERED[0] + b"\r\n" + HEAD + b"\r\n")
        check_refusal(answer, 400, "BAD_REQUEST")

    def test_half_a_body_is_408(self, server: Server) -> None:
        """The time that a body has holds, too."""
        check_refusal(ask(server, POST + OFFERED[0] + b"Content-Length: 100\r\n\r\n{"), 408, "REQUEST_TIMEOUT")

    @pytest.mark.parametrize("target", ["x:443", "[::1]:443", "x"])
    def test_a_tunnel_is_refused_and_nothing_behind_it_is_read(self, server: Server, target: str) -> None:
        """CONNECT is no upgrade: this is no proxy."""
        answer = ask(server, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + HEAD + b"\r\n")
        check_refusal(answer, 400, "BAD_REQUEST")

    def test_an_offer_is_no_line_in_the_log(self, server: Server) -> None:
        """uvicorn warned twice, once with advice about pip."""
        before = len(server.log.read_text())
        assert statuses(ask(server, POST + OFFERED[1] + b"Connection: close\r\nContent-Length: 2\r\n\r\n[]")) == [422]
        (line,) = lines_of(server, before)
        assert (line["event"], line["status"]) == ("request", 422)


STREAMS = ["/api/tasks", "/api/tasks/changes", "/api/{user}/tasks"]


@pytest.fixture(scope="module")
def long_list(server: Server, token: str, database_url: str) -> str:
    """The id of the user, who has so many tasks that they are streamed."""
    user = httpx.get(f"{server.url}/api/auth/me", headers={"Authorization": f"Bearer {token}"}).json()["id"]
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(
            "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), %s, 'x' FROM generate_series(1, 1500)",
            (user,),
        )
    return str(user)


class TestOldClients:
    """What HTTP/1.0 asks for."""

    @pytest.mark.parametrize("version", ["1.0", "0.9"])
    @pytest.mark.parametrize("line", ["", "Connection: keep-alive\r\n"], ids=["", "keep-alive"])
    @pytest.mark.parametrize("path", STREAMS)
    def test_a_long_answer_ends_with_the_connection(
        self, server: Server, token: str, long_list: str, path: str, line: str, version: str
    ) -> None:
        """It knows no chunks, and would read their lengths as JSON. Source: RFC 9112 6.1."""
        target = path.format(user=long_list)
        head = f"GET {target} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{line}\r\n"
        answer, _, body = ask(server, head.encode()).partition(b"\r\n\r\n")
        found = json.loads(body)
        assert len(found["tasks"] if "changes" in path else found) >= 1500
        assert b"transfer-encoding" not in answer
        assert b"connection: close" in answer
        new = httpx.get(server.url + target, headers={"Authorization": f"Bearer {token}"})
        assert new.headers["transfer-encoding"] == "chunked"
        assert new.content.partition(b'"next"')[0] == body.partition(b'"next"')[0], "as with HTTP/1.1"
        nothing = ask(server, head.replace("GET", "HEAD").encode())
        assert (statuses(nothing), nothing.partition(b"\r\n\r\n")[2]) == ([200], b"")
        assert b"transfer-encoding" not in nothing


class TestBlanks:
    """Spaces and tabs around a value are no part of it. Source: RFC 9110 5.5."""

    def test_a_token_out_of_a_file_is_good(self, server: Server, token: str) -> None:
        """Clipboards and files leave a blank behind it."""
        for value in (f"Bearer {token} ", f"Bearer {token}\t", f"\t Bearer {token} \t "):
            request = f"GET /api/auth/me HTTP/1.1\r\nHost: x \r\nAuthorization:{value}\r\nConnection: close \r\n\r\n"
            assert statuses(ask(server, request.encode())) == [200]

    def test_no_header_that_is_read_has_them(self, server: Server, token: str) -> None:
        """Every one that the service looks at means the same with blanks and without."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Content-Encoding": "identity",
            "Content-Length": str(len(BODY)),
            "Idempotency-Key": "one-two",
            "X-Request-ID": "mine-7",
            "Origin": "http://localhost:3000",
            "Accept": "application/json",
            "Connection": "close",
        }
        for end in ("", " ", "\t", " \t "):
            lines = "".join(f"{name}: {value}{end}\r\n" for name, value in headers.items())
            answer = ask(server, f"POST /api/tasks HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + BODY)
            head = answer.partition(b"\r\n\r\n")[0]
            assert b"x-request-id: mine-7\r\n" in head
            assert b"access-control-allow-origin: http://localhost:3000\r\n" in head
            assert statuses(answer) == [201 if end == "" else 200], "the same key"
            task = json.loads(answer.partition(b"\r\n\r\n")[2])
        for end in ("", " ", "\t "):
            request = f"GET /api/tasks/{task['id']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            request += f'If-None-Match: "1"{end}\r\nConnection: close\r\n\r\n'
            assert statuses(ask(server, request.encode())) == [304]

    def test_other_blanks_are_a_part_of_it(self, server: Server, token: str) -> None:
        """A no-break space is none: the token is another one."""
        request = (
            f"GET /api/auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\xa0\r\nConnection: close\r\n\r\n"
        )
        assert statuses(ask(server, request.encode("latin-1"))) == [401]


def resident_mb(server: Server) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096 // 2**20


class TestWaiting:
    """A head has ten seconds, a body thirty; here half a second and 0.8."""

    def test_who_says_nothing_is_left_without_a_word(self, server: Server) -> None:
        """A browser that connects ahead of time takes a 408 for the answer to its next request."""
        started = time.monotonic()
        assert ask(server) == b""
        assert 0.4 < time.monotonic() - started < 2

    @pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["at first", "kept alive"])
    @pytest.mark.parametrize("half", [b"G", HEAD, HEAD + b"X: y"])
    def test_half_a_head_is_408(self, server: Server, before: bytes, half: bytes) -> None:
        """A client that sends half a head is told that it took too long, and let go. Source: RFC 9110 15.5.9."""
        with connect(server) as link:
            if before:
                link.sendall(before)
                assert statuses(read_one(link)) == [200]
            link.sendall(half)
            check_refusal(read_to_the_end(link), 408, "REQUEST_TIMEOUT")

    def test_a_head_that_drips_is_408_as_well(self, server: Server) -> None:
        """Each byte in time, the head not."""
        with connect(server) as link:
            started = time.monotonic()
            for byte in HEAD[:15]:
                link.sendall(bytes([byte]))
                time.sleep(0.05)
            check_refusal(read_to_the_end(link), 408, "REQUEST_TIMEOUT")
            assert time.monotonic() - started < 2

    def test_an_empty_line_does_not_keep_a_connection_open(self, server: Server) -> None:
        """It ends uvicorn's own wait for the next request, and nothing began another."""
        with connect(server) as link:
            link.sendall(HEAD + b"\r\n")
            assert statuses(read_one(link)) == [200]
            link.sendall(b"\r\n")
            assert statuses(read_to_the_end(link)) in ([], [408])

    def test_an_idle_connection_stays(self, server: Server) -> None:
        """For 75 seconds, longer than balancers keep theirs."""
        with connect(server) as link:
            for _ in range(2):
                link.sendall(HEAD + b"\r\n")
                assert statuses(read_one(link)) == [200]
                time.sleep(1.2)

    def test_what_arrived_while_the_server_stood_still_is_read(self, patient: Server) -> None:
        """A server that was suspended finds the request and the deadline at once, and answers."""
        with connect(patient) as link:
            link.sendall(HEAD)
            assert httpx.get(f"{patient.url}/health/live").status_code == 200  # so it has read what was sent before
            time.sleep(0.1)  # so that it waits for more
            os.kill(patient.process.pid, signal.SIGSTOP)
            os.waitpid(patient.process.pid, os.WUNTRACED)  # until it stands still
            link.sendall(b"\r\n")
            time.sleep(2.3)
            os.kill(patient.process.pid, signal.SIGCONT)
            assert statuses(read_one(link)) == [200]

    @pytest.mark.parametrize("half", [POST + b"Content-Length: 100\r\n\r\n{", CHUNKED + b"1\r\n{\r\n"])
    def test_half_a_body_is_408(self, server: Server, half: bytes) -> None:
        """However it says where it ends."""
        started = time.monotonic()
        answer = ask(server, half)
        check_refusal(answer, 408, "REQUEST_TIMEOUT")
        assert 0.7 < time.monotonic() - started < 2

    def test_half_a_body_that_nobody_wanted_ends_the_connection(self, server: Server) -> None:
        """Answered without it, so there is nothing more to say."""
        head = b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        assert statuses(ask(server, head)) == [401]

    def test_nobody_is_late_while_the_server_works(self, server: Server, token: str, database_url: str) -> None:
        """A request that waits for a lock is answered, also with half of another behind it."""
        headers = {"Authorization": f"Bearer {token}"}
        task = httpx.post(f"{server.url}/api/tasks", json={"title": "x"}, headers=headers).json()
        head = f"PATCH /api/tasks/{task['id']}/toggle HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        with psycopg.connect(database_url) as holder, connect(server) as link:
            holder.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", (task["id"],))
            link.sendall(head.encode())
            time.sleep(0.1)
            link.sendall(b"GET")
            time.sleep(0.8)
            holder.rollback()
            assert statuses(read_one(link)) == [200]
            check_refusal(read_to_the_end(link), 408, "REQUEST_TIMEOUT")

    def test_who_never_reads_is_dropped(self, server: Server) -> None:
        """The answers of the nine requests that are taken, 13 MB, do not wait for ever."""
        script = b"GET /docs/assets/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
        with connect(server) as link:
            link.sendall(script * 50)
            time.sleep(2)
            received = 0
            try:
                while chunk := link.recv(1_000_000):
                    received += len(chunk)
            except ConnectionResetError:
                pass
        assert received < 10_000_000


class TestConnections:
    """As many as MAX_CONNECTIONS says and the descriptors allow; the next one is told to come again."""

    def test_one_too_many_is_503_and_closed(self, patient: Server) -> None:
        """Those that never ask count: 256 of them took a service with 256 descriptors down."""
        with ExitStack() as stack:
            links = [stack.enter_context(connect(patient)) for _ in range(CONNECTIONS)]
            for link in links:
                link.sendall(HEAD)
            headers = check_refusal(ask(patient, POST + b"Content-Length: 2\r\n\r\n{}"), 503, "SERVICE_UNAVAILABLE")
            assert int(headers["retry-after"]) >= 1
            assert httpx.get(f"{patient.url}/api/tasks").status_code == 503
            links[0].sendall(b"\r\n")
            assert statuses(read_one(links[0])) == [200]
            check_refusal(ask(patient, HEAD), 503, "SERVICE_UNAVAILABLE")  # half a head, and no more of it
            late = stack.enter_context(connect(patient))
            for link in links:
                link.close()
            assert httpx.get(f"{patient.url}/health/live").status_code == 200  # so it has seen that before
            late.sendall(b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n")  # there is room meanwhile
            assert statuses(read_one(late)) == [200]
        patient.wait_until("/docs", seconds=2)

    @pytest.mark.slow
    def test_a_flood_does_not_turn_probes_away(self, database_url: str, tmp_path: Path) -> None:
        """Nobody restarts a process because it is full, and its figures show that it is."""
        started = serving(tmp_path, DATABASE_URL=database_url, MAX_CONNECTIONS="2", METRICS_ENABLED="true")
        with ExitStack() as stack:
            server = stack.enter_context(started)
            for link in [stack.enter_context(connect(server)) for _ in range(2 + 3 * BEYOND)]:
                with suppress(ConnectionError):  # it had to make room
                    link.sendall(HEAD)
            for path in ("/health", "/health/live", "/health/ready", "/health/live?from=here", "/metrics"):
                answer = httpx.get(server.url + path)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert 'http_refused_total{code="SERVICE_UNAVAILABLE"}' in answer.text
            refused = httpx.get(f"{server.url}/docs")
            assert (refused.status_code, refused.json()["code"]) == (503, "SERVICE_UNAVAILABLE")

    def test_idle_ones_of_the_address_that_has_most_make_room(self, patient: Server) -> None:
        """Who keeps all connections open after one request each shuts nobody out; who has few keeps them."""
        with ExitStack() as stack:
            few = [stack.enter_context(connect_from("127.0.0.3", patient))]
            many = [stack.enter_context(connect_from("127.0.0.2", patient)) for _ in range(CONNECTIONS - 1)]
            for link in few + many:
                link.sendall(HEAD + b"\r\n")
                assert statuses(read_one(link)) == [200]
            time.sleep(LimitedProtocol.idle_seconds + 0.1)  # until each may have to make room, the last one too
            patient.wait_until("/docs", seconds=5)
            closed, _, _ = select.select([*few, *many], [], [], 5)
            assert [link in many for link in closed] == [True]
            few[0].sendall(HEAD + b"\r\n")
            assert statuses(read_one(few[0])) == [200]
            new = [stack.enter_context(connect(patient)) for _ in range(CONNECTIONS - 2)]
            for link in new:
                link.sendall(HEAD + b"\r\n")
                assert statuses(read_one(link)) == [200]
            few[0].sendall(HEAD + b"\r\n")
            assert statuses(read_one(few[0])) == [200]

    def test_no_more_than_the_descriptors_allow(self, database_url: str, tmp_path: Path) -> None:
        """Those of the database and the files stay free: a service of 128 descriptors lives through 300 connections."""
        few = f"{HASTY}import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))"
        with serving(tmp_path, first=few, DATABASE_URL=database_url) as server, ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connect(server))
            server.wait_until(seconds=5)
            assert "Too many open files" not in server.log.read_text()


def lines_of(server: Server, since: int) -> list[dict[str, Any]]:
    """Give the lines of the log after so many characters, once there are some and no more."""
    wait_until(lambda: len(server.log.read_text()) > since)
    time.sleep(0.3)
    return [json.loads(line) for line in server.log.read_text()[since:].splitlines()]


def test_a_client_that_leaves_in_the_middle_of_a_body_is_one_line(server: Server) -> None:
    """No error, no traceback: it happens every day."""
    before = len(server.log.read_text())
    with connect(server) as link:
        link.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        time.sleep(0.1)
    (line,) = lines_of(server, before)
    assert (line["level"], line["event"], line["route"], line["status"]) == ("info", "request", "/api/auth/signin", 0)
