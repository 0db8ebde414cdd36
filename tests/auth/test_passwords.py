"""Hashing, in its pool and its queue."""

import asyncio

import pytest

from app.auth.hash_queue import HashingOverloaded
from app.auth.passwords import MAX_INPUT_LENGTH, PasswordHasher, normalise_password


async def test_what_cannot_be_a_password_is_a_wrong_one() -> None:
    """A text that cannot be a password, as it is or in its normal form, is answered like any wrong one."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    for password in ("", "\ud800", "x" * 5000, "\ufdfa" * MAX_INPUT_LENGTH):
        assert await passwords.verify(password, passwords.dummy_hash, client="ada") == (False, None)
    passwords.close()


async def test_a_queue_that_is_full_refuses_at_once_and_one_that_is_slow_in_time() -> None:
    """Nobody waits for a hash longer than the setting says: they are told to come again."""
    passwords = PasswordHasher(cost=9, queue_seconds=0.05)
    results = await asyncio.gather(
        *(passwords.hash("a password", client="ada") for _ in range(50)), return_exceptions=True
    )
    refused = [r for r in results if isinstance(r, HashingOverloaded)]
    assert refused
    assert len(refused) < 50
    assert all(r.status == 503 and int((r.headers or {})["Retry-After"]) >= 1 for r in refused)
    assert await passwords.hash("a password", client="ada"), "the queue is empty again"
    passwords.close()


async def test_a_hash_that_nobody_knows_is_an_error_to_see() -> None:
    """A corrupted hash in the database opens the account to nobody, and is no server error."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    assert await passwords.verify("a password", "nonsense", client="ada") == (False, None)
    passwords.close()


@pytest.mark.parametrize("password", ["a" * 100, "😀" * 30, "a\0b"])
async def test_every_byte_of_a_password_is_hashed(password: str) -> None:
    """Passwords that differ anywhere are different passwords."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    stored = await passwords.hash(password, client="ada")
    assert (await passwords.verify(password, stored, client="ada")).correct
    assert not (await passwords.verify(password[:-1], stored, client="ada")).correct
    passwords.close()


def test_no_password_is_normalised_before_its_length_is_known() -> None:
    """NFKC sorts combining marks in quadratic time, and no other thread runs meanwhile."""
    for password in ("x" * (MAX_INPUT_LENGTH + 1), "\u0316\u0301" * MAX_INPUT_LENGTH):
        with pytest.raises(ValueError, match="longer than a password can be"):
            normalise_password(password)
