"""How long rows outlast the tokens that they tell of, and how often old ones are deleted."""

from datetime import timedelta

from app.core.config import MAX_REFRESH_TOKEN_DAYS, Settings

# A row of the denylist stays this long after its last token has expired, because clocks may differ.
DENYLIST_GRACE = timedelta(days=1)
# As long as a token of the session can be valid under any setting. Not the current lifetime: if it is lowered, rows
# pruned, and raised again, ended sessions would be valid once more.
ENDED_SESSION_KEPT = timedelta(days=MAX_REFRESH_TOKEN_DAYS) + DENYLIST_GRACE
# One sign-in in so many deletes its user's old rows, more than all of them add, so that they become fewer.
PRUNE_EVERY = 8


def kept_after_use(settings: Settings) -> timedelta:
    """Return how long a session stays written down after its last use."""
    return timedelta(seconds=settings.refresh_token_seconds) + DENYLIST_GRACE
