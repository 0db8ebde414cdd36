"""What is handed to operators: the unit, the alerts and the dashboard name what there is."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.auth.events import AUTH_EVENTS
from app.status.prometheus import Metrics
from tests.support.settings import ROOT

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
