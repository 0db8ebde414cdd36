"""A mail server, and what it has taken."""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from anyio.from_thread import start_blocking_portal
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.waiting import until

logging.getLogger("mail.log").setLevel(logging.WARNING)  # the library's own, which has each line of each mail
LINK = re.compile(r"https://app\.example\.com/(\w+)#token=([\w.-]+)")
PAGE = "https://app.example.com"


class Mailbox:
    """Takes mails, or answers as the test says: `answer` for each step, in the place of 250."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.addressed: list[str] = []
        self.answer: dict[str, list[str]] = {}
        self.before_answer: Any = None

    def _said(self, step: str) -> str | None:
        given = self.answer.get(step)
        return given.pop(0) if given else None

    async def handle_RCPT(  # noqa: N802  # as the library calls it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self._said("rcpt"):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if said := self._said("data"):
            return said
        content = envelope.content
        assert isinstance(content, bytes)
        if self.before_answer:
            await self.before_answer(server)
        self.raw.append(content)
        self.addressed += envelope.rcpt_tos
        message = message_from_bytes(content, policy=SMTPUTF8)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 OK"

    async def has(self, count: int) -> list[EmailMessage]:
        """Wait until so many mails have come, and return them."""
        await until(lambda: len(self.mails) >= count)
        assert len(self.mails) == count, subjects(self.mails)
        return self.mails


def subjects(mails: list[EmailMessage]) -> list[str]:
    return [mail["Subject"] for mail in mails]


def plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body
    text: str = body.get_content()
    return text


def html(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body
    text: str = body.get_content()
    return text


def token_in(mail: EmailMessage, page: str) -> str:
    """Return the token of the link in a mail, which leads to this page."""
    (found,) = LINK.findall(plain(mail))
    assert found[0] == page
    assert f'href="{PAGE}/{page}#token={found[1]}"' in html(mail)
    return str(found[1])


@contextmanager
def listening(connected: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen on this machine in a thread of its own, and yield the port."""
    with start_blocking_portal() as portal:

        async def listen(*, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
            loop = asyncio.get_running_loop()
            async with await loop.create_server(connected, "127.0.0.1", 0, ssl=context) as server:
                task_status.started(server.sockets[0].getsockname()[1])
                await asyncio.Event().wait()

        task, port = portal.start_task(listen)
        try:
            yield port
        finally:
            task.cancel()


@contextmanager
def mail_server(mailbox: Mailbox, *, implicit: ssl.SSLContext | None = None, **options: Any) -> Iterator[int]:
    """Take mails for a mailbox, and yield the port; `tls_context` is what STARTTLS is offered with."""
    settings = {"enable_SMTPUTF8": True, "hostname": "mail.example.test", **options}
    with listening(lambda: SMTP(mailbox, loop=asyncio.get_running_loop(), **settings), implicit) as port:
        yield port


class Says(asyncio.Protocol):
    """A server that says what it is given, line after line of its client's, and then nothing any more."""

    def __init__(self, *answers: bytes, then_close: bool = False) -> None:
        self.answers = [*answers]
        self.then_close = then_close

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._answer()

    def data_received(self, data: bytes) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.answers:
            self.transport.write(self.answers.pop(0))
        if not self.answers and self.then_close:
            self.transport.close()


class Authority:
    """One that signs certificates for this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test authority")])
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._signed(self._name, self._key, is_authority=True).public_bytes(Encoding.PEM))

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return what a server of this name needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        plain_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self._folder / f"{host}.pem"
        file.write_bytes(plain_key + self._signed(name, key, host=host).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *, host: str = "", is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def mail_settings(port: int, **others: Any) -> dict[str, Any]:
    """Return the settings with which a service hands its mails in there."""
    return {
        "mail_url": f"smtp+plain://127.0.0.1:{port}",
        "mail_from": "Tasks <no-reply@tasks.example.test>",
        "service_name": "Example Tasks",
        "frontend_url": PAGE,
        **others,
    }
