"""Nothing forged passes: not as a bearer, not in a refresh, not in a sign-out, not in a cookie."""

import random

import httpx
import pytest
from jose import jwt

from tests.attacks.forms import ed25519_sign, forged, public_header
from tests.support.people import Person
from tests.support.rounds import rounds
from tests.support.server import app_of

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
MUTATIONS = rounds(10_000)


async def send(client: httpx.AsyncClient, place: str, token: str) -> httpx.Response:
    if place == "bearer":
        headers = [(b"Authorization", b"Bearer " + token.encode("utf-8", "surrogatepass"))]
        return await client.get("/api/tasks", headers=headers)
    if place == "cookie":
        cookie = b"__Host-refresh=" + token.encode("utf-8", "surrogatepass")
        headers = [(b"Origin", b"http://localhost:3000"), (b"Cookie", cookie)]
        return await client.post("/api/auth/refresh", json={"cookie": True}, headers=headers)
    return await client.post(f"/api/auth/{place}", json={"refresh_token": token})


def as_read(place: str, token: str) -> str:
    """Return what the place's own syntax leaves of a token: a cookie ends at a semicolon. Source: RFC 6265 5.4."""
    return token.partition(";")[0].strip() if place == "cookie" else token


def with_public_key(token: str) -> str:
    """Return the same access token as `ACCESS_TOKEN_ALGORITHM=EdDSA` would issue it, which every process reads."""
    return ed25519_sign(public_header(), jwt.get_unverified_claims(token))


async def test_no_catalogued_form_passes_in_any_place(client: httpx.AsyncClient, ada: Person) -> None:
    """No forged token opens, refreshes or ends anything, and the valid ones keep working."""
    counted = {}
    public = with_public_key(ada.access_token)
    assert (await send(client, "bearer", public)).status_code == 200
    for place, genuine in (
        ("bearer", ada.access_token),
        ("bearer", public),
        ("refresh", ada.refresh_token),
        ("signout", ada.refresh_token),
        ("cookie", ada.refresh_token),
    ):
        forms = {name: token for name, token in forged(genuine) if as_read(place, token) != genuine}
        accepted = []
        for name, token in forms.items():
            answer = await send(client, place, token)
            assert answer.status_code < 500, (name, answer.text)
            # A token of another version is that of an ended session, of which signing out is no error.
            if answer.status_code != (200 if (place, name) == ("signout", "ver '1'") else 401):
                accepted.append(name)
        assert accepted == []
        counted[place, jwt.get_unverified_header(genuine)["alg"]] = len(forms)
        assert len(forms) >= 130
    print(f"forged forms refused: {counted}; accepted 0, above 499 0")
    assert (await ada.get("/api/tasks")).status_code == 200
    assert (await ada.refresh()).status_code == 200


@pytest.mark.slow
async def test_no_mutation_of_a_genuine_token_passes(client: httpx.AsyncClient, ada: Person) -> None:
    """Nobody makes a token by changing a valid one: thousands of changes of one to three characters fail."""
    chance, public = random.Random(7), with_public_key(ada.access_token)
    refused = 0
    while refused < MUTATIONS:
        place, genuine = chance.choice(
            [
                *(("bearer", ada.access_token), ("bearer", public)),
                *(("refresh", ada.refresh_token), ("cookie", ada.refresh_token)),
            ]
        )
        token = list(genuine)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(token))
            match chance.randrange(3):
                case 0:
                    token[at] = chance.choice(ALPHABET)
                case 1:
                    token.insert(at, chance.choice(ALPHABET))
                case _:
                    del token[at]
        changed = "".join(token)
        if changed.strip(" ") == genuine:
            continue
        answer = await send(client, place, changed)
        assert answer.status_code == 401, changed
        refused += 1
    print(f"mutations refused: {refused}; accepted 0, above 499 0")
    assert (await ada.get("/api/tasks")).status_code == 200
    assert (await ada.refresh()).status_code == 200


async def test_a_forged_token_costs_no_connection(client: httpx.AsyncClient, ada: Person) -> None:
    """A flood of forged tokens does not keep the database from anybody else."""
    pool = app_of(client).state.database.pool
    before = pool.get_stats().get("requests_num", 0)
    sent = 0
    for place in ("bearer", "refresh", "signout", "cookie"):
        for genuine in (ada.access_token, with_public_key(ada.access_token)):
            for _, token in list(forged(genuine))[:40]:
                await send(client, place, token)
                sent += 1
    assert pool.get_stats().get("requests_num", 0) == before
    assert (await ada.get("/api/tasks")).status_code == 200
    assert pool.get_stats()["requests_num"] > before
    print(f"connections taken by {sent} forged tokens: 0")
