"""Paths as clients see them, where a proxy serves the service below a path and strips it."""

from starlette.requests import HTTPConnection


def public_path(request: HTTPConnection, path: str) -> str:
    """Return a path of this service below `ROOT_PATH`, as it may leave the service."""
    root: str = request.app.state.settings.root_path
    return root + path
