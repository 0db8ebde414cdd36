"""The house's rules, each as an assertion that says how to mend what breaks it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from app.operations.distribution import DISTRIBUTED
from app.tables import metadata
from tests.support.settings import ROOT
from tests.support.statements import list_shapes, named_statements, statements


def names(folder: str) -> list[str]:
    """Name the files below a folder, but for what a build or a virtual environment has put there."""
    found = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).rglob("*.py"))]
    return [name for name in found if not re.search(r"/(build|\.?venv)/", name)]


@cache
def trees(folder: str) -> dict[str, ast.Module]:
    """Parse these files, once they are asked for."""
    return {name: ast.parse((ROOT / name).read_text()) for name in names(folder)}


ROUTED = (
    *("main.py", "lifespan.py", "status/health.py", "app/status/metrics.py"),
    *("router.py", "dependencies.py"),
)


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(*packages: str) -> set[str]:
    """Return the files that import one of these, or something in it."""
    pattern = re.compile("|".join(rf"{re.escape(p)}(\.|$)" for p in packages))
    return {name for name, tree in trees("app").items() if any(pattern.match(module) for module in imports(tree))}


def allowed(*endings: str) -> set[str]:
    return {name for name in names("app") if name.endswith(endings)}


def inside(*folders: str) -> set[str]:
    return {name for name in names("app") if name.startswith(folders)}


@pytest.mark.parametrize(
    ("packages", "homes", "remedy"),
    [
        (("jose",), allowed("auth/keys.py", "auth/tokens.py"), "let tokens.py sign and read"),
        (("cryptography",), allowed("auth/ed25519.py"), "let keys.py sign and verify"),
        (("webauthn", "cbor2"), allowed("passkeys/ceremonies.py"), "let ceremonies.py verify"),
        (("passlib", "bcrypt"), allowed("auth/passwords.py"), "let passwords.py hash and verify"),
        (
            ("time",),
            allowed("core/clock.py", "operations/embedded_postgres/server.py", "operations/migration_lock.py"),
            "take a Clock, or stopwatch from core/clock.py",
        ),
        (
            ("fastapi",),
            allowed(*ROUTED) | inside("app/core/", "app/contracts/"),
            "raise an ApiError and let the router answer",
        ),
        (("smtplib",), {"app/mail/carrier.py"}, "let carrier.py hand it in"),
        (("httpx",), set(), "the service calls nobody: what speaks HTTP belongs to clients/"),
        (
            ("sqlalchemy",),
            allowed(
                "repository.py",
                "auth/active_session.py",
                "sessions/denylist.py",
                "models.py",
                "core/database/sql.py",
                "core/database/statement.py",
                "core/rate_limits/database.py",
            ),
            "put the statement into a repository",
        ),
        (("app.main",), {"app/cli/commands.py"}, "arrows point down"),
    ],
)
def test_each_thing_has_its_room(packages: tuple[str, ...], homes: set[str], remedy: str) -> None:
    """A developer finds each library and each concern in one place, and no package knows one above it."""
    strangers = importers(*packages) - homes
    assert not strangers, f"{', '.join(packages)} is imported in {sorted(strangers)}: {remedy}"


ROOMS = {
    "core": "",
    "auth": "core",
    "sessions": "core auth",
    "accounts": "core auth sessions",
    "mail": "core auth sessions accounts",
    "tasks": "core auth",
    "public_keys": "core auth",
    "live": "core auth tasks",
    "script_tokens": "core auth sessions accounts",
    "passkeys": "core auth sessions accounts",
    "contracts": "core auth sessions accounts tasks",
    "operations": "core auth",
    "status": "core sessions operations",
    "cli": "core auth sessions accounts mail tasks live operations",
}
"""What each room knows, beside itself."""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_what_is_below_it(room: str) -> None:
    """A developer can read and change a room without those that stand on it."""
    known = {*ROOMS[room].split(), room}
    for name in inside(f"app/{room}/"):
        above = {m for m in imports(trees("app")[name]) if (parts := m.split("."))[0] == "app" and parts[1:2]}
        strangers = {m for m in above if m.split(".")[1] in ROOMS.keys() - known}
        assert not strangers, f"{name} imports {sorted(strangers)}: {room} knows only {sorted(known)}"


def test_the_client_knows_the_service_only_by_http() -> None:
    """The client works where it is installed alone, without the service beside it."""
    assert trees("clients/python")
    for name, tree in trees("clients/python").items():
        known = sorted({module for module in imports(tree) if module.split(".")[0] == "app"})
        assert not known, f"{name} imports {known}: the client has no service beside it, write what it needs there"


def test_tasks_know_of_auth_only_who_is_calling() -> None:
    """Tasks can be changed without reading auth: all that they know of it is who is calling."""
    known = {m for name in inside("app/tasks/") for m in imports(trees("app")[name]) if m.startswith("app.auth.")}
    modules = {".".join(m.split(".")[:3]) for m in known}
    known_to_tasks = {"dependencies", "errors", "user_database", "active_session"}
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
    """A developer reads from main to routers, service, repository and models, and never back."""
    for name in allowed(layer):
        named = {m for m in imports(trees("app")[name]) if m.startswith("app.")}
        wrong = [m for m in named if m.split(".")[2:3] and m.split(".")[2] in above]
        assert not wrong, f"{name} imports {wrong}: move what it needs down, or the caller up"


def test_settings_are_read_in_one_place() -> None:
    """One file tells everything that can be set. What starts other programs only hands the environment on."""
    homes = allowed(
        "core/config.py",
        "core/secret_files.py",
        "core/settings_file.py",
        "operations/embedded_postgres/server.py",
        "operations/backup.py",
        "status/prometheus.py",
        "app/cli/serve.py",
    )
    readers = {
        name
        for name, tree in trees("app").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers <= homes, f"{sorted(readers - homes)}: add a setting to core/config.py"


def test_no_room_is_called_after_nothing() -> None:
    """A developer can guess from a file's name what is inside."""
    named = {name for name in trees("app") if Path(name).stem in ("utils", "helpers", "constants", "base", "common")}
    assert not named, f"{sorted(named)}: name it after what it does"


def test_files_are_short() -> None:
    """Every file can be read at once: 300 lines. How long a function may be, the linter says."""
    for name in trees("app") | trees("clients/python"):
        length = len((ROOT / name).read_text().splitlines())
        assert length <= 300, f"{name} has {length} lines: is there a second room in it?"


def test_routers_only_route() -> None:
    """A developer finds rules in the services and SQL in the repositories: an operation has one to four statements."""
    for name in allowed("router.py") | inside("app/contracts/"):
        for node in ast.walk(trees("app")[name]):
            assert not isinstance(node, ast.Try), f"{name}: raise an ApiError in the service instead of catching here"
            if isinstance(node, ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                assert len(body) <= 4, (
                    f"{name}: {node.name} has {len(body)} statements: move what it decides to a service"
                )


DIVIDED = {table for table, column in DISTRIBUTED.items() if column == "user_id"}
SPEAK_BY_THEIR_FIELDS = {"BaseModel", "Body", "TokenRead", "Row", "ApiError"}


def test_everything_public_says_what_it_is() -> None:
    """Every module, class and function has a docstring; rows, schemas and errors may speak by their fields."""
    missing, speaking = [], set(SPEAK_BY_THEIR_FIELDS)
    for name, tree in (trees("app") | trees("clients/python")).items():
        assert ast.get_docstring(tree), f"{name} has no docstring: one sentence will do"
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                if {base.id for base in node.bases if isinstance(base, ast.Name)} & speaking:
                    speaking.add(node.name)
                    continue
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                missing.append(f"{name}: {node.name}")
    assert not missing, f"{missing}: one sentence will do"


# Old rows, numbers of rows, a restore, and what operators ask for.
OF_EVERYBODY = (
    *(" PRUNE", " COUNT", " FORGET_CHANGES", " SELECT_STATES", " SELECT_LEAVING"),
    " END_EVERY_SESSION",
)
# Both rows of a new account: `users` is copied to each node.
OF_ALL_NODES = (" INSERT_USER", " INSERT_USERS")
# Whose rows they are, operators say.
OF_OPERATORS = (" FORGET_CHANGES", " DELETE_SOME", " EXPORT_TASKS")


def refuse_statement(name: str, sql: str) -> None:
    """Fail where a statement reaches another user's rows, or a user's tasks without an active session."""
    for table in DIVIDED:
        uses = len(re.findall(rf"\b(?:FROM|UPDATE|JOIN) {table}\b", sql))
        named = len(re.findall(rf"\b(?:{table}|successor)\.user_id = %\(user_id\)s::UUID", sql))
        of_everybody = name.endswith(OF_EVERYBODY)
        assert named >= uses or of_everybody, f"{name} reads {table} without the user: add it to the WHERE clause"
        if f"INSERT INTO {table} " in sql and not name.endswith(OF_ALL_NODES):
            assert "user_state.user_id = %(user_id)s::UUID" in sql, f"{name} inserts for anybody: select the user's id"
    if re.search(r"\b(?:FROM|UPDATE|INTO) tasks\b", sql) and not name.endswith(OF_OPERATORS):
        for condition in ("user_state.is_active", "user_state.token_version = %(token_version)s", "NOT (EXISTS (\n"):
            assert condition in sql, f"{name} does not check {condition}: make it a UserStatement"
        if re.search(r"\bwork AS \(\s+(?:UPDATE|DELETE)\b", sql):
            checks = re.search(r"AND \(EXISTS \(\s+SELECT \*\s+FROM (?:active|writing)_session\s+\)\)\s+RETURNING", sql)
            assert checks, f"{name} changes before it checks: make it of `work`"


def test_every_statement_names_the_user_and_checks_the_session() -> None:
    """No statement reaches another user's rows, and none a user's tasks without an active session.

    It names the user once for each use of a table, counted after FROM, UPDATE, INTO and JOIN. Source: FR-013, FR-023.
    """
    on_tasks = 0
    for made in statements():
        refuse_statement(made.name, made.sql)
        on_tasks += "tasks" in made.sql
    assert on_tasks > 60


@pytest.mark.slow
def test_every_shape_of_a_list_names_the_user_and_checks_the_session() -> None:
    """However somebody filters, sorts and pages, the list is the caller's own: every combination, not a choice."""
    shapes = list(list_shapes())
    for made in statements(shapes):
        refuse_statement(made.name, made.sql)
    assert len(shapes) >= 768


def test_every_statement_can_run_where_its_rows_are() -> None:
    """Where the tables are divided among nodes, each statement is one message to one node, in one phase.

    `users` is copied to every node: who changes it changes all of them, and who reads it while changing a divided
    table is sent to all. Each was seen on Citus 13.2.
    """
    for made in statements():
        name, sql = made.name, made.sql
        if name.endswith(OF_ALL_NODES + OF_EVERYBODY):
            continue
        changes = set(re.findall(r"\b(?:UPDATE|DELETE FROM|INSERT INTO) (\w+)", sql)) - {"SET"}
        reads = set(re.findall(r"\b(?:FROM|JOIN) (\w+)", sql))
        if "users" in changes:
            assert not (changes | reads) & DIVIDED, f"{name} changes users and names {changes | reads}: take two"
        if changes & DIVIDED:
            assert "users" not in reads, f"{name} reads users, which lies everywhere: ask user_state"
            assert "LIMIT" not in sql or re.search(r"\.user_id = %\(user_id\)s", sql), f"{name} limits several users'"
        assert not re.search(r"\bAS \(\s+INSERT", sql), f"{name} inserts inside of a WITH: let the INSERT be outermost"
        if sql.startswith("INSERT") and "ON CONFLICT" not in sql:
            table = metadata.tables[sql.split()[2]]
            computed = {
                column.name for column in table.columns if "(" in str(getattr(column.server_default, "arg", ""))
            }
            given = set(sql[sql.index("(") + 1 : sql.index(")")].replace("\n", " ").replace(",", " ").split())
            assert given >= computed, f"{name} lets {computed - given} be computed: Citus then cannot return columns"
        if sql.startswith("INSERT") and "\nFROM user_state" in sql:
            returned = sql.partition("RETURNING")[2]
            assert "%(" not in returned, f"{name} returns a parameter: return the column"
            assert "SELECT" not in returned, f"{name} reads while it returns: read in a statement of its own"
            assert "user_state.user_id" in sql.partition("\nFROM ")[0], (
                f"{name} inserts a parameter as its user: own_id"
            )


def test_counters_are_changed_by_their_key() -> None:
    """A counter is found on one node: every statement on one names its key, which says on which."""
    on_counters = [made for made in named_statements() if "rate_limit_counters" in made.sql]
    assert on_counters
    for made in on_counters:
        assert "LIMIT" not in made.sql, f"{made.name} limits a change of many keys: name a range of keys"
        keyed = re.search(r"rate_limit_counters\.key (?:=|>=|<) |ON CONFLICT \(key\)", made.sql)
        assert keyed, f"{made.name} does not name the key"
