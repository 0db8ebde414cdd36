"""The one form in which an e-mail address is stored, compared and returned."""

import unicodedata

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from app.auth.models import EMAIL_LENGTH
from app.core.fields import SHOWS_NOTHING

# The library's own switch: people do use .test and .local addresses here, and no mail is ever sent.
SPECIAL_USE_DOMAIN_NAMES.clear()

# NFKC shrinks by at most a third, so a longer text cannot become an address; NFKC itself is quadratic (1.1 s for 64 KB
# of combining marks).
MAX_INPUT_LENGTH = EMAIL_LENGTH * 3 // 2


def normalise_email(text: str) -> str | None:
    """Trim what shows nothing, NFKC, case-fold; None if it is no address. Special-use domains pass.

    Source: FR-002, FR-005.
    """
    text = text.strip(SHOWS_NOTHING)
    if len(text) > MAX_INPUT_LENGTH:
        return None
    try:
        text = unicodedata.normalize("NFKC", text)
        if len(text.encode()) > EMAIL_LENGTH:  # one code point can become 18 (U+FDFA), and the library looks at each
            return None
        valid = validate_email(text, check_deliverability=False)
    except (EmailNotValidError, UnicodeError):
        return None
    email = unicodedata.normalize("NFKC", valid.normalized.casefold())
    return email if len(email) <= EMAIL_LENGTH else None
