"""Finds a request's route by its path at once, where Starlette compares it with one route after the other."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from starlette.convertors import StringConvertor
from starlette.routing import BaseRoute

from app.core.http.routing import ApiRoute


class Found(NamedTuple):
    """A route, and the parameters that its path has."""

    route: ApiRoute
    path_params: dict[str, str]


class RouteTable:
    """The routes by method and path. What stands in none (another method, an unknown path) is left to Starlette."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._fixed: dict[tuple[str, str], Found] = {}
        patterns: dict[str, list[ApiRoute]] = {}
        for route in routes:
            if not isinstance(route, ApiRoute):
                continue
            for method in route.methods or ():
                if not route.param_convertors:
                    self._fixed.setdefault((method, route.path), Found(route, {}))
                elif all(isinstance(each, StringConvertor) for each in route.param_convertors.values()):
                    patterns.setdefault(method, []).append(route)
        self._patterns = {method: _OneOf(found) for method, found in patterns.items()}

    def find(self, method: str, path: str) -> Found | None:
        """Return the route that Starlette would take, None to let it look."""
        found = self._fixed.get((method, path))
        if found is None and (pattern := self._patterns.get(method)):
            return pattern.find(path)
        return found


class _OneOf:
    """One expression for all paths of a method, with a group for each route and each of its parameters."""

    def __init__(self, routes: list[ApiRoute]) -> None:
        groups = {f"_{place}": route for place, route in enumerate(routes)}
        parts = (f"(?P<{group}>{_renamed(route, group)})" for group, route in groups.items())
        self._match = re.compile("|".join(parts)).fullmatch
        self._routes: dict[str | None, tuple[ApiRoute, list[tuple[str, str]]]] = {
            group: (route, [(name, f"{group}_{name}") for name in route.param_convertors])
            for group, route in groups.items()
        }

    def find(self, path: str) -> Found | None:
        match = self._match(path)
        if match is None:
            return None
        route, parameters = self._routes[match.lastgroup]  # the group that closed last: that of a whole route
        return Found(route, {name: match[group] for name, group in parameters})


def _renamed(route: ApiRoute, group: str) -> str:
    return re.sub(r"\(\?P<(\w+)>", rf"(?P<{group}_\1>", route.path_regex.pattern)
