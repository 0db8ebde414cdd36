"""How long rows outlast the tokens that they tell of, and how often old ones are deleted."""

from datetime import datetime, timedelta

from app.auth.tokens import Claims
from app.core.config import MAX_REFRESH_TOKEN_DAYS, Settings

# A row of the denylist stays this long after its last token has expired, because clocks may differ.
DENYLIST_GRACE = timedelta(days=1)
# As long as a token of the session can be valid under any setting. Not the current lifetime: if it is lowered, rows
# pruned, and raised again, ended sessions would be valid once more.
ENDED_SESSION_KEPT = timedelta(days=MAX_REFRESH_TOKEN_DAYS) + DENYLIST_GRACE
# One sign-in in so many deletes its user's old rows, more than all of them add, so that they become fewer.
PRUNE_EVERY = 8


def is_in_use(settings: Settings, claims: Claims, now: datetime) -> bool:
    """Return whether a token's session, unless it has ended, was used so recently that it can still be refreshed."""
    return now.timestamp() < claims.issued_at + settings.refresh_token_seconds


def may_end_everything(settings: Settings, claims: Claims, now: datetime) -> bool:
    """Return whether a token is young enough to sign out everywhere, expired or not."""
    return now.timestamp() < claims.expires_at + settings.refresh_token_seconds and is_end_remembered(claims, now)


def is_end_remembered(claims: Claims, now: datetime) -> bool:
    """Return whether the end of a token's session, if it has ended, is still written down."""
    return now.timestamp() < claims.issued_at + MAX_REFRESH_TOKEN_DAYS * 86400


def kept_after_use(settings: Settings) -> timedelta:
    """Return how long a session stays written down after its last use."""
    return timedelta(seconds=settings.refresh_token_seconds) + DENYLIST_GRACE
