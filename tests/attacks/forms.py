"""Forged tokens: every known way to make one without the secret, and many with it that are still not ours."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from jose import jwt

from tests.support.settings import SECRET

COMMON_SECRETS = [
    *("secret", "changeme", "password", "123456", "key", "jwt", "token", "admin", "test", "default", "supersecret"),
    *("your-256-bit-secret", "your-secret-key", "mysecret", "s3cr3t", "qwerty", "letmein", "a", "", " ", "null", "0"),
]


def segment(data: bytes | str | dict[str, Any]) -> str:
    if isinstance(data, dict):
        data = json.dumps(data)
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def hmac_sign(header: Any, payload: Any, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    text = f"{segment(header)}.{segment(payload)}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{text}.{segment(hmac.new(key, text.encode(), digest).digest())}"


def forged(genuine: str) -> Iterator[tuple[str, str]]:
    """Yield (name, token) pairs, none of which may pass; each name begins with the code of its threat.

    `genuine` is a valid access or refresh token.
    """
    head, body, signature = genuine.split(".")
    header, claims = jwt.get_unverified_header(genuine), jwt.get_unverified_claims(genuine)
    yield from _headers(header, claims, signature)
    yield from _shapes(genuine, head, body, signature)
    yield from _keys(header, claims)
    yield from _claims(header, claims)


def _headers(header: dict[str, Any], claims: dict[str, Any], signature: str) -> Iterator[tuple[str, str]]:  # noqa: C901  # a list
    for alg in ("none", "None", "NONE", "nOnE"):
        text = f"{segment(header | {'alg': alg})}.{segment(claims)}"
        for rest in ("", ".", f".{signature}"):
            yield f"alg {alg} with {rest[:2]!r}", text + rest
    for alg, digest in (("HS384", "sha384"), ("HS512", "sha512"), ("HS256", "sha512"), ("HS512", "sha256")):
        yield f"{alg} by {digest}", hmac_sign(header | {"alg": alg}, claims, digest=digest)
    algorithms: list[Any] = ["hs256", "", None, 0, True, ["HS256"], {}, "RS256", "ES256", "PS256", "EdDSA", "HS256 "]
    for value in algorithms:
        yield f"alg {value!r}", hmac_sign(header | {"alg": value}, claims)
    yield "no alg", hmac_sign({"typ": header["typ"]}, claims)
    for kid in ("../../../../dev/null", "/dev/null", "", "|sleep 10", "x' UNION SELECT '1';--", None, 5, "other"):
        for secret in (SECRET, "", "1"):
            yield f"kid {kid!r} by {secret[:1]!r}", hmac_sign(header | {"kid": kid}, claims, secret)
    jwk = {"kty": "oct", "k": segment("x")}
    extra: dict[str, Any]
    for extra in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}, {"x5c": ["MII"]}):
        yield f"{next(iter(extra))}", hmac_sign(header | extra, claims, "x")
        yield f"{next(iter(extra))}, right key", hmac_sign(header | extra, claims)
    for extra in ({"crit": ["exp2"]}, {"crit": ["b64"], "b64": False}, {"zip": "DEF"}, {"enc": "A128GCM"}):
        yield f"header {extra}", hmac_sign(header | extra, claims)
    for typ in (None, "JWT", "at+JWT", "application/at+jwt", "AT+JWT", "jwt", "", 5):
        yield f"typ {typ!r}", hmac_sign(header | {"typ": typ}, claims)
    yield "alg twice", hmac_sign('{"alg":"none","alg":"HS256","typ":"at+jwt"}', claims)
    for depth in (900, 1000, 1400):
        yield f"header {depth} deep", segment('{"alg":"HS256","x":' + "[" * depth) + ".e30.x"
    yield "a huge integer", segment('{"alg":"HS256","x":' + "9" * 1000 + "}") + f".e30.{signature}"
    for raw in ("[1]", '"x"', "null", "", "\xff", "{}"):
        yield f"header {raw!r}", hmac_sign(raw, claims)


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


def _keys(header: dict[str, Any], claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    text = f"{segment(header | {'alg': 'RS256'})}.{segment(claims)}".encode()
    private = rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = private.sign(text, padding.PKCS1v15(), hashes.SHA256())
    yield "RS256", f"{text.decode()}.{segment(signed)}"
    yield "HS256 keyed with a public PEM", hmac_sign(header, claims, pem)
    curve = ec.generate_private_key(ec.SECP256R1())
    text = f"{segment(header | {'alg': 'ES256'})}.{segment(claims)}".encode()
    yield "ES256", f"{text.decode()}.{segment(curve.sign(text, ec.ECDSA(hashes.SHA256())))}"
    for secret in COMMON_SECRETS:
        yield f"the common secret {secret!r}", hmac_sign(header, claims, secret)
    for almost in (SECRET[:-1], SECRET + "\n", SECRET.lower(), hashlib.sha256(SECRET.encode()).hexdigest()):
        yield f"almost the secret {len(almost)}", hmac_sign(header, claims, almost)


def _claims(header: dict[str, Any], claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in claims:
        yield f"without {name}", hmac_sign(header, {n: v for n, v in claims.items() if n != name})
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
            yield f"{name} {str(value)[:20]!r}", hmac_sign(header, claims | {name: value})
    other = "refresh" if claims["type"] == "access" else "access"
    yield "the other type", hmac_sign(header, claims | {"type": other})
    for raw in (b"[1]", b'"x"', b"null", b"", b"\xff", b"\xef\xbb\xbf{}", b'{"exp":1e400}', b'{"exp":NaN}'):
        text = f"{segment(header)}.{segment(raw)}"
        mac = hmac.new(SECRET.encode(), text.encode(), "sha256").digest()
        yield f"payload {raw!r}", f"{text}.{segment(mac)}"
    twice = json.dumps(claims)[:-1] + f', "sub": "{claims["sub"]}"}}'
    yield "sub twice", hmac_sign(header, twice)
