"""Making an account."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from app.accounts import emails
from app.accounts.emails import normalise_email
from tests.support.people import PASSWORD, Person, new_email
from tests.support.server import Service


async def sign_up(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/api/auth/signup", json={"email": new_email(), "password": PASSWORD, **body})


async def test_an_account_comes_with_both_tokens_and_nothing_secret(client: httpx.AsyncClient) -> None:
    """Signing up signs in, and shows the account without anything secret. Source: FR-001, FR-040, FR-041."""
    email = new_email()
    answer = await sign_up(client, email=email, name="Ada")
    assert answer.status_code == 201
    body = answer.json()
    assert body.keys() == {"user", "access_token", "refresh_token", "token_type", "expires_in"}
    assert body["user"].keys() == {"id", "email", "name", "created_at"}
    assert (body["user"]["email"], body["user"]["name"]) == (email, "Ada")
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    assert body["user"]["created_at"].endswith("Z")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", [None, "", "   ", "\u3164", "\u200b\u2800", "\ufe0f\U000e0020"])
async def test_a_name_is_optional_and_null_when_absent(client: httpx.AsyncClient, name: str | None) -> None:
    """A sign-up form need not ask for a name. Source: FR-001."""
    assert (await sign_up(client, name=name)).json()["user"]["name"] is None


@pytest.mark.parametrize(
    "invisible", ["\u200b", "\ufeff", "\u202a", "\u00ad", "\u2060", "\u3164", "\u2800", "\U000e0001", "\0"]
)
async def test_what_shows_nothing_around_an_email_is_not_part_of_it(client: httpx.AsyncClient, invisible: str) -> None:
    """An address that was pasted with something invisible around it is the address: its owner could not see why not."""
    email = new_email()
    answer = await sign_up(client, email=f" {invisible}{email}{invisible} ")
    if invisible == "\0":
        assert answer.status_code == 422
        return
    assert answer.json()["user"]["email"] == email
    for spelled in (email, f"{email}{invisible}"):
        body = {"email": spelled, "password": PASSWORD}
        assert (await client.post("/api/auth/signin", json=body)).status_code == 200
        form = {"grant_type": "password", "username": spelled, "password": PASSWORD}
        assert (await client.post("/api/auth/token", data=form)).status_code == 200


async def test_a_taken_email_is_409_in_any_spelling(client: httpx.AsyncClient) -> None:
    """One mailbox has one account, however its address is written. Source: FR-005, FR-032."""
    name = new_email().partition("@")[0]
    assert (await sign_up(client, email=f"{name}@example.test")).status_code == 201
    for again in (f"{name.upper()}@Example.TEST", f"  {name}@example.test\t", f"{name}＠example.test"):
        answer = await sign_up(client, email=again)
        assert answer.status_code == 409, again
        assert answer.json()["code"] == "EMAIL_TAKEN"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ａda@example.com", "ada@example.com"),
        ("straße@example.com", "strasse@example.com"),
        ("a+b@example.com", "a+b@example.com"),
        ("a@xn--fsqu00a.xn--0zwm56d", "a@例子.测试"),
        ("a@例子.测试", "a@例子.测试"),
        ("a@service.local", "a@service.local"),
        ("ﬁne@example.com", "fine@example.com"),
        ("İ@example.com", "i̇@example.com"),
        ("a" * 250 + "@example.com", None),
        ("Name <a@example.com>", None),
        ("a@localhost", None),
        ("a@@example.com", None),
        ("", None),
        ('"a b"@example.com', None),
    ],
)
def test_an_email_has_one_form(given: str, kept: str | None) -> None:
    """All spellings of an address are one account, and what is no address is refused.

    Source: FR-002.
    """
    assert normalise_email(given) == kept
    if kept:
        assert normalise_email(kept) == kept, "the form of the form is the form"


@pytest.mark.parametrize(
    ("email", "status"),
    [("x" * 60 + "@" + "y" * 63 + "." + "z" * 63 + "." + "w" * 60 + ".com", 201), ("x" * 300 + "@example.com", 422)],
)
async def test_an_email_may_be_254_characters_long(client: httpx.AsyncClient, email: str, status: int) -> None:
    """An address that is too long is told so, never an error of the database."""
    unique = new_email()[:20] + email[20:]
    assert (await sign_up(client, email=unique)).status_code == status


def test_an_email_may_be_sent_in_the_longest_of_its_spellings() -> None:
    """Three code points that become the two bytes of one letter pass as far as 254 bytes go."""
    letter = "\u03b9\u0308\u0301"
    for count, passes in ((124, True), (125, False)):
        email = normalise_email(f"  {letter * count}@b.co\n")
        assert email == ("\u0390" * count + "@b.co" if passes else None)


@pytest.mark.parametrize("text", ["a" + "\u0316\u0301" * 20_000, "\ufdfa" * 20_000, "a@" + "b." * 20_000 + "co"])
def test_an_email_that_is_too_long_is_not_looked_at(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first takes 1.1 s to normalise, the second 0.3 s to validate."""
    monkeypatch.setattr(emails, "unicodedata", None)
    assert normalise_email(text) is None


def test_an_email_that_grows_too_long_is_not_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """One code point becomes 18, at each of which the library looks back and forth."""
    monkeypatch.setattr(emails, "validate_email", None)
    assert normalise_email("\ufdfa" * 300 + "@b.co") is None


@pytest.mark.parametrize(
    ("password", "refused"),
    [
        ("\ufdfa", None),
        ("\ufdfa" * 7, None),
        ("\ufdfa" * 8, "string_too_long"),
        ("e\u0301" * 7, "string_too_short"),
        ("e\u0301" * 128, None),
        ("e\u0301" * 129, "string_too_long"),
        ("\u03b1\u0313\u0300\u0345" * 128, None),
        ("a" * 513, "string_too_long"),
        ("\u0316\u0301" * 15_000, "string_too_long"),
    ],
)
async def test_a_passwords_length_is_that_of_its_normal_form(
    client: httpx.AsyncClient, password: str, refused: str | None
) -> None:
    """Whichever keyboard sends it, the same password is long enough or is not. Source: FR-003."""
    answer = await sign_up(client, password=password)
    assert [e["code"] for e in answer.json().get("errors", [])] == ([refused] if refused else [])
    if not refused:
        again = {"email": answer.json()["user"]["email"], "password": password}
        assert (await client.post("/api/auth/signin", json=again)).status_code == 200


@pytest.mark.parametrize("length", [7, 8, 64, 72, 73, 128, 129])
async def test_a_password_has_8_to_128_code_points(client: httpx.AsyncClient, length: int) -> None:
    """Passphrases may be long, and an emoji counts as one character. Source: FR-003."""
    for character in ("a", "😀"):
        answer = await sign_up(client, password=character * length)
        assert answer.status_code == (201 if 8 <= length <= 128 else 422)


async def test_every_byte_of_a_long_password_counts(client: httpx.AsyncClient) -> None:
    """The end of a long password counts too, though bcrypt alone would drop what follows byte 72."""
    person = await Person.sign_up(client, password="a" * 72 + "X")
    for wrong in ("a" * 72, "a" * 72 + "Y"):
        answer = await client.post("/api/auth/signin", json={"email": person.email, "password": wrong})
        assert answer.status_code == 401
    await person.sign_in()


async def test_composed_and_decomposed_letters_are_one_password(client: httpx.AsyncClient) -> None:
    """A password works on every keyboard, though two systems send é differently."""
    person = await Person.sign_up(client, password="caf\u00e9 au lait")
    answer = await client.post("/api/auth/signin", json={"email": person.email, "password": "cafe\u0301 au lait"})
    assert answer.status_code == 200


async def test_all_mistakes_are_named_at_once_and_nothing_is_echoed(client: httpx.AsyncClient) -> None:
    """A form can mark every wrong field at once, and no answer repeats the password, as FastAPI's own would.

    Source: FR-029.
    """
    answer = await sign_up(client, email="no-address-c4nary", password="c4nary", name="c4nary" * 20)
    assert answer.status_code == 422
    assert {(e["field"], e["code"]) for e in answer.json()["errors"]} == {
        ("email", "email"),
        ("password", "string_too_short"),
        ("name", "string_too_long"),
    }
    assert "c4nary" not in answer.text
    missing = await client.post("/api/auth/signup", json={"password": "c4nary-password"})
    assert [(e["field"], e["code"]) for e in missing.json()["errors"]] == [("email", "missing")]
    assert "c4nary" not in missing.text


@pytest.mark.parametrize("field", ["email", "password", "name"])
@pytest.mark.parametrize("raw", [r"abcdefgh\u0000@b.co", r"abcdefgh\ud800@b.co", "null", "5", "true", "[]"])
async def test_nul_surrogates_and_other_types_are_refused(client: httpx.AsyncClient, field: str, raw: str) -> None:
    """Text that cannot be stored, and a wrong type, are told by the field's name."""
    if (field, raw) == ("name", "null"):
        return  # a name may be null: test_a_name_is_optional_and_null_when_absent
    value = f'"{raw}"' if "@" in raw else raw
    others = {"email": f'"{new_email()}"', "password": '"long enough"', "name": '"Ada"', field: value}
    content = "{" + ",".join(f'"{name}":{text}' for name, text in others.items()) + "}"
    answer = await client.post("/api/auth/signup", content=content)
    assert answer.status_code == 422
    assert [e["field"] for e in answer.json()["errors"]] == [field]


async def test_what_the_server_owns_cannot_be_set(client: httpx.AsyncClient, connection: psycopg.Connection) -> None:
    """Nobody chooses an id, a hash or a date of their account by sending more fields."""
    forced = {"id": "5" * 8, "is_active": False, "token_version": 7, "password_hash": "x", "created_at": "1999-01-01"}
    user = (await sign_up(client, **forced)).json()["user"]
    row = connection.execute(
        "SELECT is_active, token_version, password_hash FROM users JOIN user_state ON user_id = id WHERE id = %s",
        [user["id"]],
    ).fetchone()
    assert row is not None
    assert row[:2] == (True, 0)
    assert row[2].startswith("$bcrypt-sha256$v=2,t=2b,r=4$")
    assert not user["created_at"].startswith("1999")


@pytest.mark.parametrize("password", ["password", "PassWord", "12345678", "qwertyui", "the-email", "the-mailbox"])
async def test_common_passwords_are_turned_away_when_asked_for(service: Service, password: str) -> None:
    """An operator may have common passwords refused, with the reason; nothing else is asked of one."""
    async with service(common_passwords="refuse") as client:
        mailbox = new_email().partition("@")[0]
        tried = {"the-email": f"{mailbox}@example.test", "the-mailbox": mailbox}.get(password, password)
        answer = await sign_up(client, email=f"{mailbox}@example.test", password=tried)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == "common_password"
        assert tried not in answer.json()["detail"].removeprefix("password is one of the most common ones")
        assert (await sign_up(client, password="        b")).status_code == 201
    async with service() as client:
        assert (await sign_up(client, password="12345678")).status_code == 201


async def test_one_email_at_once_makes_one_account(client: httpx.AsyncClient) -> None:
    """Requests at the same moment do not make two accounts of one address."""
    email = new_email()
    answers = await asyncio.gather(*(sign_up(client, email=e) for e in [email, email.upper()] * 5))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 9
