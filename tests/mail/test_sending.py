"""Handing mails in: encrypted, again when that may help, bounded, and told when it fails."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from app.accounts import repository as accounts
from app.core.clock import stopwatch
from app.core.database.pool import DatabaseUnavailable
from app.mail.orders import Mail
from app.mail.post import Post
from tests.mail.conftest import Mailed
from tests.support.mail import (
    Authority,
    Mailbox,
    Says,
    listening,
    mail_server,
    mail_settings,
    plain,
    token_in,
)
from tests.support.people import PASSWORD, Person
from tests.support.server import Service, app_of
from tests.support.settings import ROOT
from tests.support.waiting import until

NOTICE = "password_changed"
SOON = (0.05, 0.05, 0.05)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after a moment, and wait for a server that hangs half a second."""
    monkeypatch.setattr("app.mail.post.RETRY_SECONDS", SOON)
    monkeypatch.setattr("app.mail.post.DEADLINE_SECONDS", 0.25)


async def ask(service: Service, trail: list[logging.LogRecord], **settings: Any) -> list[tuple[str, str | None]]:
    """Let a service with these settings mail a link, and return what has become of it."""
    async with service(**settings) as client:
        ada = await Person.sign_up(client)
        await client.post("/api/auth/reset/mail", json={"email": ada.email})
        post = app_of(client).state.post
        await until(lambda: post.waiting == 0)
        told = [vars(record) for record in trail if record.getMessage().startswith("mail_")]
        assert not any(ada.email in str(line) for line in told)
        assert (await ada.get("/api/tasks")).status_code == 200
    return [(line["msg"], line["reason"]) if "reason" in line else (line["msg"], None) for line in told]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_mail_is_handed_in_encrypted_and_by_whom_the_server_knows(
    service: Service, trail: list[logging.LogRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A provider takes mails over TLS, with the user and the password of the URL."""
    authority, mailbox, asked = Authority(tmp_path), Mailbox(), []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = authority.context_for("localhost")

    def authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        asked.append((data.login, data.password, session.ssl is not None))
        return AuthResult(success=True)

    how: dict[str, Any] = {"tls_context": context, "require_starttls": True} if scheme == "smtp" else {}
    auth = {"authenticator": authenticate, "auth_require_tls": scheme == "smtp"}
    with mail_server(mailbox, implicit=None if how else context, **how, **auth) as port:
        url = f"{scheme}://me:p%40ss@localhost:{port}"
        assert await ask(service, trail, **mail_settings(port, mail_url=url)) == [("mail_sent", None)]
    assert asked == [(b"me", b"p@ss", scheme == "smtp")]
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize(
    ("scheme", "offers", "host", "reason"),
    [
        ("smtp", "nothing", "localhost", "the server does not offer what is needed: STARTTLS, or AUTH"),
        ("smtp", "STARTTLS", "elsewhere.example", "the certificate of the server is not valid: Hostname mismatch"),
        ("smtps", "TLS", "elsewhere.example", "the certificate of the server is not valid: Hostname mismatch"),
        ("smtps", "nothing", "localhost", "TLS with the server fails"),
        ("smtp", "unknown", "localhost", "the certificate of the server is not valid: unable to get local issuer"),
    ],
)
async def test_nothing_is_handed_in_where_somebody_may_be_on_the_way(
    service: Service,
    trail: list[logging.LogRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stack: ExitStack,
    scheme: str,
    offers: str,
    host: str,
    reason: str,
) -> None:
    """Who takes STARTTLS out of the answer, or has another's certificate, gets neither a password nor a mail."""
    authority, mailbox, signed_in = Authority(tmp_path), Mailbox(), []
    if offers != "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = authority.context_for(host)

    def authenticate(*given: Any) -> AuthResult:
        signed_in.append(given)
        return AuthResult(success=True)

    options: dict[str, Any] = {
        "authenticator": authenticate,
        "auth_require_tls": False,
        "tls_context": context if offers in ("STARTTLS", "unknown") else None,
    }
    port = stack.enter_context(mail_server(mailbox, implicit=context if offers == "TLS" else None, **options))
    told = await ask(service, trail, **mail_settings(port, mail_url=f"{scheme}://me:pass@localhost:{port}"))
    assert [event for event, _ in told] == ["mail_delayed"] * 3 + ["mail_failed"]
    assert all(why and why.startswith(reason) for _, why in told), told
    assert (mailbox.mails, signed_in) == ([], [])


async def test_a_server_that_asks_for_patience_is_asked_again(mailed: Mailed) -> None:
    """A mail that cannot be taken now comes a little later, and once."""
    mailed.box.answer = {"rcpt": ["450 4.2.1 Busy", "421 4.3.2 Closing"], "data": ["451 4.7.1 Greylisted"]}
    ada = await mailed.sign_up()
    await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
    (mail,) = await mailed.box.has(1)
    assert token_in(mail, "reset")
    await mailed.until_sent()
    assert len(mailed.box.mails) == 1


@pytest.mark.parametrize(
    ("step", "said", "reason"),
    [
        ("rcpt", "550 5.1.1 <{}> unknown", "the server refuses the recipient: 550 5.1.1"),
        ("data", "554 5.7.1 Spam", "the server refuses the mail: 554 5.7.1"),
    ],
)
async def test_a_mail_that_is_refused_for_good_is_given_up_at_once(
    service: Service,
    trail: list[logging.LogRecord],
    mailbox: Mailbox,
    port: int,
    step: str,
    said: str,
    reason: str,
) -> None:
    """Nobody is bothered again with what was refused, and an operator reads why, without an address."""
    mailbox.answer = {step: [said.format("ada@example.test")]}
    assert await ask(service, trail, **mail_settings(port)) == [("mail_failed", reason)]


class Tarpit(Says):
    """A server that goes on greeting, byte by byte, so that no single wait is long."""

    def _answer(self) -> None:
        self.transport.write(b"220-")
        self._drip()

    def _drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"x\r\n220-")
            asyncio.get_running_loop().call_later(0.05, self._drip)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Tarpit, "the server has not answered in time"),
        (Says, "the server has not answered in time"),
        (lambda: Says(b"421 4.3.2 Too many\r\n"), "the server refuses the mail: 421 4.3.2"),
        (lambda: Says(b"", then_close=True), "the server has closed the connection"),
        (
            lambda: Says(b"220 me\r\n", b"250-me\r\n250 HELP\r\n", then_close=True),
            "the server has closed the connection",
        ),
        (lambda: Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server refuses the mail: -1"),
        (None, "the server cannot be reached: Connection refused"),
    ],
    ids=["tarpit", "silent", "421", "closes", "closes later", "no SMTP", "nobody"],
)
async def test_a_server_that_does_not_work_is_given_up_after_four_tries(
    service: Service,
    trail: list[logging.LogRecord],
    stack: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    server: Any,
    reason: str,
) -> None:
    """A mail is tried four times, each for a bounded time, and the requests go on meanwhile."""
    if reason.endswith("in time"):
        monkeypatch.setattr("app.mail.post.DEADLINE_SECONDS", 0.25)
    port = stack.enter_context(listening(server)) if server else 9
    told = await ask(service, trail, **mail_settings(port))
    assert told == [("mail_delayed", reason)] * 3 + [("mail_failed", reason)]


async def test_a_server_that_dies_before_it_says_yes_gets_the_same_mail_again(mailed: Mailed) -> None:
    """A mail may come twice, but is never lost, and mailboxes know both by their Message-ID for one."""
    deaths = 0

    async def die_once(server: SMTP) -> None:
        nonlocal deaths
        deaths += 1
        if deaths == 1:
            mailed.box.raw.append(b"taken, not said")
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            raise ConnectionResetError

    mailed.box.before_answer = die_once
    ada = await mailed.sign_up()
    await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
    (mail,) = await mailed.box.has(1)
    assert deaths == 2
    assert mail["Message-ID"]
    assert len(mailed.box.raw) == 2


async def test_what_waits_is_sent_when_the_service_stops(
    service: Service, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox, port: int
) -> None:
    """An update of the service loses no mail: what waits, also for a later try, is sent before the process ends."""
    monkeypatch.setattr("app.mail.post.RETRY_SECONDS", (3600,) * 3)
    mailbox.answer = {"rcpt": ["450 4.2.1 Busy"]}
    async with service(**mail_settings(port)) as client:
        ada = await Person.sign_up(client)
        await client.post("/api/auth/reset/mail", json={"email": ada.email})
        post = app_of(client).state.post
        await until(lambda: bool(post._later))
        for _ in range(5):
            await client.post("/api/auth/reset/mail", json={"email": ada.email})
    assert len(mailbox.mails) == 6


async def test_what_cannot_be_sent_at_a_stop_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch, trail: list[logging.LogRecord]
) -> None:
    """A service that stops tries once more what waits, does not wait for a later try, and says what was lost."""
    monkeypatch.setattr("app.mail.post.RETRY_SECONDS", (3600,) * 3)
    async with service(**mail_settings(9)) as client:
        ada = await Person.sign_up(client)
        await client.post("/api/auth/reset/mail", json={"email": ada.email})
        post = app_of(client).state.post
        await until(lambda: bool(post._later))
        began = stopwatch()
    assert stopwatch() - began < 5
    assert [(line.getMessage(), vars(line)["reason"]) for line in trail[1:]] == [
        ("mail_delayed", "the server cannot be reached: Connection refused"),
        ("mail_failed", "the server cannot be reached: Connection refused"),
    ]


async def test_a_stop_does_not_wait_for_ever(
    service: Service, monkeypatch: pytest.MonkeyPatch, trail: list[logging.LogRecord]
) -> None:
    """A mail server that hangs holds up no update; what was lost by that is in the log."""
    monkeypatch.setattr("app.mail.post.STOP_SECONDS", 0.2)
    monkeypatch.setattr("app.mail.post.DEADLINE_SECONDS", 3)
    with listening(Says) as port:
        async with service(**mail_settings(port)) as client:
            for person in [await Person.sign_up(client) for _ in range(3)]:
                await client.post("/api/auth/reset/mail", json={"email": person.email})
            post = app_of(client).state.post
            await until(lambda: post.waiting == 3 and post._jobs.qsize() == 2)
            began = stopwatch()
        assert stopwatch() - began < 3
    told = [vars(record) for record in trail if record.getMessage() == "mail_failed"]
    assert [line["reason"] for line in told] == ["the service has stopped"] * 3


async def test_a_mail_waits_while_the_database_is_away(mailed: Mailed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was asked for comes when the database is back."""
    ada, failures = await mailed.sign_up(), 2
    select = accounts.select_account

    async def fail_twice(*given: Any, **named: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise DatabaseUnavailable
        return await select(*given, **named)

    monkeypatch.setattr(accounts, "select_account", fail_twice)
    await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
    assert token_in((await mailed.box.has(1))[0], "reset")


async def test_one_mail_that_cannot_be_made_stops_no_other(
    mailed: Mailed, monkeypatch: pytest.MonkeyPatch, trail: list[logging.LogRecord]
) -> None:
    """Whatever goes wrong with a mail, those behind it are sent."""
    ada = await mailed.sign_up()

    def fail(*given: Any, **named: Any) -> Any:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("app.mail.writer.make_mail", fail)
        await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
        await mailed.until_sent()
    await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
    await mailed.box.has(1)
    assert [vars(r)["reason"] for r in trail if r.getMessage() == "mail_failed"] == ["RuntimeError"]


async def sent_to(mailed: Mailed, email: str) -> None:
    await Person.sign_up(mailed.client, email=email)
    assert (await mailed.client.post("/api/auth/reset/mail", json={"email": email})).status_code == 202


async def test_addresses_in_unicode_get_their_mail(mailed: Mailed) -> None:
    """Who has an address in their own script gets mail: by SMTPUTF8 where it must be, and else as ASCII."""
    tag = uuid4().hex[:12]
    for email in (f"grün{tag}@bücher.example", f"ada{tag}@bücher.example"):
        await sent_to(mailed, email)
    unicode_, ascii_ = await mailed.box.has(2)
    assert mailed.box.addressed == [f"grün{tag}@xn--bcher-kva.example", f"ada{tag}@xn--bcher-kva.example"]
    assert token_in(unicode_, "reset")
    assert ascii_["To"] == f"ada{tag}@xn--bcher-kva.example"
    mailed.box.raw[1].decode("ascii")


async def test_a_server_without_unicode_is_not_asked_for_it(
    service: Service, trail: list[logging.LogRecord], mailbox: Mailbox
) -> None:
    """A mail that the server cannot take is given up and told, and never sent to an address that looks similar."""
    with mail_server(mailbox, enable_SMTPUTF8=False) as port:
        async with service(**mail_settings(port)) as client:
            await sent_to(Mailed(client, mailbox, None), f"grün{uuid4().hex}@example.test")  # type: ignore[arg-type]
            post = app_of(client).state.post
            await until(lambda: post.waiting == 0)
    (line,) = [vars(record) for record in trail if record.getMessage() == "mail_failed"]
    assert line["reason"] == "the server takes no addresses in Unicode (SMTPUTF8)"
    assert mailbox.addressed == []


HOSTILE = [
    "a\r\nbcc:victim@example.test",
    "a%0d%0abcc:victim@example.test",
    "a\nto:victim@example.test",
    '"a\r\n b"@example.test',
    "<a@example.test>\r\n",
    "a@example.test,victim@example.test",
    "a@example.test\u2028bcc:victim",
    "victim@example.test\r\n.\r\nMAIL FROM:<a@b.test>",
]


async def test_no_address_and_no_name_writes_a_header(mailed: Mailed) -> None:
    """Whatever people write into a name or an address, a mail has our headers, one recipient and our text."""
    for text in HOSTILE:
        answer = await mailed.client.post("/api/auth/reset/mail", json={"email": text})
        assert answer.status_code in (202, 422)
    names = [*HOSTILE, "x\r\nSubject: Prize\r\n\r\nClick http://prize.example", "=?utf-8?q?prize?="]
    people = []
    for name in names:
        people.append(await Person.sign_up(mailed.client, name=name))
        await mailed.client.post("/api/auth/reset/mail", json={"email": people[-1].email})
    mails = await mailed.box.has(len(names))
    assert sorted(mailed.box.addressed) == sorted(person.email for person in people)  # several are sent at once
    for mail in mails:
        assert sorted(mail.keys()) == sorted(
            [
                *("Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"),
                *("MIME-Version", "Content-Type"),
            ]
        )
        assert "prize" not in mail.as_string().lower()
        assert "victim" not in mail.as_string().lower()


async def test_no_line_is_longer_than_mail_allows(service: Service, port: int, mailbox: Mailbox) -> None:
    """No server on the way breaks or refuses a mail, however long an address, a name of a service or a link is."""
    long_host = ".".join(["a" * 60] * 3)
    name = {"service_name": "Ünïcödé " * 7, "mail_from": f"{'Ä' * 60} <no-reply@{'b' * 60}.example>"}
    async with service(**mail_settings(port, **name)) as client:
        for local in ("x" * 50, "ü" * 20):
            ada = await Person.sign_up(client, email=f"{local}{uuid4().hex[:10]}@{long_host}")
            await client.post("/api/auth/reset/mail", json={"email": ada.email})
            body = {"email": f"{local}{uuid4().hex[:10]}@{long_host}", "proof": {"current_password": PASSWORD}}
            await ada.send("POST", "/api/auth/email", json=body)
    assert len(mailbox.raw) == 6
    longest = max(len(line) for raw in mailbox.raw for line in raw.split(b"\r\n"))
    print(f"longest line of a mail: {longest} bytes")
    assert longest <= 998
    bodies = [raw.partition(b"\r\n\r\n")[2] for raw in mailbox.raw]
    assert max(len(line) for body in bodies for line in body.split(b"\r\n")) <= 78
    assert all(b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"") for raw in mailbox.raw)


async def test_a_dot_at_the_beginning_of_a_line_ends_no_mail(mailed: Mailed) -> None:
    """A text with a line that is a dot arrives whole."""
    app = app_of(mailed.client)
    app.state.mail_texts._files["reset.txt"] = "Subject: S\n\nBefore\n\n.\n\nGo:\n$link\n\nAfter"
    ada = await mailed.sign_up()
    await mailed.client.post("/api/auth/reset/mail", json={"email": ada.email})
    assert plain((await mailed.box.has(1))[0]).startswith("Before\r\n\r\n.\r\n\r\nGo:")


HANGS = """
import asyncio, threading
from app.mail import post
from app.mail.orders import Mail

class Carrier:
    def send(self, mail):
        began.set()
        threading.Event().wait(600)  # as looking up a name does, which nothing cuts off

    def abort(self):
        pass

class Writer:
    async def write(self, order):
        return [Mail("test", None, "ada@example.com", b"", False)]

async def main():
    waiting = post.Post()
    waiting.start(Writer(), Carrier(), lambda *said: print(said[0]))
    waiting.put(None)
    while not began.is_set():
        await asyncio.sleep(0.01)
    await waiting.close()

began, post.STOP_SECONDS = threading.Event(), 0.1
asyncio.run(main())
"""


def test_a_mail_server_that_hangs_does_not_keep_the_process() -> None:
    """Not even where connecting cannot be cut off: whatever stops the process need not kill it."""
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=ROOT, capture_output=True, text=True, timeout=15, check=True
    )
    assert done.stdout == "mail_failed\n"


async def test_a_mail_to_nobody_takes_as_long_as_one_that_is_sent() -> None:
    """Nobody can tell by the moment of their own mail whether the one before it was to an account."""
    done: list[float] = []

    class Relay:
        def send(self, mail: Mail) -> None:
            time.sleep(0.2 if mail.to else 0)

        def abort(self) -> None: ...

    async def write(order: object) -> list[Mail]:
        raise AssertionError

    post = Post()
    post.start(SimpleNamespace(write=write), Relay(), lambda *told: done.append(stopwatch()))
    try:
        for to in ("ada@example.com", None):
            post._add(Mail("reset", None, to, b"", is_international=False))
        await until(lambda: post.waiting == 0)
    finally:
        await post.close()
    assert done[1] - done[0] >= 0.19
