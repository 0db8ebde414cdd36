"""Tokens for scripts: what they may do, for how long, and that they can do nothing else."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi.routing import APIRoute

from app.auth.dependencies import BearerRoute
from app.auth.tokens import SCRIPT_PREFIX
from app.core.database.pool import STATEMENTS_PER_USER
from app.main import create_app
from app.sessions.repository import MAX_SCRIPT_TOKENS, delete_old_sessions_of
from tests.attacks.forms import forged
from tests.support.clock import FrozenClock
from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of
from tests.support.settings import make_settings
from tests.support.waiting import held_statements, until

READ, WRITE = "tasks:read", "tasks:write"
TOKENS = "/api/auth/tokens"
INSUFFICIENT = 'Bearer error="insufficient_scope"'


async def ask_for(person: Person, *scopes: str, days: float = 90, **body: Any) -> httpx.Response:
    proof = {"current_password": person.password}
    sent = {"name": "backup", "scopes": list(scopes), "days": days, "proof": proof, **body}
    return await person.send("POST", TOKENS, json=sent)


async def script_of(person: Person, *scopes: str, days: int = 90, **body: Any) -> Person:
    """Return a script with a token of this person's."""
    answer = await ask_for(person, *scopes, days=days, **body)
    assert answer.status_code == 201, answer.text
    return Person(
        person.client, person.email, user={"session": answer.json()["id"]}, access_token=answer.json()["token"]
    )


async def scripts(person: Person) -> list[dict[str, Any]]:
    return [session for session in (await person.get("/api/auth/sessions")).json() if session["kind"] == "script"]


async def works(script: Person) -> bool:
    answer = await script.get("/api/tasks")
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


async def test_a_script_does_what_it_may(client: httpx.AsyncClient, ada: Person, bob: Person) -> None:
    """A backup reads its owner's tasks, another script writes them, and neither sees anybody else's. Source: FR-062."""
    mine = await ada.add_task()
    await bob.add_task()
    reads, writes = await script_of(ada, READ), await script_of(ada, WRITE)
    both = await script_of(ada, WRITE, READ, READ)
    assert [task["id"] for task in (await reads.get("/api/tasks")).json()] == [mine["id"]]
    assert (await reads.get("/api/tasks/changes")).status_code == 200
    stream = await reads.send("HEAD", "/api/tasks/changes", headers={"Accept": "text/event-stream"})
    assert (stream.status_code, stream.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert (await writes.send("PATCH", f"/api/tasks/{mine['id']}/toggle")).json()["completed"]
    await both.add_task("made by a script")
    assert len((await both.get("/api/tasks")).json()) == 2
    refused = [await reads.send("DELETE", f"/api/tasks/{mine['id']}"), await writes.get("/api/tasks")]
    refused += [await both.get("/api/auth/me"), await ask_for(both, READ)]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (403, "INSUFFICIENT_SCOPE")
        assert answer.headers["www-authenticate"] == INSUFFICIENT


async def test_it_is_shown_once_and_listed_among_the_sessions(clocked: httpx.AsyncClient, clock: FrozenClock) -> None:
    """Its owner sees each script's token by its name, what it may do and until when, and ends it. Source: FR-062."""
    ada = await Person.sign_up(clocked)
    made = (await ask_for(ada, WRITE, READ, days=30.0, name="sync")).json()
    assert made.keys() == {"id", "name", "scopes", "expires_at", "token"}
    ends = clock.moment.replace(microsecond=0) + timedelta(days=30)
    assert datetime.fromisoformat(made["expires_at"]) == ends
    assert made["token"].startswith("atk_eyJ")
    (shown,) = await scripts(ada)
    assert (shown["id"], shown["device"], shown["scopes"], shown["current"]) == (
        made["id"],
        "sync",
        [READ, WRITE],
        False,
    )
    assert shown["expires_at"] == made["expires_at"]
    script = Person(clocked, ada.email, access_token=made["token"])
    clock.advance(days=29)
    ada = await ada.sign_in()
    assert await works(script), "it lives longer than any unused sign-in"
    assert len(await scripts(ada)) == 1
    assert (await ada.send("DELETE", f"/api/auth/sessions/{made['id']}")).status_code == 204
    assert not await works(script)
    assert await scripts(ada) == []


async def test_it_ends_with_its_time(clocked: httpx.AsyncClient, clock: FrozenClock, connection: Any) -> None:
    """A script's token ends when it says, and its row goes; one that was ended never comes back."""
    ada = await Person.sign_up(clocked)
    script, ended = await script_of(ada, READ, days=1), await script_of(ada, READ, days=365)
    assert (await clocked.post("/api/auth/revoke", data={"token": ended.access_token})).status_code == 200
    assert not await works(ended)
    clock.advance(days=1)
    assert not await works(script)
    ada = await ada.sign_in()
    assert await scripts(ada) == []
    query = "SELECT expires_at FROM token_denylist WHERE id = %s"
    (kept,) = connection.execute(query, [ended.user["session"]]).fetchone()
    assert kept >= clock.moment + timedelta(days=365)


async def test_rows_of_tokens_that_have_ended_go(ada: Person, connection: psycopg.Connection) -> None:
    """The table holds living tokens, however long ago they were made, and no other."""
    old, over = await script_of(ada, READ, days=300), await script_of(ada, READ)
    change = "UPDATE sessions SET created_at = now() - interval '200 days' WHERE id = %s"
    connection.execute(change.encode(), [old.user["session"]])
    connection.execute(b"UPDATE sessions SET expires_at = now() WHERE id = %s", [over.user["session"]])
    connection.commit()
    database = app_of(ada.client).state.database
    assert await delete_old_sessions_of(database, UUID(ada.user["id"]), kept=timedelta(days=8)) == 1
    assert [session["id"] for session in await scripts(ada)] == [old.user["session"]]


@pytest.mark.parametrize("how", ["password", "everywhere", "others", "closed"])
async def test_what_ends_everything_ends_scripts(client: httpx.AsyncClient, ada: Person, how: str) -> None:
    """Whoever shuts others out shuts out their scripts' tokens, too; and 401 comes before any scope. Source: FR-062."""
    script = await script_of(ada, READ)
    if how == "password":
        body = {"current_password": PASSWORD, "new_password": "another battery staple 5"}
        ada.keep(await ada.send("POST", "/api/auth/password", json=body))
    elif how == "closed":
        await ada.send("POST", "/api/auth/me/delete", json={"current_password": PASSWORD})
    else:
        await ada.send("POST", "/api/auth/signout", json={how: True})
    assert not await works(script)
    assert (await script.send("POST", "/api/tasks", json={"title": "x"})).status_code == 401
    assert (await script.get("/api/auth/me")).status_code == 401


async def test_making_one_takes_the_password(service: Service) -> None:
    """Who finds an open session makes no token of it, and cannot guess the password there."""
    async with service(rate_limits="on", rate_limit_signin_account="2/minute") as client:
        ada = await Person.sign_up(client)
        proof = {"current_password": "wrong"}
        for _ in range(2):
            answer = await ask_for(ada, READ, proof=proof)
            assert (answer.status_code, answer.json()["code"]) == (422, "WRONG_PASSWORD")
            assert answer.json()["errors"][0]["field"] == "proof"
        assert (await ask_for(ada, READ)).status_code == 429
        assert await scripts(ada) == []


async def test_there_are_so_many(ada: Person) -> None:
    """An account has twenty tokens for scripts; one that has ended makes room."""
    first = await script_of(ada, READ)
    for _ in range(MAX_SCRIPT_TOKENS - 1):
        await script_of(ada, READ)
    answer = await ask_for(ada, READ)
    assert (answer.status_code, answer.json()["code"]) == (409, "TOO_MANY_TOKENS")
    await ada.send("DELETE", f"/api/auth/sessions/{first.user['session']}")
    await script_of(ada, READ)
    assert len(await scripts(ada)) == MAX_SCRIPT_TOKENS


async def test_of_four_at_once_one_is_the_last(ada: Person, connection: psycopg.Connection) -> None:
    """Those that one account has asked for at the same moment are counted as well: it has no more than twenty."""
    for _ in range(MAX_SCRIPT_TOKENS - 1):
        await script_of(ada, READ)
    with connection.transaction():  # none is written before others have counted, too
        connection.execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", [ada.user["id"]])
        asked = [asyncio.create_task(ask_for(ada, READ)) for _ in range(STATEMENTS_PER_USER)]
        await until(lambda: held_statements(connection) > 1)
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert sorted(statuses) == [201] + [409] * (STATEMENTS_PER_USER - 1)
    assert len(await scripts(ada)) == MAX_SCRIPT_TOKENS


async def test_sign_ins_do_not_push_scripts_out(service: Service) -> None:
    """A limit of sign-ins ends no script's token, and a long list of them hides none."""
    async with service(max_sessions_per_user=2) as client:
        ada = await Person.sign_up(client)
        script = await script_of(ada, READ)
        for _ in range(3):
            ada = await ada.sign_in()
        assert await works(script)
        kinds = [session["kind"] for session in (await ada.get("/api/auth/sessions")).json()]
        assert kinds == ["person", "person", "script"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", " ", None, 5, "x" * 101, "\x00")],
        *[("scopes", value) for value in ([], ["tasks"], ["*"], "tasks:read", None, [None])],
        *[("days", value) for value in (0, -1, 366, 1.5, "90", None, True)],
        *[("proof", value) for value in (None, {}, "x", {"current_password": 5})],
    ],
)
async def test_what_makes_no_token_is_422(ada: Person, field: str, value: Any) -> None:
    """A developer reads which field is wrong."""
    body = {"name": "x", "scopes": [READ], "days": 1, "proof": {"current_password": PASSWORD}} | {field: value}
    answer = await ada.send("POST", TOKENS, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(field)


async def test_it_is_good_for_nothing_else(client: httpx.AsyncClient, ada: Person) -> None:
    """A script's token refreshes nothing and signs nobody out, and no other token is one."""
    script = await script_of(ada, READ)
    bare = script.access_token.removeprefix(SCRIPT_PREFIX)
    for token in (script.access_token, bare):
        assert (await ada.refresh(token)).status_code == 401
        for body in ({}, {"everywhere": True}, {"others": True}):
            assert (await client.post("/api/auth/signout", json={"refresh_token": token, **body})).status_code == 401
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.post("/api/auth/signout", json=body, headers=headers)).status_code == 401
    for token in (bare, SCRIPT_PREFIX + ada.access_token, SCRIPT_PREFIX + ada.refresh_token, ada.refresh_token):
        assert not await works(Person(client, ada.email, access_token=token))
    for token in (SCRIPT_PREFIX.upper() + bare, SCRIPT_PREFIX + script.access_token, SCRIPT_PREFIX):
        assert not await works(Person(client, ada.email, access_token=token))
        await client.post("/api/auth/revoke", data={"token": token})
    assert await works(script)
    assert await works(ada)


async def test_no_forged_one_passes(client: httpx.AsyncClient, ada: Person) -> None:
    """Nobody makes a script's token without the secret, and guessing costs no connection."""
    script = await script_of(ada, READ)
    genuine = script.access_token.removeprefix(SCRIPT_PREFIX)
    pool = app_of(client).state.database.pool
    passed = []
    before = pool.get_stats().get("requests_num", 0)
    for name, form in forged(genuine):
        token = (SCRIPT_PREFIX + form).encode("utf-8", "surrogatepass")
        answer = await client.get("/api/tasks", headers=[(b"Authorization", b"Bearer " + token)])
        if form != genuine and answer.status_code != 401:
            passed.append((name, answer.status_code))
    assert passed == []
    assert pool.get_stats()["requests_num"] - before <= 1, "but for one of a right signature, of another version"
    assert await works(script)


SCOPES = {
    ("GET", "/api/tasks"): READ,
    ("POST", "/api/tasks"): WRITE,
    ("GET", "/api/tasks/changes"): READ,
    ("GET", "/api/tasks/{task_id}"): READ,
    ("PUT", "/api/tasks/{task_id}"): WRITE,
    ("PATCH", "/api/tasks/{task_id}"): WRITE,
    ("DELETE", "/api/tasks/{task_id}"): WRITE,
    ("PATCH", "/api/tasks/{task_id}/toggle"): WRITE,
    ("PATCH", "/api/tasks/{task_id}/complete"): WRITE,
    ("POST", "/api/auth/tokens"): None,
    ("GET", "/api/auth/sessions"): None,
    ("DELETE", "/api/auth/sessions/{session_id}"): None,
    ("GET", "/api/auth/me"): None,
    ("PATCH", "/api/auth/me"): None,
    ("POST", "/api/auth/password"): None,
    ("POST", "/api/auth/me/delete"): None,
    ("GET", "/api/auth/passkeys"): None,
    ("POST", "/api/auth/passkeys"): None,
    ("POST", "/api/auth/passkeys/options"): None,
    ("POST", "/api/auth/passkeys/{passkey_id}/delete"): None,
    ("POST", "/api/auth/proof/options"): None,
    ("GET", "/api/auth/email"): None,
    ("POST", "/api/auth/email"): None,
    ("POST", "/api/auth/email/confirm"): None,
    ("POST", "/api/auth/email/verify"): None,
    ("POST", "/api/auth/email/verify/mail"): None,
}
"""What a script may do, by each route that takes an access token; None for what no script may."""


@pytest.mark.parametrize("contracts", ["v1,path,aliases", "path-enveloped"])
def test_every_route_says_which_scope_it_takes(contracts: str) -> None:
    """A new route is no script's until somebody says so here; in every shape reading and writing are the same two."""
    app = create_app(make_settings("postgresql://localhost/none", api_contracts=contracts))
    routes = [route for route in app.routes if isinstance(route, BearerRoute)]
    said = {(method, route.path): route.script_scope for route in routes for method in route.methods or ()}
    own = {route: scope for route, scope in said.items() if "{user_id}" not in route[1]}
    assert own == {
        route: scope for route, scope in SCOPES.items() if "aliases" in contracts or "/complete" not in route[1]
    }
    for (method, path), scope in said.items():
        if "{user_id}" in path:
            assert scope == (READ if method == "GET" else WRITE), path


@pytest.mark.parametrize("contracts", ["v1,path,aliases", "path-enveloped"])
def test_the_document_says_which_scope_an_operation_takes(contracts: str) -> None:
    """A tool offers a script's token where the route takes one, and nowhere else; both scopes are explained."""
    app = create_app(make_settings("postgresql://localhost/none", api_contracts=contracts))
    document = app.openapi()
    routes = {(m.lower(), it.path): it for it in app.routes if isinstance(it, APIRoute) for m in it.methods or ()}
    taken = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            said = [one["ScriptToken"] for one in operation["security"] if "ScriptToken" in one]
            scope = getattr(routes[method, path], "script_scope", None)
            assert said == ([[scope]] if scope else []), (method, path)
            taken += bool(said)
    assert taken > 5
    described = document["components"]["securitySchemes"]["ScriptToken"]["description"]
    assert all(f"`{scope}`: every" in described for scope in (READ, WRITE))


async def test_no_route_takes_a_token_without_its_scope(service: Service) -> None:
    """Whatever a script asks for without its scope is 403, whatever else is wrong with it, and never 401."""
    async with service(api_contracts="v1,path,aliases") as client:
        ada = await Person.sign_up(client)
        client.event_hooks["response"] = []  # the shapes have errors of their own
        by_scope = {scope: await script_of(ada, scope) for scope in (READ, WRITE)}
        refused = 0
        for route in (route for route in app_of(client).routes if isinstance(route, BearerRoute)):
            path = re.sub(r"{\w+}", str(uuid4()), route.path.replace("{user_id}", ada.user["id"]))
            for scope, script in by_scope.items():
                for method in route.methods or ():
                    answer = await script.send(method, path, content=b"{")
                    is_refused = answer.status_code == 403
                    assert is_refused is (route.script_scope != scope), (method, path, scope, answer.text)
                    assert answer.status_code != 401
                    refused += is_refused
        print(f"refused for their scope: {refused}")
        assert refused > 20
