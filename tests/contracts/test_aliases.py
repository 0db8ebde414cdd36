"""The contract `aliases`: what public frontends call, beside the usual names."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.main import create_app
from tests.support.documents import document_of
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service
from tests.support.settings import make_settings


@pytest.fixture(params=["aliases", "aliases,v1,path", "path-enveloped,aliases"])
async def client(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that mounts the aliases, alone or beside others."""
    async with service(api_contracts=request.param) as client:
        yield client


async def test_register_login_and_logout_are_what_they_are_called(client: httpx.AsyncClient) -> None:
    """A frontend that says register, login and logout works as one that says sign up, sign in and sign out."""
    email = new_email()
    body = {"email": email, "password": PASSWORD}
    registered = await client.post("/api/auth/register", json={**body, "name": "Grace"})
    assert (registered.status_code, registered.json()["user"]["name"]) == (201, "Grace")
    assert (await client.post("/api/auth/register", json=body)).json()["code"] == "EMAIL_TAKEN"
    as_json_or_form: list[dict[str, Any]] = [{"json": body}, {"data": {"username": email, "password": PASSWORD}}]
    for sent in as_json_or_form:
        person = Person(client, email).keep(await client.post("/api/auth/login", **sent))
        assert (await person.get("/api/auth/me")).json() == registered.json()["user"]
        gone = await person.send("POST", "/api/auth/logout")
        assert (gone.status_code, gone.json()) == (200, {"detail": "Signed out."})
        assert (await person.get("/api/auth/me")).status_code == 401
    wrong = await client.post("/api/auth/login", json={**body, "password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "INVALID_CREDENTIALS")
    assert isinstance(wrong.json()["detail"], str)


async def test_the_access_token_is_called_token_too(client: httpx.AsyncClient) -> None:
    """A frontend that reads `token` finds it in every answer that has an access token."""
    person = await Person.sign_up(client)
    body = {"email": person.email, "password": PASSWORD}
    form = {"grant_type": "password", "username": person.email, "password": PASSWORD}
    answers = [
        await client.post("/api/auth/signin", json=body),
        await client.post("/api/auth/login", json=body),
        await client.post("/api/auth/signin", json=body | {"cookie": True}),
        await client.post("/api/auth/token", data=form),
        await client.post("/api/auth/register", json=body | {"email": new_email()}),
        await client.post("/api/auth/signup", json=body | {"email": new_email()}),
        await person.refresh(),
    ]
    person.keep(answers[-1])
    change = {"current_password": PASSWORD, "new_password": PASSWORD}
    answers.append(await person.send("POST", "/api/auth/password", json=change))
    for answer in answers:
        assert answer.is_success, answer.text
        assert answer.json()["token"] == answer.json()["access_token"]
    refreshed = {"grant_type": "refresh_token", "refresh_token": answers[-1].json()["refresh_token"]}
    assert "token" in (await client.post("/api/auth/token", data=refreshed)).json()


async def test_complete_is_toggle(client: httpx.AsyncClient) -> None:
    """A frontend ticks a task under the name that most use. (What follows from a body: `test_every_shape.py`.)"""
    person = await Person.sign_up(client)
    task = await person.add_task()
    answer = await person.send("PATCH", f"/api/tasks/{task['id']}/complete")
    assert answer.json() == (await person.get(f"/api/tasks/{task['id']}")).json()
    assert answer.json()["completed"] is True


@pytest.mark.parametrize("others", ["", "v1", "path", "path-enveloped", "v1,path"])
def test_no_document_tells_of_them(others: str) -> None:
    """Who begins anew reads the usual names alone."""
    named = list(filter(None, others.split(",")))
    assert document_of(*named, "aliases") == document_of(*named)


@pytest.mark.parametrize("names", ["aliases,path", "path,aliases"])
def test_login_is_one_route(names: str) -> None:
    """With `path` beside it, `login` is the one that its document describes."""
    app = create_app(make_settings("postgresql://localhost/none", api_contracts=names))
    login = [route for route in app.routes if getattr(route, "path", "") == "/api/auth/login"]
    assert len(login) == 1
    assert "/api/auth/login" in app.openapi()["paths"]


async def test_without_it_nothing_of_it_is_there(client: httpx.AsyncClient, service: Service) -> None:
    """The usual API is not changed by what it could be asked for."""
    async with service() as plain:
        person = await Person.sign_up(plain)
        task = await person.add_task()
        assert (await person.send("PATCH", f"/api/tasks/{task['id']}/complete")).status_code == 404
        assert "token" not in (await person.refresh()).json()
        for name in ("register", "login", "logout"):
            assert (await person.send("POST", f"/api/auth/{name}", json={})).status_code == 404
