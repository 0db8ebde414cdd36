"""The passwords that guessers try first: 30,000 of them, ranked, from the `zxcvbn` package."""

from functools import cache

from app.auth.passwords import normalise_password


@cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 2 MB and 50 ms that only COMMON_PASSWORDS=refuse pays

    return frozenset(FREQUENCY_LISTS["passwords"])


def is_common(password: str, email: str) -> bool:
    """Return whether a guesser would try this early: a common password in any case, or the e-mail itself."""
    folded = normalise_password(password).casefold()
    return folded in _common() or folded in (email, email.partition("@")[0])
