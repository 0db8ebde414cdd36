"""What an authenticator has signed or made, checked by `webauthn`; nothing is read there that was not read here first.

Source: WebAuthn 3, 7.1 and 7.2.
"""

import json
from binascii import a2b_base64, b2a_base64
from typing import Any, NamedTuple

from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography, encode_cbor
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    RegistrationCredential,
)

from app.auth.proof import Assertion
from app.passkeys.cbor import read_cbor
from app.passkeys.schemas import Attestation

ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,  # Windows Hello has no other
]
_KTY, _ALG, _N, _E = 1, 3, -1, -2
_RSA_BYTES = range(256, 513)
_ID_BYTES = range(1, 1024)
_KEY_AT, _ID_AT, _FLAGS_AT = 37, 55, 32
_ATTESTED, _EXTENDED = 0x40, 0x80
# In the place of a key that there is not, so that it takes as long to find that out: the base point of P-256.
NO_KEY = bytes.fromhex(
    "a5010203262001"
    "2158206b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "2258204fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


class NotAccepted(Exception):
    """Something is wrong with what an authenticator has signed or made."""


class RelyingParty(NamedTuple):
    """What authenticators sign for: a domain, and the pages and apps that may ask for it."""

    domain: str
    origins: list[str]


class Signed(NamedTuple):
    """What a verified assertion says."""

    sign_count: int
    synced: bool


class MadeKey(NamedTuple):
    """A new key, of whose private half its authenticator has proven nothing yet."""

    id: bytes
    public_key: bytes
    sign_count: int
    synced: bool


def from_base64url(text: str) -> bytes:
    """Return the bytes that a text spells. Raises: NotAccepted, also for padding and other alphabets."""
    try:
        found = a2b_base64(text.translate(_FROM_URL) + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        raise NotAccepted from None
    if to_base64url(found) != text:
        raise NotAccepted
    return found


def to_base64url(content: bytes) -> str:
    """Spell bytes as WebAuthn does, without padding."""
    return b2a_base64(content, newline=False).decode().translate(_TO_URL).rstrip("=")


_FROM_URL = str.maketrans({"-": "+", "_": "/", "+": None, "/": None, "=": None})
_TO_URL = str.maketrans("+/", "-_")


def challenge_of(client_data: str) -> bytes:
    """Return the challenge that a browser says it was given. Raises: NotAccepted."""
    try:
        said = json.loads(from_base64url(client_data))
        if said.get("crossOrigin", False) is not False:  # a page within somebody else's
            raise NotAccepted
        return from_base64url(said["challenge"])
    except NotAccepted:
        raise
    except Exception as error:  # RecursionError, KeyError, TypeError…
        raise NotAccepted from error


def verify_assertion(party: RelyingParty, assertion: Assertion, challenge: bytes, public_key: bytes) -> Signed:
    """Check what a key has signed, but for its count. Raises: NotAccepted."""
    try:
        response = assertion.response
        data = _own_cbor(from_base64url(response.authenticatorData))
        credential = AuthenticationCredential(
            id=assertion.id,
            raw_id=from_base64url(assertion.rawId),
            response=AuthenticatorAssertionResponse(
                client_data_json=from_base64url(response.clientDataJSON),
                authenticator_data=data,
                signature=from_base64url(response.signature),
            ),
        )
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.domain,
            expected_origin=party.origins,
            credential_public_key=public_key,
            credential_current_sign_count=0,  # the database decides it
            require_user_verification=True,
        )
    except Exception as error:  # the library's own, and what a key that is no point of its curve raises
        raise NotAccepted from error
    return Signed(verified.new_sign_count, verified.credential_backed_up)


def verify_attestation(party: RelyingParty, made: Attestation, challenge: bytes) -> MadeKey:
    """Check a new key. Who has made its authenticator is not asked, so that no certificate is read.

    Raises: NotAccepted.
    """
    try:
        attested, _ = read_cbor(from_base64url(made.response.attestationObject))
        data = _own_cbor(attested["authData"])
        credential = RegistrationCredential(
            id=made.id,
            raw_id=from_base64url(made.rawId),
            response=AuthenticatorAttestationResponse(
                client_data_json=from_base64url(made.response.clientDataJSON),
                attestation_object=encode_cbor({"fmt": "none", "attStmt": {}, "authData": data}),
            ),
        )
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.domain,
            expected_origin=party.origins,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
        _check_key(verified.credential_public_key)
    except Exception as error:
        raise NotAccepted from error
    if verified.credential_id != credential.raw_id or len(credential.raw_id) not in _ID_BYTES:
        raise NotAccepted
    return MadeKey(
        verified.credential_id, verified.credential_public_key, verified.sign_count, verified.credential_backed_up
    )


def _own_cbor(data: bytes) -> bytes:
    """Return what an authenticator says, whose CBOR is what such write. Raises: InvalidCbor, IndexError."""
    flags, at = data[_FLAGS_AT], _KEY_AT
    if flags & _ATTESTED:
        _, at = read_cbor(data, _ID_AT + int.from_bytes(data[_ID_AT - 2 : _ID_AT], "big"))
    if flags & _EXTENDED:
        _, at = read_cbor(data, at)
    if at != len(data):
        raise NotAccepted
    return data


def _check_key(public_key: bytes) -> None:
    """Raise an error for a key that is no point of its curve, or that would take long to verify with."""
    decoded_public_key_to_cryptography(decode_credential_public_key(public_key))
    said: dict[int, Any] = read_cbor(public_key)[0]
    if said[_KTY] == 3 and (len(said[_N]) not in _RSA_BYTES or said[_E] != b"\x01\x00\x01"):
        raise NotAccepted
