"""The house's rules, each as an assertion that says how to mend what breaks it."""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import app.auth.caller_repository
import app.auth.denylist_repository
import app.auth.repository
import app.tasks.list_repository
import app.tasks.repository
from app.core.database import Statement
from app.tasks.list_repository import Shape
from tests.support import ROOT


def trees(folder: str) -> dict[str, ast.Module]:
    """Parse the files below a folder, but for what a build or a virtual environment has put there."""
    names = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).rglob("*.py"))]
    return {name: ast.parse((ROOT / name).read_text()) for name in names if not re.search(r"/(build|\.?venv)/", name)}


TREES = trees("app")
CLIENT_TREES = trees("clients/python")
ROUTED = ("main.py", "health.py", "app/metrics.py", "router.py", "dependencies.py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*packages: str) -> set[str]:
    """Name the files that import one of these, or something in it."""
    pattern = re.compile("|".join(rf"{re.escape(p)}(\.|$)" for p in packages))
    return {name for name, tree in TREES.items() if any(pattern.match(module) for module in imports(tree))}


def allowed(*endings: str) -> set[str]:
    return {name for name in TREES if name.endswith(endings)}


def inside(*folders: str) -> set[str]:
    return {name for name in TREES if name.startswith(folders)}


@pytest.mark.parametrize(
    ("packages", "homes", "remedy"),
    [
        (("jose",), allowed("auth/tokens.py"), "let tokens.py sign and read"),
        (("passlib", "bcrypt"), allowed("auth/passwords.py"), "let passwords.py hash and verify"),
        (("time",), allowed("core/clock.py", "core/embedded.py"), "take a Clock, or stopwatch from core/clock.py"),
        (
            ("fastapi",),
            allowed(*ROUTED) | inside("app/core/", "app/contracts/"),
            "raise an ApiError and let the router answer",
        ),
        (("httpx",), set(), "the service calls nobody: what speaks HTTP belongs to clients/"),
        (
            ("sqlalchemy",),
            allowed("repository.py", "models.py", "core/database.py", "core/rate_limit.py", "health.py"),
            "put the statement into a repository",
        ),
        (("app.auth", "app.tasks", "app.contracts", "app.main"), set(TREES) - inside("app/core/"), "core knows nobody"),
        (("app.tasks", "app.contracts"), set(TREES) - inside("app/auth/"), "auth does not know tasks"),
        (("app.contracts",), set(TREES) - inside("app/tasks/"), "tasks does not know the contracts"),
        (("app.main",), {"app/__main__.py"}, "arrows point down"),
    ],
)
def test_each_thing_has_its_room(packages: tuple[str, ...], homes: set[str], remedy: str) -> None:
    """Who may know whom."""
    strangers = importers(*packages) - homes
    assert not strangers, f"{', '.join(packages)} is imported in {sorted(strangers)}: {remedy}"


def test_the_client_knows_the_service_only_by_http() -> None:
    """It is installed where there is no service."""
    assert CLIENT_TREES
    for name, tree in CLIENT_TREES.items():
        known = sorted({module for module in imports(tree) if module.split(".")[0] == "app"})
        assert not known, f"{name} imports {known}: the client has no service beside it, write what it needs there"


def test_tasks_know_of_auth_only_who_is_calling() -> None:
    """The one sideways arrow."""
    known = {m for name in inside("app/tasks/") for m in imports(TREES[name]) if m.startswith("app.auth.")}
    modules = {".".join(m.split(".")[:3]) for m in known}
    known_to_tasks = {"dependencies", "errors", "caller", "caller_repository"}
    assert modules <= {f"app.auth.{name}" for name in known_to_tasks}, f"{modules}: let the caller find it out"


@pytest.mark.parametrize(
    ("layer", "above"),
    [
        ("service.py", ("router", "dependencies")),
        ("repository.py", ("router", "dependencies", "service")),
        ("models.py", ("router", "dependencies", "service", "repository", "schemas")),
    ],
)
def test_arrows_point_down(layer: str, above: tuple[str, ...]) -> None:
    """main → routers → service → repository → models."""
    for name in allowed(layer):
        wrong = [
            m for m in imports(TREES[name]) if m.startswith("app.") and m.split(".")[2:3] and m.split(".")[2] in above
        ]
        assert not wrong, f"{name} imports {wrong}: move what it needs down, or the caller up"


def test_settings_are_read_in_one_place() -> None:
    """Nothing else looks at the environment; what starts PostgreSQL's programs hands its own on."""
    homes = allowed("core/config.py", "core/embedded.py", "core/backup.py", "core/metrics.py", "app/serving.py")
    readers = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers <= homes, f"{sorted(readers - homes)}: add a setting to core/config.py"


def test_no_room_is_called_after_nothing() -> None:
    """A name says what is inside."""
    named = {name for name in TREES if Path(name).stem in ("utils", "helpers", "constants", "base", "common")}
    assert not named, f"{sorted(named)}: name it after what it does"


def test_files_and_functions_are_short() -> None:
    """250 lines and 40."""
    for name, tree in (TREES | CLIENT_TREES).items():
        length = len((ROOT / name).read_text().splitlines())
        assert length <= 250, f"{name} has {length} lines: is there a second room in it?"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{name}: {node.name} has {length} lines: give its parts names"


def test_routers_only_route() -> None:
    """One to four statements, no try, no SQL."""
    for name in allowed("router.py"):
        for node in ast.walk(TREES[name]):
            assert not isinstance(node, ast.Try), f"{name}: raise an ApiError in the service instead of catching here"


def test_everything_public_says_what_it_is() -> None:
    """Modules, classes and functions of the services; rows and schemas speak by their fields."""
    for name, tree in (TREES | CLIENT_TREES).items():
        assert ast.get_docstring(tree), f"{name} has no docstring: one sentence will do"
        if name.endswith(("service.py", "tokens.py", "passwords.py", "router.py", "database.py", "emails.py")):
            for node in tree.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                    assert ast.get_docstring(node), f"{name}: {node.name} has no docstring"


def statements() -> Iterator[tuple[str, str]]:
    for module in (app.tasks.repository, app.auth.repository, app.auth.caller_repository, app.auth.denylist_repository):
        for name, value in vars(module).items():
            if isinstance(value, Statement):
                yield f"{module.__name__}.{name}", value.sql.decode()
    flags = [False, True]
    for shape in product([None, False, True], flags, flags, flags, ["title", "priority"], ["asc"], flags, flags):
        made = Shape(*shape)  # type: ignore[arg-type]  # product() forgets the literals
        yield f"list {made}", app.tasks.list_repository._list_statement(made).sql.decode()
        yield f"json {made}", app.tasks.list_repository._json_statement(made).sql.decode()


def test_every_statement_on_tasks_names_the_owner() -> None:
    """FR-023, S4 FR-007: once for each time that it names the table after FROM, UPDATE or INTO."""
    seen = 0
    for name, sql in statements():
        uses = len(re.findall(r"(?:FROM|UPDATE|INTO) tasks\b", sql))
        owners = len(re.findall(r"tasks\.user_id = \(SELECT alive\.id\s+FROM alive\)", sql))
        owners += "INSERT INTO tasks (id, user_id" in sql and "WHERE (SELECT alive.id \nFROM alive) IS NOT NULL" in sql
        assert owners >= uses, f"{name} does not name the owner: add it to the WHERE clause"
        seen += uses > 0
    assert seen > 100
