"""Puts a text into the form of a mail: two parts, short lines, and no header that a person could write."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, make_msgid
from typing import NamedTuple
from uuid import UUID

import idna

from app.core.mail_settings import Sender
from app.mail.orders import Kind, Mail
from app.mail.texts import Text


class Recipient(NamedTuple):
    """An address as it is handed in; it is in Unicode if what stands before the @ is."""

    user: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.user}@{self.domain}"

    @property
    def is_international(self) -> bool:
        return not self.user.isascii()


def make_mail(kind: Kind, text: Text, *, sender: Sender, to: str, user_id: UUID | None, now: datetime) -> Mail:
    """Return a mail with this text. It is the same, byte for byte, however often it is handed in."""
    user, _, domain = to.rpartition("@")
    recipient = Recipient(user, idna.encode(domain, uts46=True).decode())
    policy = SMTPUTF8 if recipient.is_international else SMTP
    message = EmailMessage(policy)
    message["Subject"] = text.subject
    message["From"] = Address(sender.name, addr_spec=sender.address)
    message["To"] = Address(username=recipient.user, domain=recipient.domain)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=sender.address.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
    message.set_content(text.plain, cte="quoted-printable")
    message.add_alternative(text.html, subtype="html", cte="quoted-printable")
    return Mail(kind, user_id, recipient.address, message.as_bytes(), recipient.is_international)
