"""Pages that refresh as tutorials show it, with the real libraries, stay signed in by default."""

import json
import shutil
from pathlib import Path

import httpx
import pytest

from tests.frontends.test_node import run
from tests.support.people import PASSWORD, new_email
from tests.support.server import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm to test with: apt-get install npm"),
]

SOURCES = Path(__file__).parent / "interceptors"
SECONDS = 3  # a second is lost to rounding, and more on a busy machine


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with its packages."""
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(SOURCES, folder)
    run(folder, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    return folder


@pytest.mark.parametrize("leeway", ["10", pytest.param("0", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("way", ["axios", "redux", "tabs", "ky"])
def test_pages_that_refresh_several_times_at_once_stay_signed_in(
    project: Path, database_url: str, tmp_path: Path, way: str, leeway: str
) -> None:
    """The interceptor of axios, RTK Query's reauth and five tabs without a lock go on, where there is a leeway.

    A hook of ky whose calls share one promise goes on without, too. Source: FR-051.
    """
    settings = {"ACCESS_TOKEN_EXPIRE_MINUTES": str(SECONDS / 60), "REFRESH_REUSE_LEEWAY_SECONDS": leeway}
    with serving(tmp_path, wait=True, DATABASE_URL=database_url, **settings) as api:
        email = new_email()
        said = run(project, "node", "interceptors.mjs", way, api.url, email, PASSWORD, str(SECONDS))
        statuses = set(json.loads(said))
        goes_on = leeway != "0" or way == "ky"
        assert (statuses == {200}) is goes_on, statuses
        assert ("refresh_reuse_detected" in api.log.read_text()) is not goes_on
        assert httpx.post(f"{api.url}/api/auth/signin", json={"email": email, "password": PASSWORD}).is_success
