"""The table of routes: the same route as Starlette's, found at once."""

from uuid import uuid4

import pytest
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from app.core.http.dispatch import RouteTable
from app.core.http.routing import ApiRoute
from app.main import create_app
from tests.support.settings import make_settings

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO")
PARTS = ("changes", "nonsense", "", "a/b", "%2f", "x\n", "é", "CHANGES", str(uuid4()))


def by_starlette(routes: list[BaseRoute], method: str, path: str) -> tuple[BaseRoute, dict[str, str]] | None:
    scope: Scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    for route in routes:
        match, found = route.matches(scope)
        if match == Match.FULL:
            return (route, found["path_params"]) if isinstance(route, ApiRoute) else None
    return None


@pytest.mark.parametrize("shapes", ["", "v1,path,aliases", "path-enveloped"])
def test_it_is_the_route_that_starlette_would_take(shapes: str) -> None:
    """Every method and path leads where it led without the table, fixed paths beside those with a parameter too."""
    app = create_app(make_settings("postgresql://nobody@localhost/none", API_CONTRACTS=shapes))
    table, seen = RouteTable(app.routes), 0
    paths = {getattr(route, "path", "/") for route in app.routes}
    for template in paths | {"/nope", "/api", "/docs"}:
        for part in PARTS:
            path = template.replace("{user_id}", str(uuid4())).replace("{task_id}", part).replace("{session_id}", part)
            path = path.replace("{passkey_id}", part)
            for tried in (path, f"{path}/", path.upper()):
                for method in METHODS:
                    found = table.find(method, tried)
                    assert (found and tuple(found)) == by_starlette(app.routes, method, tried), (method, tried)
                    seen += found is not None
    assert seen > 20
