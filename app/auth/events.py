"""The events of accounts and sessions, in the log and in the figures."""

from app.core.logging import get_logger

logger = get_logger("app.auth")

AUTH_EVENTS = (
    *("sign_in_failed", "sign_in_locked", "refresh_reuse_detected", "refresh_repeated"),
    *("password_changed", "password_reset", "account_deleted", "session_ended"),
)
"""Those that are counted, by the names that the log has for them."""
