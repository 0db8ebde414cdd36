"""What a browser is asked for, as `parseRequestOptionsFromJSON` and `parseCreationOptionsFromJSON` read it."""

from collections.abc import Sequence
from typing import Any

from app.auth.active_session import UserRow
from app.passkeys.ceremonies import ALGORITHMS, RelyingParty, to_base64url
from app.passkeys.challenges import SECONDS
from app.passkeys.going_repository import ListedPasskey


def request(party: RelyingParty, challenge: bytes, keys: Sequence[ListedPasskey] = ()) -> dict[str, Any]:
    """Return what is asked of one of these keys, or of any that the device has."""
    return {
        "challenge": to_base64url(challenge),
        "timeout": SECONDS * 1000,
        "rpId": party.domain,
        "allowCredentials": _known(keys),
        "userVerification": "required",
    }


def creation(
    party: RelyingParty, name: str, challenge: bytes, user: UserRow, keys: Sequence[ListedPasskey]
) -> dict[str, Any]:
    """Return what is asked of a device that has none of these keys."""
    return {
        "rp": {"id": party.domain, "name": name},
        "user": {"id": to_base64url(user.id.bytes), "name": user.email, "displayName": user.name or user.email},
        "challenge": to_base64url(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": int(algorithm)} for algorithm in ALGORITHMS],
        "timeout": SECONDS * 1000,
        "excludeCredentials": _known(keys),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def _known(keys: Sequence[ListedPasskey]) -> list[dict[str, str]]:
    return [{"type": "public-key", "id": key.id} for key in keys]
