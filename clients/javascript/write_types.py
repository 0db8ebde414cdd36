"""Writes src/api.ts from the OpenAPI document: what is sent and answered, and the operations of accounts and sessions.

Usage: python write_types.py openapi.json > src/api.ts
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HEADER = "// Written by write_types.py from the service's OpenAPI document: `make openapi`.\n"
NOT_CALLED = {"refresh_tokens", "issue_token", "list_public_keys"}
"""Operations that the client does by itself, or that are for OAuth libraries and for other services."""
OF_ANOTHER_ENTRY = ("/api/auth/passkeys", "/api/auth/proof/")
"""Paths that `./passkeys` calls, so that who has none of them does not load them."""
ENDS = {"delete_me"}
PROBLEM = "#/components/schemas/Problem"
WORDS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def written(document: Json) -> str:
    """Return the module."""
    operations = [operation for operation in _operations(document) if operation["path"].startswith("/api/")]
    auth = [operation for operation in operations if _is_called(operation)]
    schemas = document["components"]["schemas"]
    roots = [_body(o) for o in operations] + [_answer(o) for o in operations] + [{"$ref": PROBLEM}]
    named = sorted(_reachable(roots, schemas))
    parts = [HEADER, *(_interface(name, schemas[name]) for name in named)]
    parts.append("\n/** The operations of accounts and sessions. */\nexport interface Auth {\n")
    parts += [_method(operation) for operation in auth]
    parts.append(
        "}\n\n/** Method and path; `+` begins a session, `*` needs one, `-` ends it. */\nexport const AUTH = {\n"
    )
    parts += [_row(operation, schemas) for operation in auth]
    parts.append("} satisfies Record<keyof Auth, string>;\n")
    return "".join(parts)


def _operations(document: Json) -> Iterator[Json]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield {**operation, "path": path, "method": method.upper()}


def _is_called(operation: Json) -> bool:
    """Return whether it is a method of `client.auth`. Forms are for OAuth libraries."""
    content = operation.get("requestBody", {}).get("content", {"application/json": {}})
    path = operation["path"]
    is_auth = path.startswith("/api/auth/") and not path.startswith(OF_ANOTHER_ENTRY)
    return is_auth and operation["operationId"] not in NOT_CALLED and "application/json" in content


def _body(operation: Json) -> Json | None:
    content = operation.get("requestBody", {}).get("content", {})
    schema: Json | None = content.get("application/json", {}).get("schema")
    return schema


def _answer(operation: Json) -> Json | None:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            schema: Json | None = response.get("content", {}).get("application/json", {}).get("schema")
            return schema
    return None


def _reachable(roots: list[Any], schemas: Json) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        new = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop()))) - found
        found |= new
        waiting += [schemas[name] for name in new]
    return found


def _interface(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    lines = []
    for field, value in schema.get("properties", {}).items():
        if field == "cookie" and value.get("type") == "boolean":  # the client says it
            continue
        text = value.get("description")
        lines += [f"  /** {text} */\n"] if text else []
        lines.append(f"  {field}{'' if field in required else '?'}: {_type(value)};\n")
    text = schema.get("description", "").split("\n\n")[0].split(" Source:")[0]
    comment = f"/** {text} */\n" if text else ""
    return f"\n{comment}export interface {name} {{\n{''.join(lines)}}}\n"


def _type(schema: Json | None) -> str:  # noqa: C901
    if schema is None:
        return "null"
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(_type(one) for one in schema[several])
    if schema.get("type") == "array":
        item = _type(schema.get("items", {}))
        return f"({item})[]" if " " in item else f"{item}[]"
    if schema.get("type") == "object":
        more = schema.get("additionalProperties")
        return f"Record<string, {_type(more) if isinstance(more, dict) else 'unknown'}>"
    return WORDS.get(str(schema.get("type")), "unknown")


def _method(operation: Json) -> str:
    arguments = ["id: string"] if "{" in operation["path"] else []
    if body := _body(operation):
        optional = "" if operation["requestBody"].get("required") else "?"
        arguments.append(f"body{optional}: {_type(body)}")
    answer = _type(_answer(operation))
    return f"  /** {operation['summary']}. */\n  {_name(operation)}({', '.join(arguments)}): Promise<{answer}>;\n"


def _row(operation: Json, schemas: Json) -> str:
    path = re.sub(r"{\w+}", "{}", operation["path"].removeprefix("/api/auth/"))
    body = _body(operation) or {}
    properties = schemas[_type(body)]["properties"] if "$ref" in body else {}
    marks = ("+" if "cookie" in properties else "") + ("*" if {"Bearer": []} in operation.get("security", []) else "")
    marks += "-" if operation["operationId"] in ENDS else ""
    return f'  {_name(operation)}: "{" ".join([operation["method"], path, marks]).strip()}",\n'


def _name(operation: Json) -> str:
    first, *others = str(operation["operationId"]).split("_")
    return first + "".join(word.capitalize() for word in others)


if __name__ == "__main__":
    sys.stdout.write(written(json.loads(Path(sys.argv[1]).read_text())))
