"""The signature of access tokens that others verify: RFC 8032's own vectors, and what only looks like a signature."""

import hashlib
import random

import pytest

from app.auth.ed25519 import Ed25519Key, derive
from tests.attacks.forms import key_pair

# RFC 8032 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]

# The curve in its own words, as RFC 8032 6 has it.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]


def added(a: Point, b: Point) -> Point:
    (x, y), (u, v) = a, b
    product = D * x * y * u * v % P
    return (
        (x * v + u * y) * pow(1 + product, -1, P) % P,
        (y * v + x * u) * pow(1 - product, -1, P) % P,
    )


def times(n: int, a: Point) -> Point:
    total = (0, 1)
    while n:
        total, a, n = added(total, a) if n & 1 else total, added(a, a), n >> 1
    return total


def with_y(y: int) -> Point | None:
    """Return the point with this y and an even x, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square:
        return None
    return (P - x if x & 1 else x), y


def encoded(a: Point, *, more: int = 0) -> bytes:
    return (a[1] + more | (a[0] & 1) << 255).to_bytes(32, "little")


def small_order() -> list[Point]:
    """Return the eight points that eight times themselves are nothing."""
    found = {(0, 1)}
    y = 2
    while len(found) < 8:
        if point := with_y(y):
            found |= {times(n * L, point) for n in range(8)}
        y += 1
    return sorted(found)


SMALL = small_order()
BASE = with_y(4 * pow(5, -1, P) % P)
assert BASE
SEED = bytes(range(32))
KEY = Ed25519Key(SEED)
MESSAGE = b"a token's header and payload"


def scalar() -> int:
    """Return the private key's number, with which a test can do what no attacker can. Source: RFC 8032 5.1.5."""
    digest = bytearray(hashlib.sha512(SEED).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def answer(r: int, point: bytes) -> int:
    """Return the S that belongs to this R."""
    k = int.from_bytes(hashlib.sha512(point + KEY.public + MESSAGE).digest(), "little")
    return (r + k * scalar()) % L


def signature(point: bytes, s: int) -> bytes:
    return point + s.to_bytes(32, "little")


@pytest.mark.parametrize(("seed", "public", "message", "expected"), VECTORS)
def test_it_signs_as_the_standard_says(seed: str, public: str, message: str, expected: str) -> None:
    """Any implementation of Ed25519 verifies our signatures, and there is one of each text."""
    key, text = Ed25519Key(bytes.fromhex(seed)), bytes.fromhex(message)
    assert key.public.hex() == public
    assert {key.sign(text).hex() for _ in range(3)} == {expected}
    assert key.verify(text, bytes.fromhex(expected))


def test_the_key_is_of_the_secret_and_of_nothing_else() -> None:
    """Every process that has the secret has the key: HKDF-SHA-256, computed once more in the test. Source: RFC 5869."""
    for secret in ("a" * 32, "ä" * 40, '{"k": 1}' * 5):
        assert derive(secret).public == key_pair(secret).public_key().public_bytes_raw()
    assert derive("a" * 32).public != derive("a" * 33).public


def test_the_arithmetic_of_this_test_is_right() -> None:
    """What the tests below refuse differs from a signature that is taken by one thing alone."""
    assert BASE
    assert encoded(times(scalar(), BASE)) == KEY.public
    assert len(SMALL) == 8
    assert all(times(8, point) == (0, 1) for point in SMALL)
    point = encoded(times(12345, BASE))
    assert KEY.verify(MESSAGE, signature(point, answer(12345, point)))


def test_a_signature_has_one_spelling() -> None:
    """A token cannot come in a second spelling: S plus any multiple of the group's order is refused.

    Source: RFC 8032 5.1.7.
    """
    genuine = KEY.sign(MESSAGE)
    assert KEY.verify(MESSAGE, genuine)
    s = int.from_bytes(genuine[32:], "little")
    for n in range(1, 16):
        assert s + n * L < 2**256
        assert not KEY.verify(MESSAGE, signature(genuine[:32], s + n * L)), n
    for bit in range(512):
        changed = bytearray(genuine)
        changed[bit // 8] ^= 1 << bit % 8
        assert not KEY.verify(MESSAGE, bytes(changed)), bit


def test_no_point_of_small_order_helps() -> None:
    """Points that vanish when they are multiplied forge nothing, and cannot be hidden in a signature."""
    assert BASE
    chance = random.Random(7)
    for small in SMALL:
        for s in (0, 1, L - 1, chance.randrange(L)):
            assert not KEY.verify(MESSAGE, signature(encoded(small), s))
        if small != (0, 1):  # whoever multiplies both sides by eight would take these, which took the private key
            point = encoded(added(times(99, BASE), small))
            assert not KEY.verify(MESSAGE, signature(point, answer(99, point)))


def test_a_point_that_is_not_written_in_its_one_way_is_refused() -> None:
    """A coordinate is below the order of its field: the same point with p more, or the sign of nothing, is refused."""
    taken = encoded((0, 1))
    assert KEY.verify(MESSAGE, signature(taken, answer(0, taken)))
    for other in (encoded((0, 1), more=P), (1 | 1 << 255).to_bytes(32, "little")):
        assert not KEY.verify(MESSAGE, signature(other, answer(0, other)))
    for y in range(19):
        for sign in (0, 1 << 255):
            point = (y + P | sign).to_bytes(32, "little")
            for s in (0, answer(0, point)):
                assert not KEY.verify(MESSAGE, signature(point, s))


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    """A signature that was cut, or has something behind it, is none."""
    assert not KEY.verify(MESSAGE, (KEY.sign(MESSAGE) * 2)[:length])
