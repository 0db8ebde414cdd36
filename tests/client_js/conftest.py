"""The JavaScript client as `tsc` builds it, once for all workers, and programs of Node.js that use it."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browsers import browser as browser
from tests.support.browsers import context as context
from tests.support.pages import serving_folder
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.settings import ROOT

HERE = Path(__file__).parent
PACKAGE = ROOT / "clients" / "javascript"


class Project:
    """A folder with the programs, and the package as people install it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, seconds: float = 240, fails: bool = False) -> str:
        """Run a command there; return what it prints."""
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False, env=os.environ
        )
        assert fails is (done.returncode != 0), done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def node(self, program: str, scenario: str, server: Server, *more: str) -> str:
        """Run one scenario of a program against a server, with an address and a password of its own."""
        return self.run("node", f"programs/{program}", scenario, server.url, new_email(), PASSWORD, *more)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The package is built by the first worker that needs it."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm to test with: apt-get install npm")
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "client-js"
    with (folder.parent / "client-js.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            build(folder)
    return Project(folder)


def build(folder: Path) -> None:
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    installed = folder / "node_modules" / "auth-tasks-client"
    project = Project(folder)
    project.run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    shutil.copytree(PACKAGE, installed, ignore=shutil.ignore_patterns("node_modules", "dist", "*.py"))
    project.run("npx", "tsc", "-p", str(installed))
    project.run("npx", "esbuild", "page/react.jsx", "--bundle", "--jsx=automatic", "--outfile=page/react.js")
    (folder / "built").touch()


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), DATABASE_URL=database_url) as started:
        yield started


@pytest.fixture(scope="module")
def origin(project: Project) -> Iterator[str]:
    """The pages of `page/`, at the host name of a service that is of the same site."""
    with serving_folder(project.folder) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def api(database_url: str, origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service for these pages."""
    folder = tmp_path_factory.mktemp("api")
    with serving(folder, DATABASE_URL=database_url, FRONTEND_URL=origin) as started:
        yield started.url.replace("127.0.0.1", "localhost")
