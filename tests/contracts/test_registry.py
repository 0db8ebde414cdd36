"""Which contracts there are, and that those not asked for leave no trace."""

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from app.contracts.registry import CONTRACTS
from app.core.config import SettingsError
from app.main import create_app
from tests.support.documents import document_of
from tests.support.people import Person
from tests.support.server import Service, app_of
from tests.support.settings import ROOT, make_settings

URL = "postgresql://localhost/none"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("v2", "names v2; there are v1, path, path-enveloped, aliases"),
        ("path,path-enveloped", "names both path and path-enveloped"),
        ("v1,x,y", "names x, y; there are"),
        ("path-enveloped,v1,path", "names both path-enveloped and path"),
    ],
)
def test_unknown_and_contradicting_names_stop_the_start(names: str, sentence: str) -> None:
    """An operator who asks for an unknown contract, or for two that conflict, reads which."""
    with pytest.raises(SettingsError, match=sentence):
        create_app(make_settings(URL, api_contracts=names))


@pytest.mark.parametrize("names", ["", "v1", "path", "path-enveloped", "v1,path", "v1,path-enveloped,v1", "aliases,v1"])
def test_what_is_mounted_is_documented_under_its_own_tag(names: str) -> None:
    """A reader of the document sees the contracts that are mounted and no trace of the others."""
    document = document_of(*filter(None, names.split(",")))
    operations = [op for methods in document["paths"].values() for op in methods.values()]
    tags = {tag for operation in operations for tag in operation["tags"]}
    assert tags == {"tasks", "auth", "service"} | set(filter(None, names.split(","))) - {"aliases"}
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all(identifier.isidentifier() for identifier in ids)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]


def test_schemas_have_one_plain_name_whatever_stands_beside_them() -> None:
    """Generated clients keep the names of their types when another contract is mounted."""
    alone = {name: schemas(name) for name in ("", *CONTRACTS)}
    both = schemas("v1,path")
    assert all(name.isalnum() for names in alone.values() for name in names)
    assert both.keys() == alone[""].keys() | alone["v1"].keys() | alone["path"].keys()
    for name, schema in (alone[""] | alone["v1"] | alone["path"]).items():
        assert both[name] == schema


def test_every_write_on_one_task_documents_its_condition() -> None:
    """A reader of the document finds both conditions, and each 412 that they may get, on every write."""
    for names in ("v1,path", "path-enveloped"):
        paths = document_of(*names.split(","))["paths"]
        writes = [op for path, ops in paths.items() if "{task_id}" in path for verb, op in ops.items() if verb != "get"]
        assert len(writes) >= 8
        for operation in writes:
            assert "412" in operation["responses"]
            sent = {parameter["name"].lower() for parameter in operation["parameters"]}
            assert {"if-match", "if-none-match"} <= sent
            examples = operation["responses"]["412"]["content"]["application/json"]["examples"]
            assert examples.keys() == {"TASK_CHANGED", "NO_VERSION_IN_TAG", "PRECONDITION_FAILED"}


def schemas(names: str) -> dict[str, Any]:
    found: dict[str, Any] = document_of(*filter(None, names.split(",")))["components"]["schemas"]
    return found


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_is_one_short_file(name: str) -> None:
    """Whoever adds a contract writes one file of at most 200 lines."""
    file = Path(ROOT / "app" / "contracts" / f"{name.replace('-', '_')}.py")
    assert len(file.read_text().splitlines()) <= 200


@pytest.mark.parametrize("names", ["", "v1,path,aliases", "path-enveloped,v1,aliases"])
async def test_a_fixed_path_is_never_taken_for_one_with_a_parameter(names: str, service: Service) -> None:
    """A client that uses a wrong method is told which ones there are: `changes` is no task's id, and so everywhere."""
    async with service(api_contracts=names, metrics_enabled=True) as client:
        client.event_hooks["response"] = []  # errors have other shapes here
        ada = await Person.sign_up(client)
        routes = [route for route in app_of(client).routes if isinstance(route, Route)]
        fixed = {route.path for route in routes if not route.param_convertors}
        assert "/api/tasks/changes" in fixed
        for path in fixed:
            allowed = {method for route in routes if route.path == path for method in route.methods or ()}
            allowed |= {"HEAD"} if "GET" in allowed else set()
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
                answer = await ada.send(method, path)
                assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(sorted(allowed))), (
                    method,
                    path,
                )
        changes = await ada.send("DELETE", "/api/tasks/changes")
        assert changes.headers["allow"] == "GET, HEAD"


async def test_a_longer_path_below_a_fixed_one_is_missing(service: Service) -> None:
    """What only begins like a fixed path is judged as ever."""
    async with service(api_contracts="aliases") as client:
        ada = await Person.sign_up(client)
        for path in ("changes/toggle", "changes/complete", "Changes", "changes%20", "changes/"):
            answer = await ada.send("PATCH", f"/api/tasks/{path}", json={"title": "x"})
            assert answer.status_code in (404, 405), path
        assert (await ada.send("PATCH", "/api/tasks/Changes", json={"title": "x"})).json()["code"] == "TASK_NOT_FOUND"
