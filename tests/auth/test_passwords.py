"""Hashing, in its pool and its queue."""

import asyncio

import pytest

from app.auth.passwords import HashingOverloaded, PasswordHasher


async def test_what_cannot_be_a_password_is_a_wrong_one() -> None:
    """A text that cannot be a password is answered like any wrong password. Source: T-C01, T-C04."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    for password in ("", "\ud800", "x" * 5000):
        assert await passwords.verify(password, passwords.dummy_hash) == (False, None)
    passwords.close()


async def test_a_queue_that_is_full_refuses_at_once_and_one_that_is_slow_in_time() -> None:
    """Nobody waits for a hash longer than the setting says: they are told to come again. Source: T-C31."""
    passwords = PasswordHasher(cost=9, queue_seconds=0.05)
    results = await asyncio.gather(*(passwords.hash("a password") for _ in range(50)), return_exceptions=True)
    refused = [r for r in results if isinstance(r, HashingOverloaded)]
    assert refused
    assert len(refused) < 50
    assert all(r.status == 503 and int((r.headers or {})["Retry-After"]) >= 1 for r in refused)
    assert await passwords.hash("a password"), "the queue is empty again"
    passwords.close()


async def test_a_hash_that_nobody_knows_is_an_error_to_see() -> None:
    """A corrupted hash in the database opens the account to nobody, and is no server error."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    assert await passwords.verify("a password", "nonsense") == (False, None)
    passwords.close()


@pytest.mark.parametrize("password", ["a" * 100, "😀" * 30, "a\0b"])
async def test_every_byte_of_a_password_is_hashed(password: str) -> None:
    """Passwords that differ anywhere are different passwords. Source: T-C05, T-C06, T-C07."""
    passwords = PasswordHasher(cost=4, queue_seconds=5)
    stored = await passwords.hash(password)
    assert (await passwords.verify(password, stored)).correct
    assert not (await passwords.verify(password[:-1], stored)).correct
    passwords.close()
