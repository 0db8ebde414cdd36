"""What is handed to operators: the unit, the alerts and the dashboard name what there is."""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app import __version__
from app.auth.events import AUTH_EVENTS
from app.cli.serve import GRACE_SECONDS
from app.core.logging import RequestRecord
from app.status.prometheus import Metrics
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import ROOT, SECRET, SETTING_NAMES, environment_of, make_settings

DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(http_\w+|auth_\w+|database_\w+|hash_\w+|live_\w+|process_\w+|mails_\w+|build_info)\b")
NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: it comes with Prometheus"
)
EVENT = re.compile(r'event=~?"([^"]+)"')


def queries() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    panels: list[dict[str, Any]] = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


def reported() -> set[str]:
    """Return the names that `/metrics` has once there was something to count."""
    metrics = Metrics(AUTH_EVENTS, sends_mail=True)
    metrics.count_mail("failed")
    record = RequestRecord("-")
    record.code, record.hashing = "TOO_BUSY", 0.3
    metrics.count_request("GET", "/api/tasks", 200, 0.01, record)
    metrics.count_refused("SERVICE_UNAVAILABLE")
    metrics.process.look()
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {sample.name for family in families for sample in family.samples} | {"database_connections"}


@pytest.mark.parametrize("query", queries())
def test_alerts_and_panels_ask_for_what_is_reported(query: str) -> None:
    """No alert is silent, and no panel empty, because a name has changed."""
    assert set(NAME.findall(query)) <= reported()
    for events in EVENT.findall(query):
        assert any(re.fullmatch(events, event) for event in AUTH_EVENTS), f"there is no event {events}"


def test_an_alert_says_whom_it_wakes_and_what_to_do() -> None:
    """Whoever routes alerts can tell a page from a ticket, and the page on operating has a row for each."""
    page = (ROOT / "docs" / "operating.md").read_text()
    for rule in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"`{rule['alert']}`" in page


@NEEDS_PROMETHEUS
def test_the_alerts_fire_when_they_should() -> None:
    """An operator is called in each of these cases, and in no other."""
    for command in (("check", "rules", DEPLOY / "alerts.yml"), ("test", "rules", ROOT / "tests/data/alerts_test.yml")):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_starts_the_service_as_the_documents_say() -> None:
    """The unit runs the command that there is, without rights, and waits as long as the service needs to stop."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser's documentation has it
    unit.read(DEPLOY / "auth-tasks.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith("/python -m app serve")
    assert (service["DynamicUser"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("yes", "yes", "")
    assert int(service["TimeoutStopSec"]) > 10


UNITS = ("auth-tasks.service", "auth-tasks-backup.service", "auth-tasks-backup.timer")
NEEDS_SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd to ask")


@NEEDS_SYSTEMD
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    """systemd knows every setting of the units."""
    for each in UNITS:
        text = (DEPLOY / each).read_text()
        text = text.replace("/srv/auth-tasks/.venv/bin/python", "/bin/true").replace("/srv/auth-tasks", "/tmp")
        (tmp_path / each).write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "auth-tasks" in line]
    assert complaints == []


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


@NEEDS_SYSTEMD
@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_may_do_no_more_than_it_must(name: str) -> None:
    """What breaks into the service finds little: systemd's own measure is at most 1.5 of 10."""
    command = ["systemd-analyze", "security", "--offline=true", str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= 1.5, done.stdout


def test_the_backup_makes_a_dump_and_deletes_old_ones(own_database_url: str, tmp_path: Path) -> None:
    """The timer's command leaves a dump of today, keeps those of two weeks, and deletes none if it fails."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as configparser's documentation has it
    unit.read(DEPLOY / "auth-tasks-backup.service")
    line = unit["Service"]["ExecStart"].replace("/srv/auth-tasks/.venv/bin/python", sys.executable).replace("%%", "%")
    old, recent = tmp_path / "old.dump", tmp_path / "recent.dump"
    for file, days in ((old, 20), (recent, 3)):
        file.touch()
        os.utime(file, (time.time() - days * 86400,) * 2)

    def run(url: str) -> int:
        environment = environment_of(DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET, STATE_DIRECTORY=str(tmp_path))
        command = shlex.split(line)
        return subprocess.run(command, env=environment, check=False, capture_output=True, timeout=60).returncode

    assert run("postgresql://nobody@127.0.0.1:1/none") != 0
    assert old.exists()
    assert run(own_database_url) == 0
    assert not old.exists()
    assert recent.exists()
    assert len(list(tmp_path.glob("20*.dump"))) == 1


def test_kubernetes_takes_the_manifests() -> None:
    """An operator's cluster accepts every document, and each process is told apart from dead, starting and busy."""
    validate = pytest.importorskip("kubernetes_validate")
    documents = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    for document in documents.values():
        validate.validate(document, "1.37", strict=True)
    [container] = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    live = "/health/live"
    assert paths == {"startupProbe": live, "livenessProbe": live, "readinessProbe": "/health/ready"}
    values = {one["name"]: one["value"] for one in container["env"]}
    assert values.keys() <= SETTING_NAMES
    grace = documents["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= float(values["DRAIN_SECONDS"]) + GRACE_SECONDS
    [job] = documents["Job"]["spec"]["template"]["spec"]["containers"]
    assert job["command"] == ["python", "-m", "app", "migrate"]
    assert job["image"] == container["image"] == f"auth-tasks-api:{__version__}"
