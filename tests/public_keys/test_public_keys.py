"""Access tokens that other services verify without asking, and cannot make."""

import cProfile
import pstats
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import cache
from itertools import product
from typing import Any, NamedTuple
from uuid import uuid4
from warnings import catch_warnings, simplefilter

import httpx
import pytest
from jose.jwt import get_unverified_header
from joserfc.errors import JoseError, SecurityWarning

from app.auth.principal import Principal
from app.auth.tokens import make_codec
from tests.attacks.forms import public_header, public_key, segment
from tests.support.clock import FrozenClock
from tests.support.people import Person, is_signed_in, pair
from tests.support.recipes import code_of
from tests.support.server import Service
from tests.support.settings import ROOT, SECRET, environment_of, make_settings

NEW = "another-secret-with-many-different-characters-0123456789"
KEY = "0123456789abcdefghijKL"
ALGORITHMS = ("HS256", "EdDSA")


async def key_set(client: httpx.AsyncClient) -> Any:
    answer = await client.get("/api/auth/jwks")
    assert answer.status_code == 200
    return answer.json()


@contextmanager
def old_name() -> Iterator[None]:
    """Let joserfc read `EdDSA`, which RFC 9864 would rather call `Ed25519`; other readers know the former alone."""
    with catch_warnings():
        simplefilter("ignore", SecurityWarning)
        yield


@cache
def of_the_page() -> dict[str, Any]:
    """Return what the lines of docs/tokens.md make."""
    made: dict[str, Any] = {}
    exec(code_of("tokens.md", "python"), made)
    return made


def verified(token: str, keys: Any) -> str:
    """Read the user as another service in Python does that follows docs/tokens.md and has nothing but the keys."""
    with old_name():
        return str(of_the_page()["user_of"](token, keys))


async def test_the_keys_are_those_of_both_secrets(service: Service) -> None:
    """Other services know the key of a new secret before it signs: both are shown, whatever signs here."""
    for algorithm in ALGORITHMS:
        async with service(access_token_algorithm=algorithm, better_auth_secret_previous=NEW) as client:
            answer = await client.get("/api/auth/jwks")
            assert answer.headers["cache-control"] == "max-age=300"
            assert answer.headers["content-type"] == "application/json"
            shared = {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"}
            assert answer.json()["keys"] == [
                {**shared, "x": segment(public_key(secret)), "kid": public_header(secret)["kid"]}
                for secret in (SECRET, NEW)
            ]
            assert (await client.head("/api/auth/jwks")).status_code == 200
            assert (await client.post("/api/auth/jwks")).status_code == 405
    async with service() as client:
        assert len((await key_set(client))["keys"]) == 1


async def test_another_service_reads_the_user_and_takes_nothing_else(service: Service) -> None:
    """A service in Python reads who is calling by the keys alone, and refuses what is no access token of ours.

    Source: FR-060.
    """
    async with service(access_token_algorithm="EdDSA") as client, service() as with_secret:
        keys = await key_set(client)
        ada = await Person.sign_up(client)
        assert verified(ada.access_token, keys) == ada.user["id"]
        signed = ada.access_token.rpartition(".")[0]
        shared = await Person.sign_up(with_secret)
        stranger = await Person.sign_up(with_secret)
        forged = (
            f"{signed}.{segment(bytes(64))}",
            f"{signed}.{stranger.access_token.rpartition('.')[2]}",
            shared.access_token,
            ada.refresh_token,
        )
        for token in forged:
            with pytest.raises(JoseError):
                verified(token, keys)


async def test_every_process_reads_both_forms(service: Service) -> None:
    """The algorithm is changed, either way, while people work: no process refuses what another has issued."""
    async with service() as before, service(access_token_algorithm="EdDSA") as after:
        for issuer, reader in ((before, after), (after, before)):
            ada = await Person.sign_up(issuer)
            ada.client = reader
            assert await is_signed_in(ada)
            ada.keep(await ada.refresh())
            ada.client = issuer
            assert await is_signed_in(ada)
            ada.client = reader
            assert (await ada.send("POST", "/api/auth/signout")).status_code == 200
            ada.client = issuer
            assert not await is_signed_in(ada)


async def test_a_pair_that_is_asked_for_again_is_the_same(service: Service) -> None:
    """Ed25519 needs no random number: a lost answer is given again byte for byte."""
    async with service(access_token_algorithm="EdDSA") as client:
        ada = await Person.sign_up(client)
        answers = [await ada.refresh(key=KEY) for _ in range(5)]
        assert len({pair(answer) for answer in answers}) == 1
        ada.keep(answers[0])
        assert verified(ada.access_token, await key_set(client)) == ada.user["id"]


class Process(NamedTuple):
    """One of those that serve, with its own settings."""

    stack: AsyncExitStack
    client: httpx.AsyncClient

    @classmethod
    async def start(cls, service: Service, **secrets: Any) -> "Process":
        stack = AsyncExitStack()
        return cls(stack, await stack.enter_async_context(service(access_token_algorithm="EdDSA", **secrets)))


async def go_on(person: Person, client: httpx.AsyncClient, known: list[Any]) -> None:
    """Let readers with each of these sets of keys, and a process, read this person's tokens, and refresh them there."""
    assert [verified(person.access_token, keys) for keys in known] == [person.user["id"]] * len(known)
    person.client = client
    assert await is_signed_in(person)
    person.keep(await person.refresh())
    assert await is_signed_in(person)


async def test_a_new_secret_refuses_nobody_anywhere(service: Service) -> None:
    """The secret is changed by three rolling updates while people work and others verify: not one request is refused.

    The new one stands as the previous one first, so that every process and every reader knows it before it signs.
    A reader has the keys of before the update that goes on.
    """
    steps: list[dict[str, Any]] = [
        {"better_auth_secret_previous": NEW},
        {"better_auth_secret": NEW, "better_auth_secret_previous": SECRET},
        {"better_auth_secret": NEW},
    ]
    processes = [await Process.start(service), await Process.start(service)]
    people = [await Person.sign_up(process.client) for process in processes]
    rounds = 0
    for step, place in product(steps, (0, 1)):
        if place == 0:
            known = [await key_set(process.client) for process in processes]
        for person in people:
            assert (await person.refresh(key=KEY)).status_code == 200
        await processes[place].stack.aclose()
        processes[place] = await Process.start(service, **step)
        for person in people:  # that answer was lost as the process ended
            person.client = processes[place].client
            person.keep(await person.refresh(key=KEY))
        for process in processes:
            for person in (*people, await Person.sign_up(process.client)):
                await go_on(person, process.client, known)
                rounds += 1
    for process in processes:
        await process.stack.aclose()
    assert get_unverified_header(people[0].access_token) == public_header(NEW)
    print(f"three rolling updates, {rounds} times read here and elsewhere and refreshed: refused 0")


def test_a_known_token_costs_the_same(clock: FrozenClock) -> None:
    """A token is verified once: from then on reading it takes not one function call more than with HS256."""
    calls = {}
    for algorithm in ALGORITHMS:
        tokens = make_codec(make_settings("postgresql://localhost/none", access_token_algorithm=algorithm))
        who = Principal(uuid4(), uuid4(), 0, clock())
        token = tokens.issue(who, refresh_id=uuid4(), number=1).access_token
        assert get_unverified_header(token)["alg"] == algorithm
        tokens.read(token, "access", clock())
        recorder = cProfile.Profile()
        recorder.runcall(tokens.read, token, "access", clock())
        calls[algorithm] = pstats.Stats(recorder).total_calls  # type: ignore[attr-defined]  # not in the stubs
    assert calls["EdDSA"] == calls["HS256"], calls


LOADED = """
import sys
from datetime import UTC, datetime
from uuid import uuid4
from app.auth.principal import Principal
from app.core.config import load_settings
from app.main import create_app
from app.auth.tokens import make_codec

settings = load_settings(_env_file=None)
create_app(settings)
tokens, now = make_codec(settings), datetime.now(UTC)
pair = tokens.issue(Principal(uuid4(), uuid4(), 0, now), refresh_id=uuid4(), number=1)
tokens.read(pair.access_token, "access", now)
print("app.auth.ed25519" in sys.modules)
tokens.published_keys()
print("app.auth.ed25519" in sys.modules)
"""


@pytest.mark.slow
def test_who_signs_with_the_secret_loads_nothing_of_it() -> None:
    """With HS256 nothing of the other algorithm is loaded, until somebody asks for the keys."""
    environment = environment_of(BETTER_AUTH_SECRET=SECRET, DATABASE_URL="postgresql://localhost/none")
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "False\nTrue\n", done.stderr
