"""Fixed paths beside paths with a parameter, such as `/api/tasks/changes` beside `/api/tasks/{task_id}`."""

import re
from copy import copy

from starlette.routing import BaseRoute, Route


def keep_fixed_paths(routes: list[BaseRoute]) -> None:
    """Let no route with a parameter take another one's fixed path, which then refuses what is none of its methods."""
    fixed = [route.path for route in routes if isinstance(route, Route) and not route.param_convertors]
    for number, route in enumerate(routes):
        if isinstance(route, Route) and route.param_convertors:
            taken = [re.escape(path) for path in fixed if route.path_regex.match(path)]
            if taken:
                routes[number] = other = copy(route)  # another application may have the same route
                other.path_regex = re.compile(f"(?!(?:{'|'.join(taken)})$){route.path_regex.pattern}")
