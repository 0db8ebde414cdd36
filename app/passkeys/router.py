"""`/api/auth/passkeys`: signing in by a passkey, the user's own passkeys, and what a proof by one signs."""

from http import HTTPStatus

from starlette.responses import Response

from app.accounts.errors import PROOF_ERRORS, PasskeysAreOff
from app.accounts.schemas import SignedInRead
from app.auth.dependencies import BEARER_ERRORS, AuthDep, ClientAddress, UserDb
from app.core.errors import BODY_ERRORS, InternalError, TooManyRequests
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.passkeys.dependencies import BearerPasskeyRoute, PasskeyId, PasskeyRoute, PasskeysDep
from app.passkeys.errors import InvalidPasskey, PasskeyNotFound, PasskeyRefused, TooManyPasskeys
from app.passkeys.schemas import (
    CreationOptionsRead,
    PasskeyBody,
    PasskeyRead,
    PasskeySignInBody,
    ProofBody,
    ProofOptionsBody,
    RequestOptionsRead,
)
from app.sessions.dependencies import SET_COOKIE, Cookie, UserAgent
from app.sessions.errors import OriginRefused
from app.sessions.schemas import Detail

public = make_router(prefix="/api/auth/passkeys", tag="auth", route_class=PasskeyRoute)
router = make_router(prefix="/api/auth", tag="auth", route_class=BearerPasskeyRoute)


@public.post(
    "/signin/options",
    summary="Begin to sign in by a passkey",
    response_model=RequestOptionsRead,
    responses=error_responses(InternalError, PasskeysAreOff),
)
async def begin_passkey_sign_in(passkeys: PasskeysDep, auth: AuthDep) -> Response:
    """Returns what to ask the browser for: a key of this service, whosever it is. It is good for five minutes."""
    return json_response(passkeys.sign_in_options(auth))


@public.post(
    "/signin",
    summary="Sign in by a passkey",
    response_model=SignedInRead,
    responses=error_responses(*BODY_ERRORS, PasskeyRefused, TooManyRequests, OriginRefused, PasskeysAreOff)
    | {200: SET_COOKIE},
)
async def sign_in_by_passkey(
    body: PasskeySignInBody,
    passkeys: PasskeysDep,
    auth: AuthDep,
    address: ClientAddress,
    user_agent: UserAgent,
    cookie: Cookie,
) -> Response:
    """Opens a session of its own on this device, for whoever the key belongs to; no name and no password are needed.

    Whatever is wrong, the answer is the same. What the browser returned is good for one use.
    """
    before = [body.refresh_token, cookie.replaced() if cookie.may_be_set(body.cookie) else None]
    user, _, tokens = await passkeys.sign_in(
        auth,
        address,
        assertion=body.credential,
        device=body.device or user_agent,
        refresh_tokens=[token for token in before if token],
    )
    return cookie.answer(tokens, to_cookie=body.cookie, user=user)


@router.get(
    "/passkeys",
    summary="List my passkeys",
    response_model=list[PasskeyRead],
    responses=error_responses(*BEARER_ERRORS, PasskeysAreOff),
)
async def list_passkeys(db: UserDb, passkeys: PasskeysDep) -> Response:
    """Returns your passkeys, oldest first."""
    return json_response(await passkeys.list(db))


@router.post(
    "/passkeys/options",
    summary="Begin to make a passkey",
    response_model=CreationOptionsRead,
    responses=error_responses(*BEARER_ERRORS, PasskeysAreOff),
)
async def begin_passkey(db: UserDb, passkeys: PasskeysDep, auth: AuthDep) -> Response:
    """Returns what to ask the browser for: a new key, on a device that has none of yours. Good for five minutes."""
    return json_response(await passkeys.creation_options(auth, db))


@router.post(
    "/passkeys",
    status_code=HTTPStatus.CREATED,
    summary="Make a passkey",
    response_model=PasskeyRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS, InvalidPasskey, TooManyPasskeys),
)
async def create_passkey(
    body: PasskeyBody, db: UserDb, passkeys: PasskeysDep, auth: AuthDep, address: ClientAddress
) -> Response:
    """Keeps the public half of the key that the browser has made. An account has at most ten.

    It outlives a new password and signing out everywhere; choosing a new password by a link ends it.
    """
    made = await passkeys.make(auth, db, address, attestation=body.credential, name=body.name, proof=body.proof.given)
    return json_response(made, HTTPStatus.CREATED)


@router.post(
    "/passkeys/{passkey_id}/delete",
    summary="Delete a passkey",
    response_model=Detail,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS, PasskeyNotFound),
)
async def delete_passkey(
    passkey_id: PasskeyId, body: ProofBody, db: UserDb, passkeys: PasskeysDep, auth: AuthDep, address: ClientAddress
) -> Response:
    """Deletes a passkey: nobody signs in by it any more. Sessions that it has begun go on."""
    await passkeys.delete(auth, db, address, passkey_id=passkey_id, proof=body.proof.given)
    return json_response({"detail": "The passkey is deleted."})


@router.post(
    "/proof/options",
    summary="Begin to prove by a passkey",
    response_model=RequestOptionsRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, PasskeysAreOff),
)
async def begin_proof(body: ProofOptionsBody, db: UserDb, passkeys: PasskeysDep, auth: AuthDep) -> Response:
    """Returns what to ask the browser for: one of your keys, for this act, in this session, within five minutes.

    What the browser returns is sent with the act itself, as `proof`: `{"passkey": …}`. It is good for one use; if the
    answer is lost, begin anew.
    """
    return json_response(await passkeys.proof_options(auth, db, body.act))
