"""The one form in which an e-mail address is stored, compared and returned."""

import unicodedata

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from app.auth.models import EMAIL_LENGTH

# The library's own switch: people do use .test and .local addresses here, and no mail is ever sent.
SPECIAL_USE_DOMAIN_NAMES.clear()


def normalise_email(text: str) -> str | None:
    """Trim, NFKC, case-fold; None if that is no address. Special-use domains pass. Source: FR-002, FR-005."""
    try:
        valid = validate_email(unicodedata.normalize("NFKC", text.strip()), check_deliverability=False)
    except (EmailNotValidError, UnicodeError):
        return None
    email = unicodedata.normalize("NFKC", valid.normalized.casefold())
    return email if len(email) <= EMAIL_LENGTH else None
