"""What making a token for a script means, and which errors there are, in order. No HTTP, no SQL."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from app.accounts.proving import prove
from app.auth.auth import Auth
from app.auth.proof import Given
from app.auth.user_database import UserDatabase
from app.core.database.statement import Row
from app.script_tokens import repository
from app.script_tokens.errors import TooManyTokens


class ScriptToken(Row):
    """A token, which nothing keeps, and the session that it is."""

    id: UUID
    name: str
    scopes: list[str]
    expires_at: datetime
    token: str


async def create_token(
    auth: Auth, db: UserDatabase, address: str, *, name: str, scopes: Iterable[str], days: int, proof: Given
) -> ScriptToken:
    """Begin a script's session and issue its token, in this order: what its owner cannot see and end must not be.

    Raises: InvalidToken, TooManyTokens, and what `prove` raises. Source: FR-062.
    """
    credentials, principal = await db.get_credentials(), db.principal
    use = await prove(auth, db, credentials, proof, address, act="token")
    if not await repository.has_room(db):
        raise TooManyTokens
    await use()
    script = principal._replace(session_id=uuid4())
    allowed = sorted(set(scopes))
    expires_at = int((principal.now + timedelta(days=days)).timestamp())
    ends = datetime.fromtimestamp(expires_at, UTC)
    version = credentials.password_version
    begun = await repository.insert_token(
        db, script.session_id, name=name, scopes=allowed, expires_at=ends, password_version=version
    )
    if not begun:
        await db.get_credentials()  # of a session that has ended meanwhile, 401 comes first
        raise TooManyTokens
    token = auth.tokens.issue_script(script, scopes=allowed, expires_at=expires_at)
    auth.record(
        "script_token_made", user_id=principal.user_id, session_id=script.session_id, by_session=principal.session_id
    )
    return ScriptToken(script.session_id, name, allowed, ends, token)
