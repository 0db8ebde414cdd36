"""People who use the API."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
from jose import jwt

PASSWORD = "correct horse battery 4"
NOBODY = UUID("c3d0e9a4-5f1b-4c7e-9a52-8b6f0e4d1a37")  # for parameters: tests that run side by side need one name each


@dataclass
class Person:
    """Somebody with an account, a client, and the tokens of one session."""

    client: httpx.AsyncClient
    email: str
    password: str = PASSWORD
    user: dict[str, Any] = field(default_factory=dict)
    access_token: str = ""
    refresh_token: str = ""

    @classmethod
    async def sign_up(cls, client: httpx.AsyncClient, **body: Any) -> "Person":
        person = cls(client, body.pop("email", new_email()), body.pop("password", PASSWORD))
        answer = await client.post(
            "/api/auth/signup", json={"email": person.email, "password": person.password, **body}
        )
        assert answer.status_code == 201, answer.text
        return person.keep(answer)

    async def sign_in(self) -> "Person":
        """Open a second session, as on another device."""
        answer = await self.client.post("/api/auth/signin", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        return Person(self.client, self.email, self.password).keep(answer)

    def keep(self, answer: httpx.Response) -> "Person":
        body = answer.json()
        self.user = body.get("user", self.user)
        self.access_token, self.refresh_token = body["access_token"], body["refresh_token"]
        return self

    @property
    def session_id(self) -> str:
        found: str = jwt.get_unverified_claims(self.access_token)["sid"]
        return found

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"} if self.access_token else {}

    async def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = {**self.bearer, **options.pop("headers", {})}
        return await self.client.request(method, url, headers=headers, **options)

    async def get(self, url: str, **options: Any) -> httpx.Response:
        return await self.send("GET", url, **options)

    async def add_task(self, title: str = "Water the plants", **body: Any) -> dict[str, Any]:
        answer = await self.send("POST", "/api/tasks", json={"title": title, **body})
        assert answer.status_code == 201, answer.text
        task: dict[str, Any] = answer.json()
        return task

    async def refresh(
        self, token: str | None = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        body = {"refresh_token": token or self.refresh_token}
        with_key = {"Idempotency-Key": key} if key else {}
        return await self.client.post("/api/auth/refresh", json=body, headers=with_key | (headers or {}))


async def is_signed_in(person: Person) -> bool:
    answer = await person.get("/api/auth/me")
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def pair(answer: httpx.Response) -> tuple[str, str]:
    """Return the tokens in the answer to a refresh."""
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["refresh_token"]


def new_email() -> str:
    return f"{uuid4().hex}@example.test"
