"""The JavaScript client on the server of a page, where components cannot set cookies."""

import pytest

from tests.client_js.conftest import Project
from tests.support.server import Server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scenario", ["life", "renders", "thief", "a cookie that is made up"])
def test_a_server_session(project: Project, server: Server, scenario: str) -> None:
    """Renders, the proxy step and a lost Set-Cookie get one successor; a thief is found; nobody makes a cookie up."""
    project.node("server.mjs", scenario, server)
