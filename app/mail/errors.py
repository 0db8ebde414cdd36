"""The errors of mail, each with its status, code and one sentence."""

from http import HTTPStatus

from app.core.errors import ApiError, FieldRefused, ServiceUnavailable


class MailIsOff(ApiError):
    """`MAIL_URL` is not set."""

    status = HTTPStatus.NOT_IMPLEMENTED
    code = "MAIL_IS_OFF"
    message = "This service sends no mail."


class MailQueueFull(ServiceUnavailable):
    """As many mails wait as may."""

    code = "MAIL_QUEUE_FULL"
    message = "Too many mails are on their way at the moment. Please try again in a minute."


class InvalidLink(FieldRefused):
    """One error for whatever is wrong with a link: no 401, on which clients would refresh and send it again."""

    code = "INVALID_LINK"
    message = "The link is not valid for this account, or no longer. Ask for a new one."
    field = "token"
    reason = "is not valid, or no longer"
