"""The OAuth 2 grants over the same operations. Source: RFC 6749 4.3 and 6."""

from app.accounts.errors import InvalidOAuthRequest, UnsupportedGrantType
from app.accounts.schemas import TokenForm
from app.accounts.service import sign_in
from app.auth.auth import Auth
from app.auth.tokens import TokenPair
from app.sessions import rotation


async def grant(
    auth: Auth,
    address: str,
    form: TokenForm,
    *,
    refresh_key: str | None,
    refresh_client: str | None,
    user_agent: str | None,
) -> TokenPair:
    """Return tokens for the form's grant. Raises: UnsupportedGrantType, InvalidOAuthRequest, and the operation's."""
    if form.grant_type == "refresh_token":
        if form.refresh_token is None:
            raise InvalidOAuthRequest
        return await rotation.refresh(auth, form.refresh_token, client=refresh_client, key=refresh_key)
    if form.grant_type not in ("password", None):
        raise UnsupportedGrantType
    if form.username is None or form.password is None:
        raise InvalidOAuthRequest
    session = await sign_in(
        auth,
        address,
        email=form.username,
        password=form.password,
        device=form.device or user_agent,
        refresh_tokens=[form.refresh_token] if form.refresh_token else [],
    )
    return session.tokens
