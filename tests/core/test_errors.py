"""One shape for every error, and the headers that are on all responses."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from app.core.config import Settings
from app.core.http.cors import Cors
from app.main import create_app
from tests.support.people import Person
from tests.support.server import Service, app_of, client_of

ORIGIN = "http://localhost:3000"
MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id"}


@pytest.fixture
def broken(settings: Settings) -> FastAPI:
    """The service with a route that raises what nobody foresaw."""
    app = create_app(settings)

    async def explode(request: Request) -> Response:
        raise RuntimeError("c4nary: a secret in an exception")

    app.router.add_route("/explode", explode, include_in_schema=False)
    return app


async def test_an_unforeseen_error_is_a_constant_500(broken: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw tells the client nothing of the server, and the operator all.

    It has the headers of CORS, of security and the request id, and is logged with its traceback.
    Source: FR-034, SC-018.
    """
    async with client_of(broken) as client:
        client.event_hooks["response"] = []
        answer = await client.get("/explode", headers={"Origin": ORIGIN, "X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong on our side. Please try again later.",
        "code": "INTERNAL_ERROR",
        "instance": "urn:request:mine",
        "request_id": "mine",
    }
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert any(r.exc_info for r in caplog.records)


@pytest.mark.parametrize(
    "path",
    ["/nope", "/api/tasks//", "/api", "//api/tasks", "/API/TASKS", "/.env", "/.git/config", "/debug", "/metrics"],
)
async def test_an_unknown_path_is_404_in_the_same_shape(client: httpx.AsyncClient, path: str) -> None:
    """A wrong path is an error like others, and never a redirect to a host that the request named."""
    answer = await client.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json().keys()) == (404, MEMBERS)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/tasks", "GET, HEAD, POST"),
        ("/api/tasks/x", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/api/tasks/x/toggle", "PATCH"),
        ("/api/auth/signin", "POST"),
        ("/api/auth/me", "GET, HEAD, PATCH"),
        ("/", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "FOO"])
async def test_a_wrong_method_is_405_with_every_allowed_one(
    client: httpx.AsyncClient, path: str, allowed: str, method: str
) -> None:
    """A client is told all methods that a path has (RFC 9110 15.5.6).

    Starlette alone names those of the first route.
    """
    answer = await client.request(method, path, headers={"X-HTTP-Method-Override": "GET"})
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        ("application/problem+json", "application/problem+json"),
        ("application/json, application/problem+json;q=0.9", "application/problem+json"),
    ],
)
async def test_problem_json_is_sent_to_those_who_ask(client: httpx.AsyncClient, accept: str, media_type: str) -> None:
    """Clients that ask for problem+json get it; web frontends, which test for application/json, get that.

    Source: RFC 9457 3.
    """
    answer = await client.get("/nope", headers={"Accept": accept})
    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize("offered", ["abc", "A-b_c.9", "x" * 64])
async def test_a_harmless_request_id_is_kept(client: httpx.AsyncClient, offered: str) -> None:
    """A client can find its request in the log by an id of its own."""
    answer = await client.get("/nope", headers={"X-Request-ID": offered})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == offered


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "é", "'; --", '{"level":', "a\tb", "\x1b[31m"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, offered: str) -> None:
    """An id that could forge a line of the log is replaced by one of ours."""
    answer = await client.get("/nope", headers=[(b"X-Request-ID", offered.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def layers(app: FastAPI) -> Iterator[Any]:
    """Give what stands around the routes, from the outside."""
    layer: Any = app.middleware_stack
    while layer:
        yield layer
        layer = getattr(layer, "app", None)


class TestCors:
    """The frontends' origins may call, with every header they need, and nobody else's. Source: FR-039, SC-008."""

    @pytest.mark.parametrize("path", ["/", "/api/tasks", "/nope", "/api/auth/signin"])
    async def test_an_allowed_origin_reads_every_answer(self, client: httpx.AsyncClient, path: str) -> None:
        """A frontend reads every answer, errors too, and the headers that it needs."""
        answer = await client.get(path, headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert exposed == {
            "ETag",
            "Link",
            "Location",
            "Retry-After",
            "X-Total-Count",
            "X-Request-ID",
            "WWW-Authenticate",
        }

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "http://localhost:3000.evil.example",
            "http://localhost:3002",
            "https://localhost:3000",
            "null",
            "http://localhost:3000/",
            "HTTP://LOCALHOST:3000",
        ],
    )
    async def test_any_other_origin_reads_nothing(self, client: httpx.AsyncClient, origin: str) -> None:
        """A page of any other origin reads nothing, however similar its name is."""
        answer = await client.get("/", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        preflight = await self.ask(client, origin, "GET")
        assert preflight.status_code == 400
        assert preflight.json()["code"] == "CORS_PREFLIGHT_REFUSED"
        assert "access-control-allow-origin" not in preflight.headers

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_a_preflight_allows_our_methods_and_headers(self, client: httpx.AsyncClient, method: str) -> None:
        """A browser lets a frontend send every method and header of the API, and no other."""
        wanted = "authorization,content-type,if-match,if-none-match,idempotency-key,x-request-id"
        answer = await self.ask(client, ORIGIN, method, wanted)
        assert answer.status_code == 200
        assert method in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == wanted

    @pytest.mark.parametrize(
        "wanted",
        [
            *("authorization,x-requested-with", "sentry-trace,baggage", "traceparent, tracestate", "cache-control"),
            *("x-any_thing.at~all", "a,,b", "authorization\t, x", "x-a," * 2048, ","),
        ],
    )
    async def test_a_page_may_send_any_header(self, client: httpx.AsyncClient, wanted: str) -> None:
        """Laravel's axios, Sentry and OpenTelemetry add headers of their own, and one refused name stops every call."""
        answer = await self.ask(client, ORIGIN, "GET", wanted)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-headers"] == wanted
        assert "Access-Control-Request-Headers" in answer.headers["vary"]
        refused = await self.ask(client, "http://evil.example", "GET", wanted)
        assert not [name for name in refused.headers if name.startswith("access-control")]

    async def test_an_app_and_a_page_of_a_private_network_may_call(self, service: Service) -> None:
        """Capacitor, Tauri and extensions have origins of their own; Chrome asks once more for hosts at home."""
        async with service(frontend_url=("https://app.example:443", "Capacitor://localhost")) as client:
            for origin in ("https://app.example", "capacitor://localhost"):
                headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
                asked = {**headers, "Access-Control-Request-Private-Network": "true"}
                answer = await client.options("/api/tasks", headers=asked)
                assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
                assert answer.headers["access-control-allow-private-network"] == "true"

    @pytest.mark.parametrize(
        ("origin", "method", "headers", "refused"),
        [
            ("http://evil.example", "GET", "", ["origin"]),
            (ORIGIN, "TRACE", "", ["method"]),
            (ORIGIN, "patch", "", ["method"]),
            (ORIGIN, "GET", "a b", ["header"]),
            (ORIGIN, "GET", "x:y", ["header"]),
            (ORIGIN, "GET", "x-a," * 2049, ["header"]),
            ("null", "LINK", "a,(b)", ["origin", "method", "header"]),
        ],
    )
    async def test_a_refused_preflight_says_what_was_refused(
        self,
        settings: Settings,
        caplog: pytest.LogCaptureFixture,
        origin: str,
        method: str,
        headers: str,
        refused: list[str],
    ) -> None:
        """A developer reads in the network tab which of the three it was, and an operator in the log what was sent."""
        sent = {"origin": origin, "method": method, "header": headers}
        async with client_of(create_app(settings)) as client:
            for _ in range(3):
                answer = await self.ask(client, origin, method, headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "CORS_PREFLIGHT_REFUSED")
                words = answer.json()["detail"].lower().replace("access-control-request-headers", "header").split()
                assert [word for word in words if word in sent][: len(refused)] == refused
                assert set(words) & sent.keys() == set(refused)
                assert "evil" not in answer.text
        lines = [record for record in caplog.records if record.getMessage() == "cors_refused"]
        assert [(line.levelname, getattr(line, part)) for line, part in zip(lines, refused, strict=True)] == [
            ("WARNING", sent[part][:200]) for part in refused
        ]
        assert {getattr(line, "setting", None) for line in lines if hasattr(line, "origin")} <= {"FRONTEND_URL"}

    async def test_the_log_names_an_origin_once(self, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
        """A developer whose page runs on another port reads what to set; the service's own pages are no strangers."""

        def told() -> list[str]:
            found = [r.__dict__.get("origin") for r in caplog.records if r.getMessage() == "cors_refused"]
            return [str(origin) for origin in found]

        async with client_of(create_app(settings)) as client:
            for _ in range(2):
                await client.get("/api/tasks", headers={"Origin": "http://localhost:4321"})
                await client.get("/api/tasks", headers={"Origin": ORIGIN})
                await client.post("/health", headers={"Origin": "https://api.test"})
                same = {"Origin": "https://app.example", "Sec-Fetch-Site": "same-origin"}
                await client.post("/health", headers=same)
            assert told() == ["http://localhost:4321"]
            caplog.clear()
            for number in range(1000):
                await client.get("/health/live", headers={"Origin": f"http://evil{number}.example/{'x' * 5000}"})
            assert max(map(len, told())) <= 200
            (cors,) = [layer for layer in layers(app_of(client)) if isinstance(layer, Cors)]
            assert len(cors._told) <= 100

    async def ask(self, client: httpx.AsyncClient, origin: str, method: str, headers: str = "") -> httpx.Response:
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        if headers:
            asked["Access-Control-Request-Headers"] = headers
        return await client.options("/api/tasks", headers=asked)


async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, ada: Person) -> None:
    """No answer can be framed, cached or taken for another type, and none names the server's software."""
    for answer in (await ada.get("/api/tasks"), await client.get("/nope"), await client.get("/health")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers


async def test_production_insists_on_https(settings: Settings) -> None:
    """A browser that has seen production once comes back by https only. Source: NFR-006."""
    app = create_app(settings.model_copy(update={"environment": "production"}))
    async with client_of(app) as client:
        answer = await client.get("/health")
    assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
