"""`/api/auth/jwks`: the keys by which other services verify access tokens without asking. Source: FR-060."""

from starlette.responses import Response

from app.auth.dependencies import AuthDep
from app.core.http.json import json_response
from app.core.http.routing import make_router
from app.public_keys.schemas import KeySetRead

MAX_AGE_SECONDS = 300
"""How long readers may keep the keys, and a new secret stands as the previous one before it signs."""

router = make_router(prefix="/api/auth", tag="auth")


@router.get("/jwks", summary="Show the public keys", response_model=KeySetRead)
async def list_public_keys(auth: AuthDep) -> Response:
    """Returns the keys by which another service verifies access tokens, if they are signed with EdDSA.

    One for the secret, and one for the previous secret if there is one. Who verifies so is not told that a session
    has ended: its access token is good until it expires.
    """
    keys = {"keys": auth.tokens.published_keys()}
    return json_response(keys, headers={"Cache-Control": f"max-age={MAX_AGE_SECONDS}"})
