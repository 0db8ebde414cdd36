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
    """One expression for all paths of a method. Its groups are named after the place of the route."""

    def __init__(self, routes: list[ApiRoute]) -> None:
        self._routes = routes
        parts = [self._renamed(route.path_regex.pattern, place) for place, route in enumerate(routes)]
        self._match = re.compile("|".join(f"(?P<_{place}>{part})" for place, part in enumerate(parts))).fullmatch
        self._places = {f"_{place}": place for place in range(len(routes))}

    def find(self, path: str) -> Found | None:
        match = self._match(path)
        if match is None:
            return None
        place = next(place for name, place in self._places.items() if match[name] is not None)
        route = self._routes[place]
        return Found(route, {name: match[f"_{place}_{name}"] for name in route.param_convertors})

    def _renamed(self, pattern: str, place: int) -> str:
        return re.sub(r"\(\?P<(\w+)>", rf"(?P<_{place}_\1>", pattern)
