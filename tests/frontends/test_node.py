"""Programs in TypeScript and JavaScript that were written against the API, with the packages that people use."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.auth.tokens import TokenCodec
from tests.frontends.conftest import the_wrapper
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server, serving
from tests.support.settings import ROOT, SECRET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm to test with: apt-get install npm"),
]

OPTIONS = [
    "--strict",
    "--noUncheckedIndexedAccess",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--lib",
    "es2022,dom",
]
SOURCES = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs with their packages, and the client that is generated from the committed document."""
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(SOURCES, folder)
    run(folder, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    document = str(ROOT / "docs" / "openapi.json")
    # Without the flag, what has a default would have to be sent.
    run(folder, "npx", "openapi-typescript", document, "--default-non-nullable=false", "-o", "api.d.ts")
    return folder


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, DATABASE_URL=database_url) as started:
        yield started


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_generated_client_passes_strict_types_and_works(project: Path, server: Server) -> None:
    """A TypeScript program with a generated client compiles and works (openapi-typescript, openapi-fetch)."""
    run(project, "npx", "tsc", *OPTIONS, "program.ts")
    assert run(project, "node", "program.js", server.url, new_email(), PASSWORD) == "done\n"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('title: "Water the plants"', 'titel: "Water the plants"'),
        ('sort: "title"', 'sort: "colour"'),
        ('status: "in_progress"', 'status: "soon"'),
        ("refresh_token: tokens.refresh_token", "refreshToken: tokens.refresh_token"),
    ],
)
def test_a_wrong_use_of_the_generated_client_does_not_compile(project: Path, right: str, wrong: str) -> None:
    """A developer learns from the compiler what is required and what is allowed."""
    source = (project / "program.ts").read_text()
    assert right in source
    (project / "wrong.ts").write_text(source.replace(right, wrong))
    done = subprocess.run(
        ["npx", "tsc", "--noEmit", *OPTIONS, "wrong.ts"], cwd=project, capture_output=True, check=False, timeout=240
    )
    assert done.returncode != 0


def test_jose_reads_the_user_from_an_access_token(project: Path, server: Server) -> None:
    """Another service reads the user from an access token by the shared secret, and accepts nothing else."""
    account = {"email": new_email(), "password": PASSWORD}
    signed_up = httpx.post(f"{server.url}/api/auth/signup", json=account).json()

    def verified(token: str, secret: str = SECRET) -> Any:
        return json.loads(run(project, "node", "middleware.mjs", secret, token))

    assert verified(signed_up["access_token"])["user"] == signed_up["user"]["id"]
    assert verified(signed_up["refresh_token"]) == {"refused": "not an access token"}
    assert verified(signed_up["access_token"], "0" * 32) == {"refused": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}
    assert verified(expired_token()) == {"refused": "ERR_JWT_EXPIRED"}


@pytest.mark.skipif(not shutil.which("node"), reason="there is no node to test with: apt-get install nodejs")
def test_lost_answers_sign_nobody_out(database_url: str, tmp_path: Path) -> None:
    """A page goes on wherever an answer was cut, in many tabs without a lock, and when it is opened later.

    Source: FR-051, T-B24.
    """
    wrapper = tmp_path / "api.mjs"
    wrapper.write_text(the_wrapper())
    settings = {"DATABASE_URL": database_url, "ACCESS_TOKEN_EXPIRE_MINUTES": "0.05"}
    with serving(tmp_path, wait=True, **settings) as api:
        print(run(SOURCES, "node", "lost.mjs", str(wrapper), api.url, new_email(), PASSWORD))


def expired_token() -> str:
    tokens = TokenCodec(SECRET, None, access_seconds=60, refresh_seconds=60)
    then = datetime.now(UTC) - timedelta(minutes=2)
    return tokens.issue(uuid4(), uuid4(), 0, refresh_id=uuid4(), now=then).access_token
