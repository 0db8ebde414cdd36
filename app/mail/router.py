"""`/api/auth`: a forgotten password, and the e-mail address of one's own account."""

from http import HTTPStatus

from starlette.responses import Response

from app.accounts.errors import PROOF_ERRORS, EmailTaken
from app.auth.dependencies import BEARER_ERRORS, AuthDep, ClientAddress, UserDb
from app.core.errors import BODY_ERRORS, TooManyRequests
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.mail import service
from app.mail.dependencies import BearerMailRoute, MailRoute, PostDep
from app.mail.errors import InvalidLink, MailIsOff, MailQueueFull
from app.mail.schemas import AddressRead, ChangeBody, EmailBody, LinkBody
from app.sessions.schemas import Detail

public = make_router(prefix="/api/auth", tag="auth", route_class=MailRoute)
router = make_router(prefix="/api/auth", tag="auth", route_class=BearerMailRoute)

_ASKING = (TooManyRequests, MailIsOff, MailQueueFull)


@public.post(
    "/reset/mail",
    status_code=HTTPStatus.ACCEPTED,
    summary="Forgot my password",
    response_model=Detail,
    responses=error_responses(*BODY_ERRORS, *_ASKING),
)
async def mail_reset_link(body: EmailBody, auth: AuthDep, post: PostDep, address: ClientAddress) -> Response:
    """Mails a link for a new password to the address, if an account has it. The answer is the same if none has.

    The link is good for an hour and one use. What is in it goes to `/api/auth/reset`.
    """
    await service.ask_for_reset(auth, post, address, email=body.email)
    return _accepted("If this address has an account, a link for a new password is on its way to it.")


@router.get(
    "/email",
    summary="Show my e-mail address",
    response_model=AddressRead,
    responses=error_responses(*BEARER_ERRORS, MailIsOff),
)
async def show_email(db: UserDb, auth: AuthDep) -> Response:
    """Returns the address of the account, and when it was proven."""
    return json_response(await service.show_address(auth, db))


@router.post(
    "/email",
    status_code=HTTPStatus.ACCEPTED,
    summary="Change my e-mail address",
    response_model=Detail,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS, *_ASKING),
)
async def change_email(body: ChangeBody, db: UserDb, auth: AuthDep, post: PostDep, address: ClientAddress) -> Response:
    """Mails a link to the new address, and a notice to the old one, which stays the account's until the link is used.

    The answer is the same if another account has the new address: its owner is told so by mail. The link is good for an
    hour, and until the password changes or this account is signed out everywhere.
    """
    await service.ask_for_change(auth, post, db, address, email=body.email, proof=body.proof.given)
    return _accepted("A link is on its way to the new address. The old one stays until you follow it.")


@router.post(
    "/email/confirm",
    summary="Confirm my new e-mail address",
    response_model=AddressRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, InvalidLink, EmailTaken, MailIsOff),
)
async def confirm_email(body: LinkBody, db: UserDb, auth: AuthDep) -> Response:
    """Takes the token of the link that was mailed to the new address, which is proven by that.

    A link that cannot be used is 422, whatever is wrong with it: it expired, or it is of another account or address.
    """
    return json_response(await service.confirm_change(auth, db, token=body.token))


@router.post(
    "/email/verify/mail",
    status_code=HTTPStatus.ACCEPTED,
    summary="Ask for a link that proves my e-mail address",
    response_model=Detail,
    responses=error_responses(*BEARER_ERRORS, *_ASKING),
)
async def mail_verification_link(db: UserDb, auth: AuthDep, post: PostDep, address: ClientAddress) -> Response:
    """Mails a link to the account's address, which is good for a day."""
    await service.ask_for_verification(auth, post, db, address)
    return _accepted("A link is on its way to your address.")


@router.post(
    "/email/verify",
    summary="Prove my e-mail address",
    response_model=AddressRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, InvalidLink, MailIsOff),
)
async def verify_email(body: LinkBody, db: UserDb, auth: AuthDep) -> Response:
    """Takes the token of the link, together with the access token of the account whose address it proves.

    A link that cannot be used is 422, whatever is wrong with it: it expired, or it is of another account or address.
    """
    return json_response(await service.verify(auth, db, token=body.token))


def _accepted(sentence: str) -> Response:
    return json_response({"detail": sentence}, HTTPStatus.ACCEPTED)
