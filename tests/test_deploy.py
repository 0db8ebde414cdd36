"""What is handed to operators: the unit, the alerts and the dashboard name what there is."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.auth.events import AUTH_EVENTS
from app.status.prometheus import Metrics
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import ROOT, make_settings

DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(http_\w+|auth_\w+|database_connections)\b")
EVENT = re.compile(r'event=~?"([^"]+)"')


def queries() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    panels: list[dict[str, Any]] = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def reported() -> set[str]:
    """Return the names that `/metrics` has once there was something to count."""
    metrics = Metrics(AUTH_EVENTS)
    metrics.count_request("GET", "/api/tasks", 200, 0.01)
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name for family in families for sample in family.samples} | {"database_connections"}


@pytest.mark.parametrize("query", queries())
def test_alerts_and_panels_ask_for_what_is_reported(query: str) -> None:
    """No alert is silent, and no panel empty, because a name has changed."""
    assert set(NAME.findall(query)) <= reported()
    for events in EVENT.findall(query):
        assert any(re.fullmatch(events, event) for event in AUTH_EVENTS), f"there is no event {events}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool: it comes with Prometheus")
def test_prometheus_takes_the_alerts(tmp_path: Path) -> None:
    """An operator's Prometheus starts with these rules."""
    command = ["promtool", "check", "rules", str(DEPLOY / "alerts.yml")]
    assert subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def test_the_unit_starts_the_service_as_the_documents_say() -> None:
    """The unit runs the command that there is, without rights, and waits as long as the service needs to stop."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser's documentation has it
    unit.read(DEPLOY / "auth-tasks.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith("/python -m app serve")
    assert (service["DynamicUser"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("yes", "yes", "")
    assert int(service["TimeoutStopSec"]) > 10


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """systemd knows every setting of the unit."""
    unit = tmp_path / "auth-tasks.service"
    text = (DEPLOY / "auth-tasks.service").read_text()
    unit.write_text(text.replace("/srv/auth-tasks/.venv/bin/python", "/bin/true").replace("/srv/auth-tasks", "/tmp"))
    command = ["systemd-analyze", "verify", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if str(unit) in line or unit.name in line]
    assert complaints == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")
def test_systemd_finds_little_that_the_unit_leaves_open() -> None:
    """Whoever takes the service over has little of the machine; 10 is a unit that restricts nothing."""
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", str(DEPLOY / "auth-tasks.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_role_of_the_document_can_serve_and_no_more(own_database_url: str) -> None:
    """A life with the rights that docs/deploying.md gives: sign-up, tasks, refresh, sessions, deletion; no DDL."""
    [block] = re.findall(r"```sql\n(CREATE ROLE.*?)```", (ROOT / "docs" / "deploying.md").read_text(), re.DOTALL)
    role = f"tasks_{uuid4().hex}"
    with psycopg.connect(own_database_url, autocommit=True) as owner:
        owner.execute(block.replace("tasks_service", role).encode())
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET role = {role}".encode())
        try:
            async with running(make_settings(own_database_url)) as client:
                ada = await Person.sign_up(client)
                await ada.add_task()
                body = {"refresh_token": ada.refresh_token}
                ada.keep(await client.post("/api/auth/refresh", json=body))
                for path in ("/api/tasks", "/api/tasks/changes", "/api/auth/sessions", "/health/ready"):
                    assert (await ada.get(path)).status_code == 200
                leaving = await ada.send("POST", "/api/auth/me/delete", json={"current_password": ada.password})
                assert leaving.status_code == 200
            with psycopg.connect(own_database_url) as service, pytest.raises(psycopg.errors.InsufficientPrivilege):
                service.execute("ALTER TABLE users ADD COLUMN mine text")
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
