"""The trail: what happened to accounts and sessions, as lines of the logger `audit`; the gravest are also counted."""

import logging
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from app.core.logging import AUDIT, current_request, get_logger

logger = get_logger(AUDIT)

AUTH_EVENTS = (
    *("sign_in_failed", "sign_in_locked", "refresh_reuse_detected", "refresh_repeated"),
    *("password_changed", "password_reset", "account_deleted", "session_ended"),
    "passkey_copied",
)
"""Those that are counted, by the names that the trail has for them."""

Actor = Literal["user", "operator", "service", "unknown"]
"""Who did it: the owner, by a password or a token; an operator, by a command; the service, by itself; or somebody who
did not prove it."""

_WARNINGS = frozenset(
    {
        *("sign_in_failed", "sign_in_locked", "own_password_wrong", "refresh_reuse_detected"),
        *("own_passkey_wrong", "passkey_copied"),
        *("mail_delayed", "mail_failed"),
    }
)


def write_event(
    event: str,
    at: datetime,
    *,
    user_id: UUID | None,
    session_id: UUID | None = None,
    actor: Actor = "user",
    **details: str | int | UUID | None,
) -> None:
    """Write one line of the trail; `details` must hold no secret."""
    request = current_request()
    if user_id:
        request.name_caller(user_id, session_id)
    members: dict[str, Any] = {"actor": actor, "user_id": user_id, "session_id": session_id}
    members |= {"address": request.client.address, "at": at.isoformat(timespec="milliseconds")}
    if actor == "unknown":
        members["user_agent"] = request.client.user_agent
    known = {name: value for name, value in (members | details).items() if value is not None}
    logger.log(logging.WARNING if event in _WARNINGS else logging.INFO, event, extra=known)
