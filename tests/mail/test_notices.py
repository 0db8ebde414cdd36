"""What the owner of an account is told of, so that a thief cannot stay unseen."""

import logging
from typing import Any

import httpx
import pytest

from tests.mail.conftest import Mailed
from tests.support.mail import Mailbox, mail_settings, plain, subjects
from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of, elsewhere

CHANGED, SIGNED_IN = "Your password at Example Tasks was changed", "A new sign-in at Example Tasks"


async def sign_in(person: Person, **body: Any) -> Person:
    answer = await person.client.post("/api/auth/signin", json={"email": person.email, "password": PASSWORD, **body})
    return Person(person.client, person.email, PASSWORD).keep(answer)


async def change_password(person: Person) -> None:
    body = {"current_password": PASSWORD, "new_password": PASSWORD}
    person.keep(await person.send("POST", "/api/auth/password", json=body))


async def test_a_new_password_is_told(mailed: Mailed) -> None:
    """The owner learns of a new password at once, when it was and what to do, and not who they are."""
    ada = await Person.sign_up(mailed.client, name="Ada Win-a-prize http://prize.example")
    await change_password(ada)
    (mail,) = await mailed.box.has(1)
    assert (mail["Subject"], mail["To"]) == (CHANGED, ada.email)
    assert f"At {mailed.clock():%Y-%m-%d %H:%M} UTC a new password" in plain(mail)
    assert "prize" not in mail.as_string()


async def test_a_sign_in_on_a_new_device_is_told(mailed: Mailed) -> None:
    """A sign-in from nowhere known is told: without a token of the account, on a device that is not signed in."""
    ada = await Person.sign_up(mailed.client, device="Ada's telephone")
    await sign_in(ada, device="Ada's telephone")
    laptop = await sign_in(ada, device="A laptop that <b>you</b> do not know")
    await sign_in(ada, device="Ada's tablet", refresh_token=ada.refresh_token)
    await mailed.until_sent()
    (mail,) = await mailed.box.has(1)
    assert (mail["Subject"], mail["To"]) == (SIGNED_IN, ada.email)
    assert "laptop" not in mail.as_string(), "what a device is called, who signs in says"
    await laptop.send("POST", "/api/auth/signout", json={})
    await sign_in(ada, device="A laptop that <b>you</b> do not know")
    await mailed.box.has(2)
    form = {"username": ada.email, "password": PASSWORD}
    assert (await mailed.client.post("/api/auth/token", data=form)).status_code == 200
    assert subjects(await mailed.box.has(3)) == [SIGNED_IN] * 3


async def test_a_sign_in_that_fails_is_not_told(mailed: Mailed) -> None:
    """Nobody fills a mailbox by guessing passwords."""
    ada = await Person.sign_up(mailed.client, device="Ada's telephone")
    for _ in range(3):
        await mailed.client.post("/api/auth/signin", json={"email": ada.email, "password": "wrong", "device": "x"})
    await change_password(ada)
    assert subjects(await mailed.box.has(1)) == [CHANGED]


@pytest.mark.parametrize("wanted", ["none", "email_changed,signed_in", "password_changed"])
async def test_each_notice_can_be_switched_off(service: Service, port: int, mailbox: Mailbox, wanted: str) -> None:
    """Who runs the service decides which notices go out."""
    async with service(**mail_settings(port, mail_notices=wanted)) as client:
        ada = await Person.sign_up(client)
        await change_password(ada)
        await sign_in(ada, device="another one")
    told = {"password_changed": CHANGED, "signed_in": SIGNED_IN}
    assert sorted(subjects(mailbox.mails)) == sorted(told[name] for name in wanted.split(",") if name in told)


async def test_notices_are_limited_by_kind_and_account(service: Service, port: int, mailbox: Mailbox) -> None:
    """Nobody's mailbox is filled by who has signed up with its address, and no flood hides another kind of notice."""
    limits = {"rate_limits": "on", "rate_limit_mail_account": "2/hour"}
    async with service(**mail_settings(port, **limits)) as started, elsewhere(started) as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        for number in range(4):
            await sign_in(ada, device=f"device {number}")
        for person in (ada, bob):
            await change_password(person)
    assert subjects(mailbox.mails) == [SIGNED_IN, SIGNED_IN, CHANGED, CHANGED]


async def test_a_flood_of_requests_leaves_room_for_notices(
    mailed: Mailed, monkeypatch: pytest.MonkeyPatch, trail: list[logging.LogRecord]
) -> None:
    """Who fills the queue keeps no owner from being told; beyond even that a request succeeds, and the log says so."""
    ada = await mailed.sign_up()
    monkeypatch.setattr("app.mail.post.CAPACITY", 0)
    assert (await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})).status_code == 503
    await change_password(ada)
    assert subjects(await mailed.box.has(1)) == [CHANGED]
    await mailed.until_sent()
    monkeypatch.setattr("app.mail.post.ROOM_FOR_NOTICES", 0)
    await change_password(ada)
    (failed,) = [record for record in trail if record.getMessage() == "mail_failed"]
    assert vars(failed)["reason"] == "too many mails wait"
    assert app_of(mailed.client).state.post.waiting == 0


async def test_without_mail_nothing_is_imported_or_asked(client: httpx.AsyncClient) -> None:
    """Who sends no mail pays nothing for it."""
    assert app_of(client).state.post is None
    assert app_of(client).state.mail_texts is None
