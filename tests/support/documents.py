"""The OpenAPI document, which takes a fifth of a second to make."""

from functools import cache
from typing import Any

from app.main import create_app
from tests.support.settings import make_settings


@cache
def document_of(*contracts: str) -> dict[str, Any]:
    """Return the document of a service that mounts these contracts, for reading alone: all tests share it."""
    return create_app(make_settings("postgresql://localhost/none", api_contracts=contracts)).openapi()
