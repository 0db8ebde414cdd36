"""Rotation as a state machine, held against a model of a few lines."""

from typing import Any
from uuid import uuid4

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jose import jwt

from app.sessions.rotation_repository import USES_KEPT
from tests.support.people import Person
from tests.support.server import Service

ACTIONS = (
    *("sign in", "refresh", "refresh with key", "replay", "ask again"),
    *("sign out", "everywhere", "others", "end", "change password"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    min_size=5,
    max_size=25,
)


class Model:
    """Each session: its refresh tokens in order, whether it is active or reused, and how often all had ended before.

    `keys` has the key with which each token was used, None without one.
    """

    def __init__(self) -> None:
        self.chains: list[list[str]] = []
        self.keys: dict[str, str | None] = {}
        self.used_by: dict[str, str] = {}
        self.alive: list[bool] = []
        self.reused: set[int] = set()
        self.versions: list[int] = []
        self.version = 0

    def begin(self, token: str) -> None:
        self.chains.append([token])
        self.alive.append(True)
        self.versions.append(self.version)

    def end_others(self, number: int) -> None:
        self.alive = [lives and which == number for which, lives in enumerate(self.alive)]

    def raise_version(self) -> None:
        self.version += 1

    def end_everywhere(self, number: int) -> int:
        """Return the answer: an older token finds it done, one of a session that was ended otherwise may not."""
        if self.versions[number] == self.version:
            if not self.alive[number] and number not in self.reused:
                return 401
            self.alive = [False] * len(self.alive)
            self.raise_version()
        return 200


async def end(person: Person, people: list[Person], number: int, ended: int, model: Model) -> None:
    """End one of the sessions from another, and compare the list with the model."""
    ids = [jwt.get_unverified_claims(one.access_token)["sid"] for one in people]
    answer = await person.send("DELETE", f"/api/auth/sessions/{ids[ended]}")
    expected = (204 if model.alive[ended] else 404) if model.alive[number] else 401
    assert answer.status_code == expected
    if expected == 204:
        model.alive[ended] = False
    if model.alive[number]:
        listed = [session["id"] for session in (await person.get("/api/auth/sessions")).json()]
        assert sorted(listed) == sorted(it for it, lives in zip(ids, model.alive, strict=True) if lives)


async def play(  # noqa: C901  # one machine
    client: httpx.AsyncClient, steps: list[tuple[str, int, int]], *, leeway: bool = False
) -> None:
    """Take the steps; with a leeway, which no step outlasts, the client gets the last pair again without a key.

    A thief, who has another program, has none.
    """
    ada = await Person.sign_up(client)
    model, people = Model(), [ada]
    model.begin(ada.refresh_token)
    for action, which, back in steps:
        number = which % len(people)
        person, chain = people[number], model.chains[number]
        if action == "sign in":
            people.append(await ada.sign_in())
            model.begin(people[-1].refresh_token)
        elif action in ("refresh", "refresh with key", "replay", "ask again"):
            token = chain[-1] if action.startswith("refresh") else chain[max(0, len(chain) - 2 - back)]
            used_with = model.keys.get(token)
            key = {"refresh with key": uuid4().hex, "ask again": used_with}.get(action)
            agent = "thief" if action == "replay" and back % 2 == 0 else "owner"
            answer = await person.refresh(token, key=key, headers={"User-Agent": agent})
            newest, again = token == chain[-1], key is not None and key == used_with
            at_once = leeway and model.used_by.get(token) == agent
            good = newest or ((again or at_once) and token == chain[-2])
            assert answer.status_code == (200 if model.alive[number] and good else 401)
            if answer.status_code == 200 and newest:
                chain.append(person.keep(answer).refresh_token)
                model.keys[token] = key
                model.used_by[token] = agent
            elif answer.status_code == 200:
                assert answer.json()["refresh_token"] == chain[-1]
            elif not newest and not (again and token in chain[-USES_KEPT - 1 :]):
                model.reused |= {number} if model.alive[number] else set()
                model.alive[number] = False
        elif action == "sign out":
            assert (await client.post("/api/auth/signout", headers=person.bearer)).status_code == 200
            model.alive[number] = False
        elif action == "everywhere":
            answer = await client.post("/api/auth/signout", headers=person.bearer, json={"everywhere": True})
            assert answer.status_code == model.end_everywhere(number)
        elif action == "others":
            answer = await client.post("/api/auth/signout", headers=person.bearer, json={"others": True})
            assert answer.status_code == (200 if model.alive[number] else 401)
            if model.alive[number]:
                model.end_others(number)
        elif action == "end":
            await end(person, people, number, (number + back) % len(people), model)
        elif action == "change password":
            same = {"current_password": ada.password, "new_password": ada.password}
            answer = await person.send("POST", "/api/auth/password", json=same)
            assert answer.status_code == (200 if model.alive[number] else 401)
            if model.alive[number]:
                model.end_others(number)
                model.raise_version()
                model.versions[number] = model.version
                model.chains[number] = [person.keep(answer).refresh_token]
        for one, lives in zip(people, model.alive, strict=True):
            assert (await one.get("/api/auth/me")).status_code == (200 if lives else 401)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_rotation_does_what_the_model_says(client: httpx.AsyncClient, steps: Any) -> None:
    """Only active sessions work, and only they are listed, whatever one does in whatever order.

    Source: FR-011, FR-012, FR-051, FR-052, FR-054, FR-057.
    """
    await play(client, steps)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_rotation_with_a_leeway_does_what_the_model_says(service: Service, steps: Any) -> None:
    """The same holds with a leeway: the client that used a token gets the last pair again, a thief ends the session."""
    async with service(refresh_reuse_leeway_seconds=300) as client:
        await play(client, steps, leeway=True)


async def test_the_model_tells_a_wrong_service(service: Service) -> None:
    """The test above would notice a service that is wrong: one with a leeway does not pass it."""
    async with service(refresh_reuse_leeway_seconds=60) as lenient:
        try:
            await play(lenient, [("refresh", 0, 0), ("replay", 0, 1)])
        except AssertionError:
            return
    raise AssertionError("the model accepted a replay")
