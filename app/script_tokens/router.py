"""`/api/auth/tokens`: tokens for scripts. They are listed and ended as sessions."""

from http import HTTPStatus

from starlette.responses import Response

from app.accounts.errors import PROOF_ERRORS
from app.auth.dependencies import BEARER_ERRORS, AuthDep, BearerRoute, ClientAddress, UserDb
from app.core.errors import BODY_ERRORS
from app.core.http.error_responses import error_responses
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.script_tokens import service
from app.script_tokens.errors import TooManyTokens
from app.script_tokens.schemas import ScriptTokenRead, TokenBody

router = make_router(prefix="/api/auth", tag="auth", route_class=BearerRoute)


@router.post(
    "/tokens",
    status_code=HTTPStatus.CREATED,
    summary="Make a token for a script",
    response_model=ScriptTokenRead,
    responses=error_responses(*BEARER_ERRORS, *BODY_ERRORS, *PROOF_ERRORS, TooManyTokens),
)
async def create_token(body: TokenBody, db: UserDb, auth: AuthDep, address: ClientAddress) -> Response:
    """Makes a token that a script sends as bearer, with what it may do and until when. It is shown this once.

    It never reaches the account, is listed among the sessions and ended there, and ends with a new password and with
    signing out everywhere. Where its scope is not enough, the answer is 403 `INSUFFICIENT_SCOPE`.
    """
    made = await service.create_token(
        auth, db, address, name=body.name, scopes=body.scopes, days=body.days, proof=body.proof.given
    )
    return json_response(made, HTTPStatus.CREATED)
