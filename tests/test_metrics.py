"""`/metrics`: what an operator's Prometheus reads."""

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import __version__
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Server, Service, free_port, running, serving
from tests.support.settings import ROOT, make_settings
from tests.support.waiting import wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Read the text format as Prometheus does."""
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


async def scrape(client: httpx.AsyncClient) -> Samples:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return read(answer.text)


async def test_it_is_off_unless_asked_for(client: httpx.AsyncClient) -> None:
    """Nobody sees figures that the operator did not ask for."""
    assert (await client.get("/metrics")).status_code == 404


async def test_requests_are_counted_by_template_and_status(service: Service) -> None:
    """Figures name routes and never what a client wrote: no id, address or token is in a label."""
    async with service(metrics_enabled=True) as client:
        ada = await Person.sign_up(client)
        task = await ada.add_task()
        for _ in range(3):
            await ada.get(f"/api/tasks/{task['id']}")
        await ada.send("HEAD", f"/api/tasks/{task['id']}")
        await ada.get("/api/tasks/nobody-s")
        await client.get("/wp-admin/secret")
        await client.request("FOO", "/api/tasks")
        text = (await client.get("/metrics")).text
    samples, one = read(text), "/api/tasks/{task_id}"
    assert value(samples, "http_requests_total", method="GET", route=one, status="200") == 3
    assert value(samples, "http_requests_total", method="GET", route=one, status="404") == 1
    assert value(samples, "http_requests_total", method="HEAD", route=one, status="200") == 1
    assert value(samples, "http_requests_total", method="POST", route="/api/auth/signup", status="201") == 1
    assert value(samples, "http_requests_total", method="GET", route="none", status="404") == 1
    assert value(samples, "http_request_duration_seconds_count", method="GET", route=one) == 4
    assert 0 < value(samples, "http_request_duration_seconds_sum", method="GET", route=one) < 4
    assert 'method="other"' in text
    assert value(samples, "http_errors_total", code="TASK_NOT_FOUND") == 1
    assert value(samples, "hash_seconds_count") == 1  # the sign-up's
    assert value(samples, "build_info", version=__version__) == 1
    assert value(samples, "process_resident_memory_bytes") > 1e7
    assert value(samples, "process_open_fds") > 3
    for private in (ada.email, ada.user["id"], task["id"], ada.access_token, "wp-admin", "FOO"):
        assert private not in text


async def test_what_happens_to_sign_ins_is_counted(service: Service) -> None:
    """An operator can watch failed sign-ins, locks and reused refresh tokens, from 0 on."""
    async with service(metrics_enabled=True, rate_limits="on", rate_limit_signin_account="2/minute") as client:
        before = await scrape(client)
        ada = await Person.sign_up(client)
        for _ in range(3):
            await client.post("/api/auth/signin", json={"email": ada.email, "password": "wrong"})
        assert [(await ada.refresh()).status_code for _ in range(3)] == [200, 401, 401]
        after = await scrape(client)
    for event, count in {"sign_in_failed": 2, "sign_in_locked": 1, "refresh_reuse_detected": 1}.items():
        assert ("auth_events_total", frozenset({("event", event)})) in before
        assert value(after, "auth_events_total", event=event) - value(before, "auth_events_total", event=event) == count


async def test_the_denylist_and_the_pool_are_looked_at(own_database_url: str) -> None:
    """An operator sees the size of the denylist and the use of the pool, and a scrape succeeds without them."""
    settings = make_settings(own_database_url, metrics_enabled=True, database_pool_min=1, database_pool_max=1)
    async with running(settings) as client:
        ada = await Person.sign_up(client)
        await ada.refresh()
        await ada.refresh()
        samples = await scrape(client)
        assert value(samples, "auth_denylist_rows") == 1
        assert value(samples, "database_connections", state="in_use") == 0
        assert value(samples, "database_up") == 1
        assert ("hash_queue_waiting", frozenset()) in samples

        with psycopg.connect(own_database_url, autocommit=True) as connection:
            # So many are not counted at every scrape: ANALYZE's estimate is taken.
            connection.execute("UPDATE pg_class SET reltuples = 1e6 WHERE relname = 'token_denylist'")
            assert value(await scrape(client), "auth_denylist_rows") == 1_000_000
            connection.execute("ALTER TABLE token_denylist RENAME TO elsewhere")
        samples = await scrape(client)
        assert value(samples, "auth_denylist_rows") != value(samples, "auth_denylist_rows")  # NaN
        assert value(samples, "database_up") == 0
        assert value(samples, "http_requests_total", method="GET", route="/metrics", status="200") == 2


def total(server: Server, **labels: str) -> float:
    return value(read(httpx.get(f"{server.url}/metrics").text), "http_requests_total", **labels)


def connections(server: Server) -> dict[str, float]:
    samples = read(httpx.get(f"{server.url}/metrics").text)
    return {state: value(samples, "database_connections", state=state) for state in ("in_use", "idle")}


def is_at_rest(connections: dict[str, float]) -> bool:
    return connections["in_use"] <= 1 and connections["idle"] >= 4


@pytest.mark.slow
def test_several_workers_are_added_up(database_url: str, tmp_path: Path) -> None:
    """Figures are of all workers, whichever answers; what a killed one had counted stays counted."""
    live = {"method": "GET", "route": "/health/live", "status": "200"}
    with serving(tmp_path, DATABASE_URL=database_url, WORKERS="2", METRICS_ENABLED="true") as server:
        began = total(server, **live)
        for _ in range(40):
            httpx.get(f"{server.url}/health/live")  # a connection each: both workers get some
        wait_until(lambda: total(server, **live) - began == 40)  # a request is counted a moment after it is answered
        assert {total(server, **live) - began for _ in range(6)} == {40}

        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until(lambda: is_at_rest(connections(server)), 30)  # both have looked at their pools, once a second
        assert sum(connections(server).values()) <= 6
        assert total(server, **live) - began >= 40
        wait_until(lambda: "worker_died" in server.log.read_text(), 30)
        httpx.post(f"{server.url}/api/auth/signin", json={"email": new_email(), "password": PASSWORD})
        assert value(read(httpx.get(f"{server.url}/metrics").text), "auth_events_total", event="sign_in_failed") == 1


@pytest.mark.slow
def test_what_is_refused_before_it_is_a_request_is_counted(database_url: str, tmp_path: Path) -> None:
    """A flood that is turned away unread shows in the figures."""
    with serving(tmp_path, DATABASE_URL=database_url, METRICS_ENABLED="true") as server:
        port = httpx.URL(server.url).port
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
            assert b"431" in link.recv(100)
        samples = read(httpx.get(f"{server.url}/metrics").text)
    assert value(samples, "http_refused_total", code="HEAD_TOO_LARGE") == 1


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="there is no prometheus")
def test_every_panel_of_the_dashboard_shows_something(own_database_url: str, tmp_path: Path) -> None:
    """On a healthy service no panel says "No data", and Prometheus takes every query and every alert."""
    port = free_port()
    with serving(tmp_path, DATABASE_URL=own_database_url, METRICS_ENABLED="true") as server:
        target = server.url.removeprefix("http://")
        (tmp_path / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{ROOT}/deploy/alerts.yml]\n"
            f"scrape_configs: [{{job_name: auth-tasks, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        with (
            (tmp_path / "prometheus.log").open("wb") as log,
            httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1") as client,
            subprocess.Popen(command, stderr=log) as process,
        ):
            try:

                def ask(query: str) -> list[object]:
                    try:
                        answer = client.get("/query", params={"query": query}).json()
                    except httpx.TransportError:
                        return []
                    assert answer["status"] == "success", answer
                    found: list[object] = answer["data"]["result"]
                    return found

                account = {"email": new_email(), "password": PASSWORD}
                httpx.post(f"{server.url}/api/auth/signup", json=account)
                wait_until(lambda: bool(ask('rate(http_requests_total{route="/api/auth/signup"}[1m])')), 60)
                dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
                for panel in dashboard["panels"]:
                    for each in panel["targets"]:
                        query = each["expr"].replace("$__rate_interval", "1m").replace("$route", ".*")
                        assert ask(query), f"{panel['title']}: {query}"
                assert client.get("/alerts").json()["data"]["alerts"] == []
                groups = client.get("/rules").json()["data"]["groups"]
                assert all(rule["health"] in ("ok", "unknown") for rule in groups[0]["rules"])
            finally:
                process.terminate()
