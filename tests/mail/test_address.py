"""The address of an account: proven by mailbox and session, changed by a link, and never told to strangers."""

import logging
from uuid import UUID

import httpx
import psycopg
import pytest

from app.auth.user_database import UserDatabase
from tests.mail.conftest import Mailed
from tests.support.clock import FrozenClock
from tests.support.mail import Mailbox, mail_settings, plain, subjects, token_in
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service, app_of, elsewhere


async def verify(person: Person, token: str) -> httpx.Response:
    return await person.send("POST", "/api/auth/email/verify", json={"token": token})


async def confirm(person: Person, token: str) -> httpx.Response:
    return await person.send("POST", "/api/auth/email/confirm", json={"token": token})


async def ask_to_prove(person: Person) -> httpx.Response:
    return await person.send("POST", "/api/auth/email/verify/mail")


async def move(person: Person, email: str, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "proof": {"current_password": password}}
    return await person.send("POST", "/api/auth/email", json=body)


async def address_of(person: Person) -> tuple[str, bool]:
    body = (await person.get("/api/auth/email")).json()
    assert list(body) == ["email", "verified_at"]
    return body["email"], body["verified_at"] is not None


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, answer.json()["code"], error["field"]


INVALID = (422, "INVALID_LINK", "token")


async def test_an_address_is_proven_by_a_link(mailed: Mailed, clock: FrozenClock) -> None:
    """An account's address is known to be its owner's once they followed a link, and a second click does no harm."""
    ada = await mailed.sign_up()
    assert await address_of(ada) == (ada.email, False)
    assert (await ask_to_prove(ada)).status_code == 202
    token = token_in((await mailed.box.has(1))[0], "verify")
    first = await verify(ada, token)
    assert first.status_code == 200
    assert await address_of(ada) == (ada.email, True)
    clock.advance(minutes=10)
    assert (await verify(ada, token)).json() == first.json()
    assert list((await ada.get("/api/auth/me")).json()) == ["id", "email", "name", "created_at"]


async def test_a_strangers_click_proves_nothing_for_whoever_used_their_address(mailed: Mailed) -> None:
    """Who signs up with another's address does not get it proven when its owner follows the link."""
    mallory, owner = await mailed.sign_up(), await mailed.sign_up()
    await ask_to_prove(mallory)
    token = token_in((await mailed.box.has(1))[0], "verify")
    assert (await mailed.client.post("/api/auth/email/verify", json={"token": token})).status_code == 401
    assert refused(await verify(owner, token)) == INVALID
    assert await address_of(mallory) == (mallory.email, False)
    assert await address_of(owner) == (owner.email, False)


async def test_an_account_that_comes_after_another_has_none_of_its_links(mailed: Mailed) -> None:
    """Who signs up with an address that was another account's gets nothing done by the links that went there before."""
    ada = await mailed.sign_up()
    await ask_to_prove(ada)
    await move(ada, new_email())
    proof, _, link = await mailed.box.has(3)
    await ada.send("POST", "/api/auth/me/delete", json={"current_password": PASSWORD})
    bob = await Person.sign_up(mailed.client, email=ada.email)
    assert refused(await verify(bob, token_in(proof, "verify"))) == INVALID
    assert refused(await confirm(bob, token_in(link, "email"))) == INVALID


async def test_a_link_that_cannot_be_used_ends_no_session(mailed: Mailed, clock: FrozenClock) -> None:
    """A client that refreshes on 401 does not send a bad link a second time: it is 422, whatever is wrong with it."""
    ada = await mailed.sign_up()
    auth, user_id = app_of(mailed.client).state.auth, UUID(ada.user["id"])
    fingerprint = auth.fingerprints.of("email", ada.email)
    links = {
        "verify": auth.tokens.issue_verification(user_id, 0, clock(), email=ada.email),
        "change": auth.tokens.issue_change(user_id, 0, clock(), email=new_email(), replaces=fingerprint),
        "reset": auth.tokens.issue_reset(user_id, 0, clock(), email=ada.email),
        "access": ada.access_token,
        "nonsense": "a.b.c",
    }
    for send, good in ((verify, "verify"), (confirm, "change")):
        for name, token in links.items():
            if name != good:
                assert refused(await send(ada, token)) == INVALID, name
    ended = await ada.sign_in()
    await ended.send("POST", "/api/auth/signout", json={})
    for send, good in ((verify, "verify"), (confirm, "change")):
        assert (await send(ended, links[good])).status_code == 401
        assert (await send(ended, "a.b.c")).status_code == 401
    assert (await ended.get("/api/auth/email")).status_code == 401
    for path in ("reset", "password"):
        bodies = {"token": links["verify"], "new_password": PASSWORD, "current_password": PASSWORD}
        answer = await mailed.client.post(
            f"/api/auth/{path}", json=bodies, headers={"Authorization": f"Bearer {links['change']}"}
        )
        assert answer.status_code == 401, "links are good for nothing else"
    clock.advance(minutes=60)
    ada.keep(await ada.refresh())
    assert refused(await confirm(ada, links["change"])) == INVALID
    assert (await verify(ada, links["verify"])).status_code == 200
    clock.advance(hours=23)
    ada.keep(await ada.refresh())
    assert refused(await verify(ada, links["verify"])) == INVALID


async def test_a_link_for_an_address_that_has_changed_since_is_worthless(mailed: Mailed) -> None:
    """An old mailbox proves nothing for the address that came after it, and replaces it by none."""
    ada = await mailed.sign_up()
    await ask_to_prove(ada)
    first, second = new_email(), new_email()
    await move(ada, first)
    await move(ada, second)
    mails = await mailed.box.has(5)
    proof = token_in(mails[0], "verify")
    to_first, to_second = (token_in(mail, "email") for mail in mails if mail["To"] in (first, second))
    assert (await confirm(ada, to_second)).json()["email"] == second
    for answer in (await verify(ada, proof), await confirm(ada, to_first), await confirm(ada, to_second)):
        assert refused(answer) == INVALID
    assert await address_of(ada) == (second, True)


async def test_an_address_is_changed_by_a_link_to_the_new_one(mailed: Mailed) -> None:
    """The new address counts once its mailbox is proven; the old one is told before and after, and not where to."""
    ada = await mailed.sign_up()
    old, new = ada.email, new_email()
    assert (await move(ada, f" {new.upper()}")).status_code == 202
    asked, link = await mailed.box.has(2)
    assert (asked["To"], link["To"]) == (old, new)
    assert await address_of(ada) == (old, False)
    answer = await confirm(ada, token_in(link, "email"))
    assert (answer.status_code, answer.json()["email"]) == (200, new)
    assert await address_of(ada) == (new, True)
    done = (await mailed.box.has(3))[-1]
    assert (done["To"], done["Subject"]) == (old, "Your address at Example Tasks was changed")
    for mail in (asked, done):
        assert new not in mail.as_string()
    assert old not in link.as_string()
    assert (await Person(mailed.client, new).sign_in()).user["id"] == ada.user["id"]
    body = {"email": old, "password": PASSWORD}
    assert (await mailed.client.post("/api/auth/signin", json=body)).status_code == 401


async def test_a_link_to_a_new_address_does_not_tell_the_old_one(mailed: Mailed) -> None:
    """Whoever reads a mail that was meant for another learns no address of the account."""
    ada = await mailed.sign_up()
    await move(ada, new_email())
    _, link = await mailed.box.has(2)
    claims = app_of(mailed.client).state.auth.tokens.read(token_in(link, "email"), "change", mailed.clock())
    assert (claims.email, len(claims.replaces)) == (link["To"], 8)


async def test_nobody_learns_from_an_answer_that_another_has_the_address(mailed: Mailed) -> None:
    """Whether an address has an account only its reader is told, by mail; the old mailbox gets the same."""
    ada, bob = await mailed.sign_up(), await mailed.sign_up()
    taken, free = await move(ada, bob.email), await move(ada, new_email())
    assert (taken.status_code, taken.text) == (free.status_code, free.text)
    first, known, second, link = await mailed.box.has(4)
    assert (known["To"], known["Subject"]) == (bob.email, "You have an account at Example Tasks")
    assert plain(first) == plain(second)
    assert ada.email not in known.as_string() + link.as_string()


async def test_an_address_that_was_taken_meanwhile_stays_with_who_has_it(mailed: Mailed) -> None:
    """Of two who want one address the first has it, and only who reads its mails learns that it is taken."""
    ada, new = await mailed.sign_up(), new_email()
    await move(ada, new)
    _, link = await mailed.box.has(2)
    await Person.sign_up(mailed.client, email=new)
    answer = await confirm(ada, token_in(link, "email"))
    assert (answer.status_code, answer.json()["code"]) == (409, "EMAIL_TAKEN")
    assert await address_of(ada) == (ada.email, False)


async def test_a_change_takes_the_password(mailed: Mailed) -> None:
    """A session that was left open changes no address: a wrong password is 422 and mails nothing."""
    ada = await mailed.sign_up()
    answer = await move(ada, new_email(), "wrong password")
    assert refused(answer) == (422, "WRONG_PASSWORD", "proof")
    for proof in (None, {}, {"current_password": None}, "x"):
        body = {"email": new_email(), "proof": proof}
        assert (await ada.send("POST", "/api/auth/email", json=body)).status_code == 422
    await ask_to_prove(ada)
    assert subjects(await mailed.box.has(1)) == ["Is this your address? - Example Tasks"]


async def test_a_new_password_ends_the_link_to_a_new_address(mailed: Mailed) -> None:
    """The owner who is told of a change chooses a new password, and the change that was asked for is off."""
    ada = await mailed.sign_up()
    await move(ada, new_email())
    _, link = await mailed.box.has(2)
    body = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    ada.keep(await ada.send("POST", "/api/auth/password", json=body))
    assert refused(await confirm(ada, token_in(link, "email"))) == INVALID


async def test_what_changes_at_the_same_moment_is_not_overwritten(
    mailed: Mailed, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link counts for the address and the password that were asked about, not for those of a moment later."""
    ada = await mailed.sign_up()
    await ask_to_prove(ada)
    await move(ada, new_email())
    proof, asked, link = await mailed.box.has(3)
    original = UserDatabase.get_credentials

    for change in ("email = id || '@example.test'", "password_version = password_version + 1"):

        async def then_change(self: UserDatabase, change: str = change) -> object:
            found = await original(self)
            connection.execute(f"UPDATE users SET {change} WHERE id = %s".encode(), (ada.user["id"],))
            return found

        monkeypatch.setattr(UserDatabase, "get_credentials", then_change)
        assert refused(await verify(ada, token_in(proof, "verify"))) == INVALID
        connection.execute("UPDATE users SET email = %s WHERE id = %s", (ada.email, ada.user["id"]))
        assert refused(await confirm(ada, token_in(link, "email"))) == INVALID
        monkeypatch.undo()
        connection.execute("UPDATE users SET email = %s WHERE id = %s", (ada.email, ada.user["id"]))
    assert asked["To"] == ada.email
    assert await address_of(ada) == (ada.email, False)


async def test_the_limits_hold_for_the_signed_in_too(service: Service, port: int, mailbox: Mailbox) -> None:
    """An account is no means to fill strangers' mailboxes, and its owner is not told when one has had enough."""
    limits = {"rate_limits": "on", "rate_limit_mail_account": "2/hour", "rate_limit_mail_client": "7/hour"}
    async with service(**mail_settings(port, **limits)) as started, elsewhere(started) as client:
        ada, bob = await Person.sign_up(client), await Person.sign_up(client)
        victim = new_email()
        for person in (ada, bob, bob):
            assert (await move(person, victim)).status_code == 202
        assert (await move(ada, new_email())).status_code == 202
        assert (await move(ada, new_email())).status_code == 202
        for _ in range(2):
            assert (await ask_to_prove(bob)).status_code == 202
        assert (await ask_to_prove(bob)).status_code == 429
        assert (await move(ada, new_email())).status_code == 429
    assert [mail["To"] for mail in mailbox.mails].count(victim) == 2
    assert [mail["To"] for mail in mailbox.mails].count(ada.email) == 2
    assert [mail["To"] for mail in mailbox.mails].count(bob.email) == 3


async def test_strangers_do_not_keep_an_owner_from_proving_the_address(
    service: Service, port: int, mailbox: Mailbox
) -> None:
    """However often somebody asks for a new password with it."""
    limits = {"rate_limits": "on", "rate_limit_mail_account": "2/hour"}
    async with service(**mail_settings(port, **limits)) as started, elsewhere(started) as client:
        ada = await Person.sign_up(client)
        for _ in range(3):
            await client.post("/api/auth/reset/mail", json={"email": ada.email})
        assert (await ask_to_prove(ada)).status_code == 202
    assert subjects(mailbox.mails)[2:] == ["Is this your address? - Example Tasks"]


async def test_what_happens_to_an_address_is_in_the_trail(mailed: Mailed, trail: list[logging.LogRecord]) -> None:
    """An operator can tell later who proved or changed an address, and whether the mails went out, by id alone."""
    ada = await mailed.sign_up()
    await ask_to_prove(ada)
    await verify(ada, token_in((await mailed.box.has(1))[0], "verify"))
    await move(ada, new_email())
    await confirm(ada, token_in((await mailed.box.has(3))[-1], "email"))
    await mailed.box.has(4)
    await mailed.until_sent()
    told = trail
    assert sorted(record.getMessage() for record in told) == sorted(
        ["signed_up", "email_verified", "email_change_asked", "email_changed", *["mail_sent"] * 4]
    )
    assert {str(vars(record)["user_id"]) for record in told} == {ada.user["id"]}
    assert not any("@" in str(value) for record in told for value in vars(record).values() if value is not record.msg)
