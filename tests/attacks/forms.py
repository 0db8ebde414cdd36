"""Forged tokens: every known way to make one without the secret, and many with it that are still not ours."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from jose import jwt

from tests.support.settings import SECRET

PURPOSES = {"HS256": b"kid:", "EdDSA": b"kid:EdDSA:"}
COMMON_SECRETS = [
    *("secret", "changeme", "password", "123456", "key", "jwt", "token", "admin", "test", "default", "supersecret"),
    *("your-256-bit-secret", "your-secret-key", "mysecret", "s3cr3t", "qwerty", "letmein", "a", "", " ", "null", "0"),
]


def segment(data: bytes | str | dict[str, Any]) -> str:
    """Return base64url; of a dictionary its JSON as in our tokens, so that the header of one is the same text."""
    if isinstance(data, dict):
        data = json.dumps(data, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def hmac_sign(header: Any, payload: Any, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    text = f"{segment(header)}.{segment(payload)}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{text}.{segment(hmac.new(key, text.encode(), digest).digest())}"


def key_pair(secret: str | bytes = SECRET) -> ed25519.Ed25519PrivateKey:
    """Return the key of a secret: HKDF-SHA-256 in the words of RFC 5869, without salt."""
    key = secret.encode() if isinstance(secret, str) else secret
    extracted = hmac.digest(bytes(32), key, "sha256")
    return ed25519.Ed25519PrivateKey.from_private_bytes(hmac.digest(extracted, b"access tokens\x01", "sha256"))


def public_key(secret: str = SECRET) -> bytes:
    return key_pair(secret).public_key().public_bytes_raw()


def ed25519_sign(header: Any, payload: Any, secret: str | bytes = SECRET) -> str:
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{segment(key_pair(secret).sign(text.encode()))}"


def public_header(secret: str = SECRET) -> dict[str, str]:
    """Return the header of an access token that is signed by the key of a secret."""
    return {"alg": "EdDSA", "kid": hashlib.sha256(PURPOSES["EdDSA"] + secret.encode()).hexdigest()[:8], "typ": "at+jwt"}


Sign = Callable[..., str]
"""Signs a header and a payload as tokens of the genuine one's algorithm are signed, by any secret."""


def forged(genuine: str) -> Iterator[tuple[str, str]]:
    """Yield (name, token) pairs, none of which may pass; each name begins with the code of its threat.

    `genuine` is a valid access or refresh token.
    """
    head, body, signature = genuine.split(".")
    header, claims = jwt.get_unverified_header(genuine), jwt.get_unverified_claims(genuine)
    sign = ed25519_sign if header["alg"] == "EdDSA" else hmac_sign
    yield from _headers(header, claims, signature, sign)
    yield from _shapes(genuine, head, body, signature)
    yield from _keys(header, claims, sign)
    yield from _other_algorithm(header, claims, f"{head}.{body}")
    yield from _claims(header, claims, sign)


def _headers(header: dict[str, Any], claims: dict[str, Any], signature: str, sign: Sign) -> Iterator[tuple[str, str]]:  # noqa: C901  # a list
    for alg in ("none", "None", "NONE", "nOnE"):
        text = f"{segment(header | {'alg': alg})}.{segment(claims)}"
        for rest in ("", ".", f".{signature}"):
            yield f"alg {alg} with {rest[:2]!r}", text + rest
    for alg, digest in (("HS384", "sha384"), ("HS512", "sha512"), ("HS256", "sha512"), ("HS512", "sha256")):
        yield f"{alg} by {digest}", hmac_sign(header | {"alg": alg}, claims, digest=digest)
    algorithms: list[Any] = ["hs256", "", None, 0, True, ["HS256"], {}, "RS256", "ES256", "PS256", "EdDSA", "HS256 "]
    for value in (alg for alg in algorithms if alg != header["alg"]):
        yield f"alg {value!r}", sign(header | {"alg": value}, claims)
    yield "no alg", sign({"typ": header["typ"]}, claims)
    for kid in ("../../../../dev/null", "/dev/null", "", "|sleep 10", "x' UNION SELECT '1';--", None, 5, "other"):
        for secret in (SECRET, "", "1"):
            yield f"kid {kid!r} by {secret[:1]!r}", sign(header | {"kid": kid}, claims, secret)
    jwk = {"kty": "oct", "k": segment("x")}
    extra: dict[str, Any]
    for extra in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}, {"x5c": ["MII"]}):
        yield f"{next(iter(extra))}", sign(header | extra, claims, "x")
        yield f"{next(iter(extra))}, right key", sign(header | extra, claims)
    for extra in ({"crit": ["exp2"]}, {"crit": ["b64"], "b64": False}, {"zip": "DEF"}, {"enc": "A128GCM"}):
        yield f"header {extra}", sign(header | extra, claims)
    for typ in (None, "JWT", "at+JWT", "application/at+jwt", "AT+JWT", "jwt", "", 5):
        yield f"typ {typ!r}", sign(header | {"typ": typ}, claims)
    yield "alg twice", sign('{"alg":"none","alg":"HS256","typ":"at+jwt"}', claims)
    for depth in (900, 1000, 1400):
        yield f"header {depth} deep", segment('{"alg":"HS256","x":' + "[" * depth) + ".e30.x"
    yield "a huge integer", segment('{"alg":"HS256","x":' + "9" * 1000 + "}") + f".e30.{signature}"
    for raw in ("[1]", '"x"', "null", "", "\xff", "{}"):
        yield f"header {raw!r}", sign(raw, claims)


def _shapes(genuine: str, head: str, body: str, signature: str) -> Iterator[tuple[str, str]]:
    yield from (
        (f"parts {i}", t)
        for i, t in enumerate((f"{head}.{body}.", f"{head}.{body}", head, "..", "...", "x", "", "a.b.c"))
    )
    serialized = json.dumps({"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    five = f"{head}.{body}.{signature}.{body}.{signature}"
    for i, text in enumerate((f"{genuine}.x", f".{genuine}", five, serialized, f"{genuine},{genuine}")):
        yield f"serialisation {i}", text
    for i, text in enumerate((genuine + "=", genuine + "==", genuine[:-1] + "_", genuine + "%3D", genuine + "A")):
        yield f"spelling {i}", text
    for place in (5, len(head) + 5, -5):
        for inserted in ("=", "?", "\u00e9", "+", "/"):
            yield f"{inserted!r} at {place}", genuine[:place] + inserted + genuine[place:]
    yield "case", genuine.swapcase()
    yield "long", genuine + "A" * 5000
    yield "reversed signature", f"{head}.{body}.{signature[::-1]}"


@cache
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _keys(header: dict[str, Any], claims: dict[str, Any], sign: Sign) -> Iterator[tuple[str, str]]:
    text = f"{segment(header | {'alg': 'RS256'})}.{segment(claims)}".encode()
    private = _rsa()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = private.sign(text, padding.PKCS1v15(), hashes.SHA256())
    yield "RS256", f"{text.decode()}.{segment(signed)}"
    yield "HS256 keyed with a public PEM", hmac_sign(header, claims, pem)
    curve = ec.generate_private_key(ec.SECP256R1())
    text = f"{segment(header | {'alg': 'ES256'})}.{segment(claims)}".encode()
    yield "ES256", f"{text.decode()}.{segment(curve.sign(text, ec.ECDSA(hashes.SHA256())))}"
    for secret in COMMON_SECRETS:
        yield f"the common secret {secret!r}", sign(header, claims, secret)
    for almost in (SECRET[:-1], SECRET + "\n", SECRET.lower(), hashlib.sha256(SECRET.encode()).hexdigest()):
        yield f"almost the secret {len(almost)}", sign(header, claims, almost)


def _other_algorithm(header: dict[str, Any], claims: dict[str, Any], said: str) -> Iterator[tuple[str, str]]:
    """Yield what takes the key or the header of one algorithm for the other's."""
    raw, private = public_key(), key_pair()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": segment(raw)})
    keys: dict[str, str | bytes] = {
        "as it is": raw,
        "base64url": segment(raw),
        "hex": raw.hex(),
        "PEM": pem,
        "JWK": jwk,
    }
    kids = {alg: hashlib.sha256(purpose + SECRET.encode()).hexdigest()[:8] for alg, purpose in PURPOSES.items()}
    for name, key in keys.items():
        yield f"HMAC by the public key {name}", hmac_sign(header, claims, key)
        yield f"HS256 by the public key {name}", hmac_sign(header | {"alg": "HS256"}, claims, key)
    mac = hmac.digest(SECRET.encode(), said.encode(), "sha256")
    signature = private.sign(said.encode())
    for swapped in [mac] if header["alg"] == "EdDSA" else [signature]:
        for form in (swapped, swapped[:32], swapped + bytes(64 - len(swapped)), swapped[:32] * 2):
            yield f"signature of the other algorithm, {form.hex()[:4]} of {len(form)}", f"{said}.{segment(form)}"
    right = {("access", "at+jwt", "HS256"), ("access", "at+jwt", "EdDSA"), ("refresh", "rt+jwt", "HS256")}
    for alg, kid, typ in product(kids, kids.values(), ("at+jwt", "rt+jwt")):
        sign, wrong = (hmac_sign, ed25519_sign) if alg == "HS256" else (ed25519_sign, hmac_sign)
        other = {"alg": alg, "kid": kid, "typ": typ}
        yield f"header {other}, the other's key", wrong(other, claims)
        if (claims["type"], typ, alg) not in right or kid != kids[alg]:
            yield f"header {other}", sign(other, claims)
    stranger = ed25519.Ed25519PrivateKey.generate()
    own = {"kty": "OKP", "crv": "Ed25519", "x": segment(stranger.public_key().public_bytes_raw())}
    for extra in ({}, {"jwk": own}, {"alg": "EdDSA", "jwk": own}, {"alg": "Ed25519"}):
        text = f"{segment(header | extra)}.{segment(claims)}"
        yield f"a stranger's key with {sorted(extra)}", f"{text}.{segment(stranger.sign(text.encode()))}"


def _claims(header: dict[str, Any], claims: dict[str, Any], sign: Sign) -> Iterator[tuple[str, str]]:
    for name in claims:
        yield f"without {name}", sign(header, {n: v for n, v in claims.items() if n != name})
    for name, values in {
        "iss": [None, "other", ["auth-tasks-api"], "auth-tasks-api "],
        "exp": [None, [], {}, True, "9999999999", -1, 1.5, 10**30, claims["iat"] - 5, claims["iat"] + 10**9],
        "iat": [None, "1", claims["iat"] + 3600, claims["exp"] + 1, -1],
        "sub": ["", "1", "' OR 1=1--", 5, None, [], f"{{{uuid4()}}}", f"urn:uuid:{uuid4()}", str(uuid4())],
        "sid": [5, [], None, "x", "y" * 900, claims["sid"].upper() + " "],
        "jti": [5, [], None, "x", ""],
        "ver": [None, "0", -1, 1, 2**31, 10**30, 0.5, True],
        "type": [None, "", "id", "ACCESS", ["access"]],
    }.items():
        for value in values:
            yield f"{name} {str(value)[:20]!r}", sign(header, claims | {name: value})
    other = "refresh" if claims["type"] == "access" else "access"
    yield "the other type", sign(header, claims | {"type": other})
    for raw in (b"[1]", b'"x"', b"null", b"", b"\xff", b"\xef\xbb\xbf{}", b'{"exp":1e400}', b'{"exp":NaN}'):
        yield f"payload {raw!r}", sign(header, raw)
    twice = json.dumps(claims)[:-1] + f', "sub": "{claims["sub"]}"}}'
    yield "sub twice", sign(header, twice)
