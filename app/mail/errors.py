"""The errors of mail, each with its status, code and one sentence."""

from http import HTTPStatus
from typing import Self

from app.core.errors import ApiError, ServiceUnavailable, ValidationFailed


class MailIsOff(ApiError):
    """`MAIL_URL` is not set."""

    status = HTTPStatus.NOT_IMPLEMENTED
    code = "MAIL_IS_OFF"
    message = "This service sends no mail."


class MailQueueFull(ServiceUnavailable):
    """As many mails wait as may."""

    code = "MAIL_QUEUE_FULL"
    message = "Too many mails are on their way at the moment. Please try again in a minute."


class InvalidLink(ValidationFailed):
    """One error for whatever is wrong with a link: no 401, on which clients would refresh and send it again."""

    code = "INVALID_LINK"
    message = "The link is not valid for this account, or no longer. Ask for a new one."

    def __init__(self) -> None:
        super().__init__([{"field": "token", "message": "is not valid, or no longer", "code": "invalid_link"}])
        self.detail = self.message

    @classmethod
    def example(cls) -> Self:
        return cls()
