"""OpenTelemetry: what a collector receives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from app.core.config import SettingsError, load_settings
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving
from tests.support.settings import SECRET

HAS_EXTRA = find_spec("opentelemetry.sdk") is not None
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the address of a collector, and what it has received, by path."""
    received: dict[str, bytes] = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received[self.path] = received.get(self.path, b"") + body
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_EXTRA, reason="the opentelemetry extra is not installed")
def test_a_collector_gets_the_trace_that_a_request_is_part_of(database_url: str, tmp_path: Path) -> None:
    """An operator follows a request from the page into the service, by its route; no secret is sent along."""
    account = {"email": new_email(), "password": PASSWORD}
    with collector() as (url, received):
        settings = {"DATABASE_URL": database_url, "OPENTELEMETRY": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        with serving(tmp_path, wait=True, OTEL_EXPORTER_OTLP_COMPRESSION="none", **settings) as server:
            headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            pair = httpx.post(f"{server.url}/api/auth/signup", json=account, headers=headers).json()
            token = pair["access_token"]
            httpx.get(f"{server.url}/api/tasks", headers={"Authorization": f"Bearer {token}", **headers})
            server.stop()
    spans = received["/v1/traces"]
    assert bytes.fromhex(TRACE) in spans
    assert b"POST /api/auth/signup" in spans, "the span has the name of its route"
    assert b"http.route" in received["/v1/metrics"]
    everything = b"".join(received.values())
    for secret in (PASSWORD, token, pair["refresh_token"], account["email"], SECRET):
        assert secret.encode() not in everything


@pytest.mark.skipif(HAS_EXTRA, reason="the opentelemetry extra is installed")
def test_without_the_extra_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that could send nothing does not start."""
    monkeypatch.setenv("OPENTELEMETRY", "on")
    with pytest.raises(SettingsError, match="OPENTELEMETRY needs the opentelemetry extra"):
        load_settings(_env_file=None)
