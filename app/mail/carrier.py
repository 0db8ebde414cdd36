"""Hands mails in at a server, by SMTP. The only module that knows smtplib."""

import os
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from app.core.mail_settings import MailServer
from app.mail import post
from app.mail.orders import Mail
from app.mail.post import NotSent

_STATUS = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}")  # RFC 3463
_PERMANENT = range(500, 600)
_TOO_SLOW = "the server has not answered in time"


class SmtpCarrier:
    """Hands in one mail at a time, each over a connection of its own. TLS is verified as far as it is used."""

    def __init__(self, server: MailServer, sender: str) -> None:
        self._server = server
        self._sender = sender
        self._hello = sender.partition("@")[2]
        self._context = None if server.tls == "none" else ssl.create_default_context()
        self._link: socket.socket | None = None
        self._is_aborted = False

    def send(self, mail: Mail) -> None:
        """Hand a mail in. Raises: NotSent."""
        self._is_aborted = False
        with self._talking() as smtp:
            options: list[str] = []
            if mail.is_international:
                if not smtp.has_extn("smtputf8"):
                    raise NotSent("the server takes no addresses in Unicode (SMTPUTF8)", final=True)
                options = ["SMTPUTF8", "BODY=8BITMIME"]
            if mail.to is None:
                smtp.rset()
                return
            smtp.sendmail(self._sender, [mail.to], mail.content, options)

    def greet(self) -> None:
        """Connect, greet and sign in, and send nothing. Raises: NotSent."""
        with self._talking():
            pass

    def abort(self) -> None:
        """Cut the connection, whatever the thread waits for there."""
        self._is_aborted = True
        if link := self._link:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _talking(self) -> Iterator[smtplib.SMTP]:
        """Yield a conversation that is encrypted, if it must be, and signed in. Raises: NotSent."""
        smtp = None
        try:
            smtp = _Conversation(self._server, self._hello, self._context, self._keep)
            if self._server.tls == "starttls":
                smtp.starttls(context=self._context)
            if self._server.user and self._server.password:
                smtp.login(self._server.user, self._server.password)
            smtp.ehlo_or_helo_if_needed()
            yield smtp
            with suppress(OSError, smtplib.SMTPException):  # the mail is taken, or nothing was to be sent
                smtp.quit()
        except (OSError, smtplib.SMTPException) as error:
            if self._is_aborted or isinstance(error.__context__, TimeoutError):  # smtplib has its own for that
                raise NotSent(_TOO_SLOW) from error
            raise _explained(error) from error
        finally:
            if smtp:
                smtp.close()
            if self._link:
                self._link.close()
                self._link = None

    def _keep(self, link: socket.socket) -> None:
        """Keep a second descriptor of the connection, by which another thread can cut it."""
        self._link = socket.socket(fileno=os.dup(link.fileno()))
        if self._is_aborted:
            raise TimeoutError


class _Conversation(smtplib.SMTP):
    """Connects with or without TLS, and tells of the connection before the first byte."""

    def __init__(self, server: MailServer, hello: str, context: ssl.SSLContext | None, keep: Any) -> None:
        self._keep = keep
        self._context = context if server.tls == "implicit" else None
        super().__init__(server.host, server.port, hello, post.DEADLINE_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        link: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]  # typeshed leaves it out
        try:
            self._keep(link)
        except TimeoutError:
            link.close()
            raise
        return self._context.wrap_socket(link, server_hostname=host) if self._context else link


def _explained(error: Exception) -> NotSent:
    """Say what is wrong, without what the server says in words: it repeats addresses."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            return _refused("the recipient", *next(iter(error.recipients.values())))
        case smtplib.SMTPResponseException():
            what = next((what for kind, what in _REFUSED.items() if isinstance(error, kind)), "the mail")
            return _refused(what, error.smtp_code, error.smtp_error)
        case ssl.SSLCertVerificationError():
            return NotSent(f"the certificate of the server is not valid: {error.verify_message}")
    said = next((said for kind, said in _TROUBLE.items() if isinstance(error, kind)), None)
    return NotSent(said or f"the server cannot be reached: {getattr(error, 'strerror', None) or type(error).__name__}")


_REFUSED: dict[type[Exception], str] = {
    smtplib.SMTPSenderRefused: "the sender",
    smtplib.SMTPAuthenticationError: "the user or the password",
}
# The first that fits.
_TROUBLE: dict[type[Exception], str] = {
    smtplib.SMTPNotSupportedError: "the server does not offer what is needed: STARTTLS, or AUTH",
    smtplib.SMTPServerDisconnected: "the server has closed the connection",
    smtplib.SMTPException: "the server offers no way of signing in that is known here",
    ssl.SSLError: "TLS with the server fails",
    TimeoutError: _TOO_SLOW,
    socket.gaierror: "the server's name is not known",
}


def _refused(what: str, code: int, said: bytes | str) -> NotSent:
    found = _STATUS.search(said if isinstance(said, bytes) else said.encode())
    status = f" {found[0].decode()}" if found else ""
    return NotSent(f"the server refuses {what}: {code}{status}", final=code in _PERMANENT)
