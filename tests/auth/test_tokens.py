"""What a token is, and that nothing else is one."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx
import pytest
from jose import JWTError, jwk, jwt

from app.auth.errors import InvalidToken
from app.auth.keys import Algorithm
from app.auth.principal import Principal
from app.auth.tokens import CACHED_TOKENS, MAX_TOKEN_LENGTH, TokenCodec
from tests.support.clock import FrozenClock
from tests.support.people import NOBODY, Person
from tests.support.settings import SECRET

Forge = Callable[..., str]


@pytest.fixture
def tokens() -> TokenCodec:
    return TokenCodec(SECRET, None, access_seconds=900, refresh_seconds=604800)


@pytest.fixture
def genuine(tokens: TokenCodec, clock: FrozenClock) -> str:
    return tokens.issue(Principal(uuid4(), uuid4(), 0, clock()), refresh_id=uuid4(), number=1).access_token


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: str, payload: bytes, secret: str = SECRET) -> str:
    text = f"{header}.{segment(payload)}"
    return f"{text}.{segment(jwk.construct(secret, 'HS256').sign(text.encode()))}"


def changed(token: str, **claims: Any) -> str:
    """Return the token with other claims, signed with the right secret; `...` drops one."""
    said = jwt.get_unverified_claims(token) | claims
    kept = {name: value for name, value in said.items() if value is not ...}
    return sign(token.partition(".")[0], json.dumps(kept).encode())


async def test_any_library_reads_a_token_by_the_secret_alone(client: httpx.AsyncClient, ada: Person) -> None:
    """Any JWT library reads a token by the secret, and finds nobody's name or address in it.

    Source: FR-007, FR-008.
    """
    claims = jwt.decode(ada.access_token, SECRET, ["HS256"])
    assert claims.keys() == {"iss", "type", "sub", "user_id", "sid", "ver", "jti", "iat", "exp"}
    assert claims["sub"] == claims["user_id"] == ada.user["id"]
    assert claims["type"] == "access"
    assert jwt.get_unverified_header(ada.access_token).keys() == {"alg", "typ", "kid"}
    assert jwt.get_unverified_header(ada.access_token)["typ"] == "at+jwt"
    assert jwt.get_unverified_header(ada.refresh_token)["typ"] == "rt+jwt"


def test_a_token_lives_until_its_second_comes(tokens: TokenCodec, genuine: str, clock: FrozenClock) -> None:
    """A token is valid until the second that `exp` names, and not in it (RFC 7519 4.1.4)."""
    expires_at = jwt.get_unverified_claims(genuine)["exp"]
    moment = clock.moment.fromtimestamp(expires_at, clock.moment.tzinfo)
    assert tokens.read(genuine, "access", moment - timedelta(microseconds=1)).expires_at == expires_at
    with pytest.raises(InvalidToken):
        tokens.read(genuine, "access", moment)
    assert tokens.read(genuine, "access", moment, expired_too=True)


@pytest.mark.parametrize("claim", ["iss", "type", "sub", "user_id", "sid", "jti", "ver", "iat", "exp"])
@pytest.mark.parametrize(
    "value", [..., None, "", "x", 0, -1, 1.5, True, [], {}, "9999999999", 10**30, 1e300, "\ud800", str(NOBODY).upper()]
)
def test_a_claim_that_is_not_as_we_write_it_is_refused(
    tokens: TokenCodec, genuine: str, clock: FrozenClock, claim: str, value: Any
) -> None:
    """A claim of another type or form is refused though the signature is right."""
    if (claim, value) == ("ver", 0):
        return  # the value that it has
    with pytest.raises(InvalidToken):
        tokens.read(changed(genuine, **{claim: value}), "access", clock())
    assert tokens.read(changed(genuine), "access", clock())


def test_times_must_make_sense(tokens: TokenCodec, genuine: str, clock: FrozenClock) -> None:
    """A token from the future, or valid for longer than any that we issue, is refused.

    Clocks may differ by a minute.
    """
    now = int(clock().timestamp())
    for issued_at, expires_at in ((now + 3600, now + 3700), (now, now + 10**8), (now, now), (now, now - 5)):
        with pytest.raises(InvalidToken):
            tokens.read(changed(genuine, iat=issued_at, exp=expires_at), "access", clock())
    assert tokens.read(changed(genuine, iat=now + 30, exp=now + 90), "access", clock())


@pytest.mark.parametrize("audience", ["somebody-else", "", [], ["auth-tasks-api"], None, 5])
def test_a_token_for_somebody_is_refused(tokens: TokenCodec, genuine: str, clock: FrozenClock, audience: Any) -> None:
    """RFC 7519 4.1.3: who is not named must refuse it, and nobody is named in ours."""
    with pytest.raises(InvalidToken):
        tokens.read(changed(genuine, aud=audience), "access", clock())


@pytest.fixture
def refreshing(tokens: TokenCodec, clock: FrozenClock) -> str:
    return tokens.issue(
        Principal(uuid4(), uuid4(), 0, clock()), refresh_id=uuid4(), number=7, authenticated_at=5
    ).refresh_token


def test_a_refresh_token_names_its_place(tokens: TokenCodec, refreshing: str, clock: FrozenClock) -> None:
    """Who verifies by the secret alone takes no refresh token for an access token; its number and sign-in are read."""
    assert jwt.get_unverified_claims(refreshing)["aud"] == ["refresh"]
    claims = tokens.read(refreshing, "refresh", clock())
    assert (claims.number, claims.authenticated_at) == (7, 5)
    with pytest.raises(JWTError):
        jwt.decode(refreshing, SECRET, ["HS256"])


def test_a_refresh_token_of_1_0_is_read(tokens: TokenCodec, refreshing: str, clock: FrozenClock) -> None:
    """Tokens that 1.0 has issued are good as long as they live: without a number, and signed in when they were made."""
    claims = tokens.read(changed(refreshing, aud=..., seq=..., auth_time=...), "refresh", clock())
    assert (claims.number, claims.authenticated_at) == (None, claims.issued_at)


@pytest.mark.parametrize(
    ("claim", "values"),
    [
        ("aud", [..., None, "refresh", [], ["refresh", "refresh"], ["other"]]),
        ("seq", [..., None, 0, -1, 1.0, True, "1", 2**31, 10**30]),
        ("auth_time", [..., None, 1.5, True, "1"]),
    ],
)
def test_a_refresh_token_of_another_form_is_refused(
    tokens: TokenCodec, refreshing: str, clock: FrozenClock, claim: str, values: list[Any]
) -> None:
    """A refresh token has its number, its sign-in and its audience, or none of them."""
    for value in values:
        with pytest.raises(InvalidToken):
            tokens.read(changed(refreshing, **{claim: value}), "refresh", clock())


def test_a_token_for_later_is_refused_until_then(tokens: TokenCodec, genuine: str, clock: FrozenClock) -> None:
    """RFC 7519 4.1.5; a minute's skew is allowed, and what is kept of a token is not that it was refused or taken."""
    now = int(clock().timestamp())
    for allowed in (now - 3600, now, now + 30):
        assert tokens.read(changed(genuine, nbf=allowed), "access", clock())
    later = changed(genuine, nbf=now + 300)
    for refused in (later, *(changed(genuine, nbf=value) for value in (now + 0.5, str(now), None, True, 10**30))):
        with pytest.raises(InvalidToken):
            tokens.read(refused, "access", clock())
    clock.advance(seconds=300)
    assert tokens.read(later, "access", clock())


@pytest.mark.parametrize(
    "payload",
    [
        b"[1]",
        b'"x"',
        b"null",
        b"",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"exp":Infinity}',
        b'{"exp":1e400}',
        b"[" * 100_000,
        b'{"x":' * 1500,
        b"1" * 1400,
    ],
)
def test_a_payload_that_is_no_object_of_claims_is_refused(
    tokens: TokenCodec, genuine: str, clock: FrozenClock, payload: bytes
) -> None:
    """A signed payload that is no object of claims is refused, and crashes nothing."""
    with pytest.raises(InvalidToken):
        tokens.read(sign(genuine.partition(".")[0], payload), "access", clock())


def test_a_name_that_stands_twice_is_refused(tokens: TokenCodec, genuine: str, clock: FrozenClock) -> None:
    """A claim that is there twice is refused: libraries differ in which one they take."""
    said = json.dumps(jwt.get_unverified_claims(genuine))
    with pytest.raises(InvalidToken):
        tokens.read(sign(genuine.partition(".")[0], (said[:-1] + ', "ver": 0}').encode()), "access", clock())


@pytest.mark.parametrize(
    "respell",
    [
        lambda t: t + "=",
        lambda t: t + "==",
        lambda t: t + "\n",
        lambda t: " " + t,
        lambda t: t[:-1] + chr(ord(t[-1]) + 1),
        lambda t: t.replace("-", "+").replace("_", "/") + ("" if set("-_") & set(t) else "+"),
        lambda t: t[:20] + "=" + t[20:],
        lambda t: t[:20] + "?" + t[20:],
        lambda t: t + ".",
        lambda t: "." + t,
        lambda t: t.upper(),
        lambda t: t + "." + t,
    ],
)
def test_a_token_has_exactly_one_spelling(
    tokens: TokenCodec, genuine: str, clock: FrozenClock, respell: Callable[[str], str]
) -> None:
    """A used token cannot come back in another spelling."""
    with pytest.raises(InvalidToken):
        tokens.read(respell(genuine), "access", clock())


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_every_spare_bit_of_the_signature_counts(algorithm: Algorithm, clock: FrozenClock) -> None:
    """One of 64 last characters is accepted, though decoders drop two of that character's bits, or four."""
    tokens = TokenCodec(SECRET, None, access_seconds=900, refresh_seconds=900, algorithm=algorithm)
    pair = tokens.issue(Principal(uuid4(), uuid4(), 0, clock()), refresh_id=uuid4(), number=1)
    genuine = pair.access_token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = 0
    for character in alphabet:
        try:
            tokens.read(genuine[:-1] + character, "access", clock())
            accepted += 1
        except InvalidToken:
            pass
    assert accepted == 1


def test_a_token_beyond_the_bound_is_not_parsed(tokens: TokenCodec, genuine: str, clock: FrozenClock) -> None:
    """A token above the allowed length is refused unread, even with the right signature."""
    long = changed(genuine, more="x" * MAX_TOKEN_LENGTH)
    assert len(long) > MAX_TOKEN_LENGTH
    with pytest.raises(InvalidToken):
        tokens.read(long, "access", clock())
    assert tokens.read(changed(genuine, more="x"), "access", clock())


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "at+jwt"},
        {"alg": "HS512", "typ": "at+jwt"},
        {"alg": "HS256", "typ": "JWT"},
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "at+jwt", "kid": "../../dev/null"},
        {"alg": "HS256", "typ": "at+jwt", "crit": ["exp2"]},
        {"alg": "HS256", "typ": "at+jwt", "zip": "DEF"},
    ],
)
def test_only_our_own_header_is_read(
    tokens: TokenCodec, genuine: str, clock: FrozenClock, header: dict[str, Any]
) -> None:
    """A header that is not ours is refused though the signature is right."""
    payload = json.dumps(jwt.get_unverified_claims(genuine)).encode()
    with pytest.raises(InvalidToken):
        tokens.read(sign(segment(json.dumps(header).encode()), payload), "access", clock())


@pytest.mark.parametrize("secret", ['"' + "q" * 40 + '"', '["' + "a" * 40 + '"]', '{"k":"' + "b" * 40 + '"}', "ä" * 40])
def test_a_secret_may_look_like_json(secret: str, clock: FrozenClock) -> None:
    """Operators may choose any text as the secret, though python-jose parses one that looks like JSON."""
    tokens = TokenCodec(secret, None, access_seconds=900, refresh_seconds=900)
    user_id = uuid4()
    pair = tokens.issue(Principal(user_id, uuid4(), 3, clock()), refresh_id=uuid4(), number=1)
    assert tokens.read(pair.access_token, "access", clock()).user_id == user_id


def test_a_token_that_was_read_before_is_asked_its_time_again(
    tokens: TokenCodec, genuine: str, clock: FrozenClock
) -> None:
    """A token expires also where it was accepted before: its claims are kept, never the decision."""
    tokens.read(genuine, "access", clock())
    with pytest.raises(InvalidToken):
        tokens.read(genuine, "refresh", clock())
    with pytest.raises(InvalidToken):
        tokens.read(genuine, "access", clock() - timedelta(minutes=2))
    clock.advance(minutes=15)
    with pytest.raises(InvalidToken):
        tokens.read(genuine, "access", clock())


def test_what_is_kept_of_tokens_is_bounded_and_never_a_refusal(tokens: TokenCodec, clock: FrozenClock) -> None:
    """A flood of forged tokens takes no memory, and one of valid tokens a known amount."""
    for number in range(CACHED_TOKENS + 10):
        pair = tokens.issue(Principal(UUID(int=number), UUID(int=1), 0, clock()), refresh_id=UUID(int=2), number=1)
        assert tokens.read(pair.access_token, "access", clock()).user_id == UUID(int=number)
        said, signed = pair.access_token.rpartition(".")[0], pair.refresh_token.rpartition(".")[2]
        for forged in (f"{said}.{signed}", pair.refresh_token):
            with pytest.raises(InvalidToken):
                tokens.read(forged, "access", clock())
    assert tokens._verified.cache_info().currsize == CACHED_TOKENS


@pytest.mark.parametrize(
    ("kind", "claims"),
    [
        ("verify", {"email": ...}),
        ("verify", {"email": 1}),
        ("change", {"email": ...}),
        ("change", {"replaces": ...}),
        ("change", {"replaces": ""}),
        ("change", {"replaces": "no digits"}),
        ("reset", {"email": None}),
    ],
)
def test_a_link_says_which_addresses_it_is_for(
    tokens: TokenCodec, clock: FrozenClock, kind: Any, claims: dict[str, Any]
) -> None:
    """A link that another program with the secret has signed proves nothing unless it names what it proves."""
    about: dict[str, Any] = {"user_id": NOBODY, "version": 0, "now": clock(), "email": "ada@example.test"}
    links = {
        "verify": tokens.issue_verification(**about),
        "change": tokens.issue_change(**about, replaces=b"12345678"),
        "reset": tokens.issue_reset(**about),
    }
    read = tokens.read(links[kind], kind, clock())
    assert (read.email, read.replaces) == ("ada@example.test", b"12345678" if kind == "change" else None)
    with pytest.raises(InvalidToken):
        tokens.read(changed(links[kind], **claims), kind, clock())


def test_the_longest_address_fits_into_a_link(tokens: TokenCodec, clock: FrozenClock) -> None:
    """Who has an address of 254 characters, each of four bytes, can prove it like everybody else."""
    email = "\U00020000" * 254
    link = tokens.issue_change(NOBODY, 2**31 - 1, clock(), email=email, replaces=b"12345678")
    assert tokens.read(link, "change", clock()).email == email
    assert len(link) <= MAX_TOKEN_LENGTH
