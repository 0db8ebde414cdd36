"""What an operator or another device does in the middle of a sign-up, a new password or a deletion."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app.accounts import repository
from app.sessions import rotation_repository
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import app_of


async def test_an_account_that_is_closed_while_it_is_made_opens_no_session(
    client: httpx.AsyncClient, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who closes an account at once finds nobody signed in."""
    insert = repository.insert_user

    async def insert_and_close(*args: Any, **options: Any) -> Any:
        user = await insert(*args, **options)
        assert user
        connection.execute("UPDATE user_state SET is_active = false WHERE user_id = %s", [user.id])
        return user

    monkeypatch.setattr(repository, "insert_user", insert_and_close)
    answer = await client.post("/api/auth/signup", json={"email": new_email(), "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")


async def test_a_session_that_ends_while_its_password_changes_stays_ended_and_the_password_as_it_was(
    ada: Person, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is signed out in that moment has neither new tokens nor a new password."""
    renew = rotation_repository.renew

    async def end_and_renew(transaction: Any, principal: Any, **options: Any) -> Any:
        connection.execute(
            "INSERT INTO token_denylist (user_id, id, session_id, reason, denied_at, expires_at) "
            "VALUES (%(user)s, %(sid)s, %(sid)s, 'signed_out', now(), now() + interval '1 year')",
            {"user": principal.user_id, "sid": principal.session_id},
        )
        return await renew(transaction, principal, **options)

    monkeypatch.setattr(rotation_repository, "renew", end_and_renew)
    body = {"current_password": PASSWORD, "new_password": "another good one"}
    assert (await ada.send("POST", "/api/auth/password", json=body)).status_code == 401
    assert (await ada.get("/api/auth/me")).status_code == 401
    await ada.sign_in()


async def test_a_deletion_that_somebody_else_has_finished_is_no_error(client: httpx.AsyncClient) -> None:
    """`prune` and `users delete` may finish the same account."""
    gone = uuid4()
    await app_of(client).state.database.transact(lambda transaction: repository.delete_user(transaction, gone))
