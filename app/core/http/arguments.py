"""The arguments of a route's function, by a plan that is made once of what FastAPI has read from its declarations.

The plan answers requests without a mistake alone. For every other it returns None, and FastAPI does it all again: so
each error is FastAPI's own.
"""

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import params
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response

_NOT_PLANNED = (
    "cookie_params",
    "http_connection_param_name",
    "websocket_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "concurrency",
)


def plan_arguments(route: APIRoute) -> "Plan | None":
    """Return the plan of a route; None if it, or a dependency, declares what a plan does not know.

    Known are parameters in path, query and headers, one JSON body, the request, and asynchronous dependencies.
    """
    functions: list[_Function] = []
    is_known = _add(route.dependant, functions) and inspect.signature(route.endpoint).return_annotation is Response
    body = route.body_field
    if body and (route._embed_body_fields or isinstance(body.field_info, params.Form)):
        return None
    return Plan(functions, body) if is_known else None


class Plan:
    """The functions that are called for a request, the route's own behind its dependencies, and the body it takes."""

    def __init__(self, functions: "list[_Function]", body: ModelField | None) -> None:
        self._functions, self._body = functions, body

    async def arguments(self, request: Request) -> dict[str, Any] | None:
        """Return the arguments of the route's function; None for a request that FastAPI has to look at."""
        values = [function.read(request) for function in self._functions]
        own = values[-1]
        if None in values or own is None or (self._body and not await self._read_body(self._body, request, own)):
            return None
        for function, given in zip(self._functions[:-1], values, strict=False):
            result = await function.call(**(given or {}))
            caller = values[function.caller]
            if function.name and caller is not None:
                caller[function.name] = result
        return own

    async def _read_body(self, body: ModelField, request: Request, values: dict[str, Any]) -> bool:
        if not await request.body():
            values[body.name] = body.default
            return not body.field_info.is_required()
        values[body.name], errors = body.validate(await request.json(), loc=("body",))
        return not errors


def _add(declared: Dependant, functions: "list[_Function]") -> bool:
    """Add a function behind its dependencies. Return False if a plan does not know all that they declare."""
    is_known = not any(getattr(declared, name) for name in _NOT_PLANNED)
    own: list[_Function] = []
    for dependency in declared.dependencies:
        is_known = is_known and _is_coroutine(dependency.call) and not dependency.body_params
        is_known = is_known and _add(dependency, functions)
        own += functions[-1:]
    functions.append(_Function(declared))
    for function in own:
        function.caller = len(functions) - 1
    return is_known and functions[-1].is_optional_without_headers


def _is_coroutine(call: Any) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)


class _Function:
    """A function, and how what it takes of a request is read. `caller` is the place of whoever wants its result."""

    def __init__(self, declared: Dependant) -> None:
        assert declared.call
        self.call: Callable[..., Any] = declared.call
        self.name = declared.name
        self.caller = -1
        self._request_name = declared.request_param_name
        self._path, self._query, self._headers = declared.path_params, declared.query_params, declared.header_params
        self._header_names = frozenset(field.alias.lower().encode() for field in self._headers)
        self._without_query, self._query_errors = request_params_to_args(self._query, QueryParams())
        self._without_headers, header_errors = request_params_to_args(self._headers, Headers())
        self.is_optional_without_headers = not header_errors

    def read(self, request: Request) -> dict[str, Any] | None:
        """Return its arguments but for a body and the results of dependencies; None if one is wrong or missing."""
        values: dict[str, Any] = {self._request_name: request} if self._request_name else {}
        errors: list[Any] = []
        scope = request.scope
        for field in self._path:  # always there, once, and as text: FastAPI's function would look whether it is so
            values[field.name], wrong = field.validate(scope["path_params"][field.alias], loc=("path", field.alias))
            errors += wrong
        if self._query and scope["query_string"]:
            errors += _take(values, *request_params_to_args(self._query, request.query_params))
        elif self._query:
            errors += _take(values, self._without_query, self._query_errors)
        if self._headers and not self._header_names.isdisjoint([name for name, _ in scope["headers"]]):
            errors += _take(values, *request_params_to_args(self._headers, request.headers))
        elif self._headers:
            values |= self._without_headers
        return None if errors else values


def _take(values: dict[str, Any], found: dict[str, Any], errors: list[Any]) -> list[Any]:
    values |= found
    return errors
