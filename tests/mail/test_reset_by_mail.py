"""A new password by a link that was mailed."""

import logging
from uuid import UUID

import httpx
import psycopg
import pytest

from app.mail.errors import MailQueueFull
from tests.support.authenticator import SIGN_IN, Authenticator, add_passkey, proof_of, sign_in_by, sign_in_options
from tests.support.clock import FrozenClock
from tests.support.mail import PAGE, Mailbox, mail_settings, plain, subjects, token_in
from tests.support.people import PASSWORD, Person, is_signed_in, new_email
from tests.support.server import Service, app_of, elsewhere
from tests.support.waiting import until

NEW = "another battery staple 5"


async def forgot(client: httpx.AsyncClient, email: str) -> httpx.Response:
    return await client.post("/api/auth/reset/mail", json={"email": email})


async def reset(client: httpx.AsyncClient, token: str, new: str = NEW) -> httpx.Response:
    return await client.post("/api/auth/reset", json={"token": token, "new_password": new})


async def test_somebody_who_forgot_the_password_gets_in_again(mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """Whoever reads the mailbox has the account: what was made before is worthless, and the address is proven."""
    ada = await Person.sign_up(mailing)
    other = await ada.sign_in()
    assert (await forgot(mailing, f" {ada.email.upper()}")).status_code == 202
    (mail,) = await mailbox.has(1)
    assert mailbox.addressed[-1] == mail["To"] == ada.email
    token = token_in(mail, "reset")
    assert await is_signed_in(ada), "the link itself changes nothing"
    assert (await reset(mailing, token)).status_code == 200
    for person in (ada, other):
        assert not await is_signed_in(person)
        assert (await person.refresh()).status_code == 401
    assert (await mailing.post("/api/auth/signin", json={"email": ada.email, "password": PASSWORD})).status_code == 401
    ada.password = NEW
    again = await ada.sign_in()
    assert (await again.get("/api/auth/email")).json()["verified_at"]
    assert (await reset(mailing, token, PASSWORD)).status_code == 401, "a link is good once"


async def test_nothing_that_was_made_before_works(service: Service, port: int, mailbox: Mailbox) -> None:
    """A thief who was in the account has planted nothing: no session, script's token or passkey of before is left.

    Source: FR-064.
    """
    async with service(**mail_settings(port, passkeys="on")) as client:
        ada = await Person.sign_up(client)
        planted = await add_passkey(ada, Authenticator(origin=PAGE, domain="app.example.com"))
        by_key = Person(client, ada.email).keep(await sign_in_by(client, planted))
        body = {"name": "x", "scopes": ["tasks:read"], "days": 365, "proof": {"current_password": PASSWORD}}
        made = (await ada.send("POST", "/api/auth/tokens", json=body)).json()
        script = Person(client, ada.email, access_token=made["token"])
        early = planted.sign(await sign_in_options(client))
        proof = await proof_of(by_key, planted, "delete")
        await forgot(client, ada.email)
        mails = await mailbox.has(2)  # that of the passkey before it
        assert (await reset(client, token_in(mails[-1], "reset"))).status_code == 200
        for person in (ada, by_key, script):
            assert (await person.get("/api/tasks")).status_code == 401
        for person in (ada, by_key):
            assert (await person.refresh()).status_code == 401
        for credential in (early, planted.sign(await sign_in_options(client))):
            assert (await client.post(SIGN_IN, json={"credential": credential})).status_code == 401
        assert (await by_key.send("POST", "/api/auth/me/delete", json={"proof": proof})).status_code == 401
        ada.password = NEW
        again = await ada.sign_in()
        assert (await again.get("/api/auth/passkeys")).json() == []
        assert [session["kind"] for session in (await again.get("/api/auth/sessions")).json()] == ["person"]


async def test_of_two_links_the_first_use_ends_both(mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """A link that lies in a mailbox is worthless once another one was used."""
    ada = await Person.sign_up(mailing)
    for _ in range(2):
        await forgot(mailing, ada.email)
    first, second = [token_in(mail, "reset") for mail in await mailbox.has(2)]
    assert (await reset(mailing, second)).status_code == 200
    assert (await reset(mailing, first, PASSWORD)).status_code == 401


async def test_a_scanner_that_follows_a_link_uses_nothing_up(mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """A link still works when a mail scanner has opened it: what is behind the # never leaves the browser."""
    ada = await Person.sign_up(mailing)
    await forgot(mailing, ada.email)
    token = token_in((await mailbox.has(1))[0], "reset")
    for path in ("/api/auth/reset", f"/api/auth/reset?token={token}", f"/reset?token={token}"):
        for method in ("GET", "HEAD"):
            assert (await mailing.request(method, path)).status_code in (404, 405)
    assert (await reset(mailing, token)).status_code == 200


async def test_a_link_is_good_for_an_hour_and_for_the_address(
    mailing: httpx.AsyncClient, mailbox: Mailbox, clock: FrozenClock, connection: psycopg.Connection
) -> None:
    """Who reads an address that the account no longer has gets nothing by an old link."""
    ada = await Person.sign_up(mailing)
    await forgot(mailing, ada.email)
    token = token_in((await mailbox.has(1))[0], "reset")
    connection.execute("UPDATE users SET email = %s WHERE id = %s", (moved := new_email(), ada.user["id"]))
    assert (await reset(mailing, token)).status_code == 401
    connection.execute("UPDATE users SET email = %s WHERE id = %s", (ada.email, ada.user["id"]))
    clock.advance(minutes=60)
    assert (await reset(mailing, token)).status_code == 401
    clock.advance(minutes=-1)
    assert (await reset(mailing, token)).status_code == 200
    assert moved != ada.email


async def test_an_address_that_changes_while_a_link_is_used_keeps_the_password(
    mailing: httpx.AsyncClient, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new password is set for the account that has the link's address at that moment, or for none."""
    ada = await Person.sign_up(mailing)
    auth = app_of(mailing).state.auth
    token = auth.tokens.issue_reset(UUID(ada.user["id"]), 0, auth.clock(), email=ada.email)
    hash_ = type(auth.passwords).hash

    async def move_and_hash(*args: object, **named: object) -> object:
        connection.execute("UPDATE users SET email = %s WHERE id = %s", (new_email(), ada.user["id"]))
        return await hash_(*args, **named)

    monkeypatch.setattr(type(auth.passwords), "hash", move_and_hash)
    assert (await reset(mailing, token)).status_code == 401
    assert await is_signed_in(ada)


async def test_no_mail_is_sent_where_nobody_can_use_it(
    mailing: httpx.AsyncClient, mailbox: Mailbox, connection: psycopg.Connection, trail: list[logging.LogRecord]
) -> None:
    """Strangers get no mail from here, and closed accounts no link; the answer is the same."""
    ada, bob = await Person.sign_up(mailing), await Person.sign_up(mailing)
    connection.execute("UPDATE user_state SET is_active = false WHERE user_id = %s", (bob.user["id"],))
    answers = [await forgot(mailing, email) for email in (new_email(), bob.email, ada.email)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
    assert [mail["To"] for mail in await mailbox.has(1)] == [ada.email]
    await until(lambda: len(trail) == 5)
    told = [(record.getMessage(), vars(record).get("user_id")) for record in trail[2:]]
    assert told == [("mail_withheld", None), ("mail_withheld", None), ("mail_sent", UUID(ada.user["id"]))]


async def test_an_operators_link_proves_no_mailbox(mailing: httpx.AsyncClient) -> None:
    """An operator may hand a link to anybody: using it says nothing of the address."""
    ada = await Person.sign_up(mailing)
    auth = app_of(mailing).state.auth
    assert (await reset(mailing, auth.tokens.issue_reset(UUID(ada.user["id"]), 0, auth.clock()))).status_code == 200
    ada.password = NEW
    assert (await (await ada.sign_in()).get("/api/auth/email")).json() == {"email": ada.email, "verified_at": None}


async def test_the_limits_say_nothing_of_an_account(service: Service, port: int, mailbox: Mailbox) -> None:
    """Who fills somebody's mailbox is stopped, and learns by nothing whether there is an account."""
    limits = {"rate_limits": "on", "rate_limit_mail_account": "2/hour", "rate_limit_mail_client": "7/hour"}
    async with service(**mail_settings(port, **limits)) as started, elsewhere(started) as client:
        ada, nobody = await Person.sign_up(client), new_email()
        known = [await forgot(client, ada.email) for _ in range(3)]
        unknown = [await forgot(client, nobody) for _ in range(3)]
        assert {(answer.status_code, answer.text) for answer in known + unknown} == {(202, known[0].text)}
        assert (await forgot(client, new_email())).status_code == 202
        assert (await forgot(client, nobody)).status_code == 429
        assert (await forgot(client, ada.email)).status_code == 429
    assert subjects(mailbox.mails) == ["Choose a new password for Example Tasks"] * 2


async def test_a_full_queue_is_told_before_anything_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, service: Service, port: int, mailbox: Mailbox
) -> None:
    """Who asks while too many mails wait is told to ask again, and that did not count."""
    limits = {"rate_limits": "on", "rate_limit_mail_client": "1/hour", "rate_limit_mail_account": "1/hour"}
    async with service(**mail_settings(port, **limits)) as started, elsewhere(started) as client:
        ada = await Person.sign_up(client)
        monkeypatch.setattr("app.mail.post.CAPACITY", 0)
        for email in (ada.email, new_email()):
            answer = await forgot(client, email)
            assert (answer.status_code, answer.json()["code"]) == (503, "MAIL_QUEUE_FULL")
        monkeypatch.undo()
        monkeypatch.setattr("app.mail.post.Post.require_room", _Full().at_the_second_look)
        assert (await forgot(client, ada.email)).status_code == 503
        monkeypatch.undo()
        assert (await forgot(client, ada.email)).status_code == 202
        await mailbox.has(1)


class _Full:
    """A queue that has filled up while the limits were counted."""

    looks = 0

    def at_the_second_look(self, *_: object) -> None:
        self.looks += 1
        if self.looks == 2:
            raise MailQueueFull(retry_after_seconds=60)


async def test_without_mail_every_route_says_so(client: httpx.AsyncClient, ada: Person) -> None:
    """A page finds out that it need not offer a link, and whoever is not signed in learns nothing more than that."""
    routes = [
        ("POST", "/api/auth/reset/mail", False),
        ("GET", "/api/auth/email", True),
        ("POST", "/api/auth/email", True),
        ("POST", "/api/auth/email/confirm", True),
        ("POST", "/api/auth/email/verify", True),
        ("POST", "/api/auth/email/verify/mail", True),
    ]
    for method, path, bearer in routes:
        answer = await ada.send(method, path, content=b"{not read")
        assert (answer.status_code, answer.json()["code"]) == (501, "MAIL_IS_OFF")
        if bearer:
            assert (await client.request(method, path)).status_code == 401


async def test_it_is_said_in_plain_words_and_in_html_alike(mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """Whoever reads mail without HTML reads the same, and nothing is fetched from anywhere."""
    ada = await Person.sign_up(mailing)
    await forgot(mailing, ada.email)
    (mail,) = await mailbox.has(1)
    assert mail["From"] == "Tasks <no-reply@tasks.example.test>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"{PAGE}/reset#token=" in plain(mail)
