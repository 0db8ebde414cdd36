"""`openapi`: the document that clients are generated from."""

import json

from app.core.config import Settings
from app.main import create_app


def print_openapi() -> None:
    """Print the OpenAPI document, the same on every machine."""
    settings = Settings(
        _env_file=None,
        better_auth_secret="only-to-print-the-document-" + "0" * 32,
        database_url="postgresql://localhost/none",
    )
    print(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
