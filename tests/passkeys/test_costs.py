"""What a passkey costs: round trips to the database, and never a hash."""

from collections import Counter
from typing import Any

import httpx
import pytest

from app.auth.passwords import PasswordHasher
from tests.support.authenticator import (
    PASSKEYS,
    PROOF_OPTIONS,
    SIGN_IN,
    SIGN_IN_OPTIONS,
    Authenticator,
    add_passkey,
    creation_options,
    proof_of,
    sign_in_options,
    spelled,
)
from tests.support.people import Person
from tests.support.server import Service, elsewhere
from tests.test_costs import executed

__all__ = ["executed"]

ROUND_TRIPS = {
    f"POST {SIGN_IN_OPTIONS}": 0,
    f"POST {SIGN_IN}": 7,  # the limit and given back, the key, its challenge, its count, the session, those too many
    f"POST {PASSKEYS}/options": 2,  # the account, its keys
    f"POST {PASSKEYS}": 9,  # the session, two challenges, one twice, the proof's key and count, the keys, a lock, one
    f"GET {PASSKEYS}": 1,
    f"POST {PASSKEYS}/{{id}}/delete": 6,  # the session, the proof's key, challenge and count, the keys, the one
    f"POST {PROOF_OPTIONS}": 1,
    "POST /api/auth/tokens": 7,  # the session, the proof's key, challenge and count, the tokens, a lock, the new one
}


@pytest.mark.parametrize("operation", ROUND_TRIPS)
async def test_each_operation_is_so_many_round_trips_and_no_hash(
    service: Service, executed: Counter[str], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passkey takes a millisecond, however many passwords wait for their hashes."""
    monkeypatch.setattr("app.sessions.lifetimes.PRUNE_EVERY", 2**128)  # one in eight has one more
    async with service(passkeys="on", rate_limits="on") as started, elsewhere(started) as client:
        ada = await Person.sign_up(client)
        own = await add_passkey(ada)
        bodies = await _bodies(client, ada, own)
        monkeypatch.setattr(PasswordHasher, "verify", _no_hash)
        method, _, path = operation.partition(" ")
        executed.clear()
        answer = await ada.send(method, path.format(id=spelled(own.keys[0].id)), json=bodies.get(operation))
    assert answer.is_success, answer.text
    assert executed["statements"] == ROUND_TRIPS[operation]


async def test_what_is_malformed_takes_the_limit_alone(service: Service, executed: Counter[str]) -> None:
    """Who sends nonsense costs one statement, and none without a limit."""
    own = Authenticator()
    async with service(passkeys="on") as client:
        ada = await Person.sign_up(client)
        own.make(await creation_options(ada))
        credential = own.sign({"challenge": "AAAA"})
        executed.clear()
        assert (await client.post(SIGN_IN, json={"credential": credential})).status_code == 401
        assert executed["statements"] == 0


async def _bodies(client: httpx.AsyncClient, ada: Person, own: Authenticator) -> dict[str, Any]:
    other = Authenticator()
    return {
        f"POST {SIGN_IN}": {"credential": own.sign(await sign_in_options(client))},
        f"POST {PASSKEYS}/{{id}}/delete": {"proof": await proof_of(ada, own, "passkey")},
        f"POST {PASSKEYS}": {
            "credential": other.make(await creation_options(ada)),
            "proof": await proof_of(ada, own, "passkey"),
        },
        f"POST {PROOF_OPTIONS}": {"for": "delete"},
        "POST /api/auth/tokens": {
            "name": "x",
            "scopes": ["tasks:read"],
            "days": 1,
            "proof": await proof_of(ada, own, "token"),
        },
    }


def _no_hash(*_: Any, **__: Any) -> Any:
    raise AssertionError("a hash was made")
