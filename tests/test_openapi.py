"""The OpenAPI document: what the people who explore it and the generators of clients need. Source: NFR-019."""

import json
from typing import Any, NamedTuple

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.documents import document_of
from tests.support.settings import ROOT

WITH_CONTRACTS = [(), ("v1", "path"), ("path-enveloped",)]


@pytest.fixture(params=WITH_CONTRACTS, ids=lambda contracts: " and ".join(contracts) or "plain")
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document_of(*request.param)


class Operation(NamedTuple):
    path: str
    method: str
    described: dict[str, Any]


def operations(document: dict[str, Any]) -> list[Operation]:
    return [Operation(path, m, o) for path, methods in document["paths"].items() for m, o in methods.items()]


def schema_of(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """Return what a body looks like; of an optional one and of a list, what is inside."""
    schema: dict[str, Any] = next(iter(content.values()))["schema"]
    while "$ref" not in schema:
        schema = schema["items"] if "items" in schema else schema["anyOf"][0]
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """Every tool for OpenAPI 3.1 can read the document."""
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_is_named_and_described(document: dict[str, Any]) -> None:
    """A reader finds a name, a summary and a description of every operation, and no name twice."""
    names = [operation.described["operationId"] for operation in operations(document)]
    assert sorted(names) == sorted(set(names))
    assert all(name.replace("_", "").isalnum() for name in names)
    for operation in operations(document):
        assert operation.described["summary"], operation
        assert operation.described["description"], operation
        assert len(operation.described["tags"]) == 1


def test_operation_ids_are_verbs() -> None:
    """Generated clients have functions with names that one can guess."""
    names = {operation.described["operationId"] for operation in operations(document_of())}
    tasks = {"list_tasks", "create_task", "get_task", "update_task", "patch_task", "toggle_task", "delete_task"}
    tasks.add("list_changes")
    auth = {
        "sign_up",
        "sign_in",
        "refresh_tokens",
        "sign_out",
        "issue_token",
        "revoke_token",
        *("begin_passkey_sign_in", "sign_in_by_passkey", "list_passkeys", "begin_passkey", "create_passkey"),
        *("delete_passkey", "begin_proof"),
        "create_token",
        "list_public_keys",
        "show_me",
        "list_sessions",
        "end_session",
    }
    auth |= {"change_me", "change_password", "reset_password", "delete_me"}
    auth |= {"mail_reset_link", "mail_verification_link"}
    auth |= {"show_email", "change_email", "confirm_email", "verify_email"}
    service = {"show_about", "show_health", "show_liveness", "show_readiness"}
    assert names == tasks | auth | service


def test_no_parameter_and_no_body_can_be_null() -> None:
    """Generated clients leave out what is optional: a header or a query cannot be null, and no body need be."""
    for operation in operations(document_of()):
        bodies = operation.described.get("requestBody", {}).get("content", {}).values()
        for described in (*operation.described.get("parameters", []), *bodies):
            assert "null" not in str(described["schema"]), (operation, described)


def test_the_page_reads_as_somebodys_life_with_the_service() -> None:
    """Who opens Swagger UI meets tasks first, then accounts in their order, from signing up to deleting."""
    assert [tag["name"] for tag in document_of()["tags"]] == ["tasks", "auth", "service"]
    auth = [it.described["operationId"] for it in operations(document_of()) if it.described["tags"] == ["auth"]]
    assert auth == [
        *("sign_up", "sign_in", "reset_password", "mail_reset_link", "begin_passkey_sign_in", "sign_in_by_passkey"),
        *("issue_token", "refresh_tokens", "sign_out", "revoke_token"),
        *("list_sessions", "end_session", "create_token", "show_email", "change_email", "confirm_email"),
        *("mail_verification_link", "verify_email", "list_passkeys", "create_passkey", "begin_passkey"),
        *("delete_passkey", "begin_proof", "show_me", "change_me", "change_password", "delete_me"),
        "list_public_keys",
    ]


def test_every_refusal_has_its_body_and_an_example_of_each_reason(document: dict[str, Any]) -> None:
    """A reader finds the body, the headers and an example of every error of every operation."""
    for operation in operations(document):
        for status, answer in operation.described["responses"].items():
            assert answer["description"], operation
            if int(status) >= 400:
                schema = schema_of(document, answer["content"])
                examples = answer["content"]["application/json"]["examples"].values()
                assert examples, operation
                for example in examples:
                    assert set(schema["required"]) <= example["value"].keys()
                    assert example["value"].get("status", int(status)) == int(status)
                expected = {"401": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}.get(status)
                assert expected is None or expected in answer["headers"], operation


def test_the_login_of_a_contract_refuses_in_its_shape() -> None:
    """The errors of `/api/auth/login` are documented in the shape that they have."""
    responses = document_of("v1", "path")["paths"]["/api/auth/login"]["post"]["responses"]
    example = responses["401"]["content"]["application/json"]["examples"]["INVALID_CREDENTIALS"]["value"]
    assert (example["error"], example["detail"]) == ("Unauthorized", "The e-mail address or the password is wrong.")


def test_every_body_has_an_example() -> None:
    """A reader finds an example of every body, sent and received."""
    for operation in operations(document_of()):
        bodies = [operation.described[name]["content"] for name in ("requestBody",) if name in operation.described]
        bodies += [a["content"] for s, a in operation.described["responses"].items() if s < "300" and "content" in a]
        assert bodies or operation.method == "delete"
        for content in bodies:
            assert schema_of(document_of(), content)["example"], operation


def test_every_task_operation_asks_for_the_token() -> None:
    """Swagger UI sends the token with every operation on tasks."""
    for operation in operations(document_of()):
        if operation.path.startswith("/api/tasks"):
            assert {"401", "500", "503"} <= operation.described["responses"].keys()
            assert operation.described["security"][::2] == [{"EmailAndPassword": []}, {"Bearer": []}]


def test_what_is_public_says_so(document: dict[str, Any]) -> None:
    """A tool knows of every operation whether it needs a token: those that need none say it, and are these alone."""
    public = {op.described["operationId"] for op in operations(document) if op.described["security"] == []}
    service = {"show_about", "show_health", "show_liveness", "show_readiness"}
    auth = {"sign_up", "sign_in", "issue_token", "refresh_tokens", "sign_out", "reset_password", "mail_reset_link"}
    auth |= {"revoke_token", "list_public_keys", "begin_passkey_sign_in", "sign_in_by_passkey"}
    assert public == service | auth | {name for name in ("login",) if "/api/auth/login" in document["paths"]}


def test_a_token_that_one_has_can_be_used() -> None:
    """Swagger UI, Postman, Insomnia and Bruno have a field for a token that somebody has already."""
    found = {name: scheme["type"] for name, scheme in document_of()["components"]["securitySchemes"].items()}
    assert found == {"EmailAndPassword": "oauth2", "ScriptToken": "http", "Bearer": "http"}
    for name in ("ScriptToken", "Bearer"):
        assert document_of()["components"]["securitySchemes"][name]["scheme"] == "bearer"


def test_what_is_sent_has_examples_by_property() -> None:
    """A tool that makes bodies from properties, as Postman does, makes ones that people can read."""
    schemas = document_of()["components"]["schemas"]
    for schema, name, example in (
        ("TaskCreate", "title", "Water the plants"),
        ("TaskUpdate", "status", "in_progress"),
        ("SignUpBody", "email", "ada@example.com"),
        ("SignUpBody", "password", "correct horse"),
        ("TokenForm", "grant_type", "password"),
        ("TaskRead", "version", 1),
    ):
        assert schemas[schema]["properties"][name]["examples"] == [example]


def test_one_scheme_asks_for_email_and_password() -> None:
    """Swagger UI's Authorize asks for the e-mail address and the password."""
    schemes = document_of()["components"]["securitySchemes"]
    assert [s["flows"]["password"]["tokenUrl"] for s in schemes.values() if "flows" in s] == ["/api/auth/token"]


def test_a_change_of_the_document_shows_in_review() -> None:
    """A change that generated clients would notice is seen in review."""
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == document_of(), "the document has changed: make openapi"
