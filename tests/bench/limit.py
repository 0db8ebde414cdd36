"""The limit of Python on this machine: bare ASGI, psycopg's pool, JSON by orjson. Nothing anybody should write.

It checks the token's signature and expiry by hand and the owner in the statement, and nothing else: no user, no
denylist, no validation, no errors worth the name.
"""

import asyncio
import base64
import hmac
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import bcrypt
import orjson
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

SECRET = os.environ["BETTER_AUTH_SECRET"].encode()
FIELDS = (
    "id, user_id, title, description, status = 'completed' completed, status, priority, version, created_at, updated_at"
)
GET = f"SELECT {FIELDS} FROM tasks WHERE id = %s AND user_id = %s".encode()
LIST = f"SELECT {FIELDS} FROM tasks WHERE user_id = %s ORDER BY created_at DESC, id DESC".encode()
CREATE = (
    "INSERT INTO tasks (id, user_id, title, description, status, priority, version, created_at, updated_at) "
    f"VALUES (%s, %s, %s, NULL, 'pending', 'medium', 1, %s, %s) RETURNING {FIELDS}"
).encode()
PAGE = LIST + b" LIMIT %s"
PATCH = (
    "UPDATE tasks SET title = %s, updated_at = %s, version = version + 1 WHERE id = %s AND user_id = %s "
    f"RETURNING {FIELDS}"
).encode()
ME = b"SELECT id, email, name, created_at FROM users WHERE id = %s"
USE = (
    b"INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at) "
    b"VALUES (%s, %s, %s, 'used', now(), to_timestamp(%s)) ON CONFLICT DO NOTHING RETURNING id"
)
HASH = b"SELECT id, password_hash FROM users WHERE email = %s"
HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")

pool: AsyncConnectionPool[Any]
hashing = ThreadPoolExecutor(os.cpu_count())


def verify(token: bytes) -> dict[str, Any]:
    signed, _, signature = token.rpartition(b".")
    made = base64.urlsafe_b64encode(hmac.digest(SECRET, signed, sha256)).rstrip(b"=")
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(signed.split(b".")[1] + b"=="))
    if not hmac.compare_digest(made, signature) or claims["exp"] <= time.time():
        raise PermissionError
    return claims


def sign(user_id: str, kind: str, life: int) -> str:
    claims = {"sub": user_id, "type": kind, "jti": str(uuid4()), "exp": int(time.time()) + life}
    signed = HEADER + b"." + base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=")
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET, signed, sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


def pair(user_id: str) -> bytes:
    return orjson.dumps(
        {"access_token": sign(user_id, "access", 900), "refresh_token": sign(user_id, "refresh", 604800)}
    )


async def fetch(sql: bytes, *values: Any) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(sql, values)
        rows: list[dict[str, Any]] = await cursor.fetchall()
        return rows


async def answer(scope: Any, receive: Any) -> tuple[int, bytes]:
    method, path = scope["method"], scope["path"]
    body = orjson.loads((await receive())["body"]) if method in ("POST", "PATCH") else {}
    if path == "/api/auth/refresh":
        claims = verify(body["refresh_token"].encode())
        used = await fetch(USE, claims["jti"], claims["jti"], claims["sub"], claims["exp"])
        return (200, pair(claims["sub"])) if used else (401, b"{}")
    if path == "/api/auth/signin":
        (row,) = await fetch(HASH, body["email"])
        right = await asyncio.get_running_loop().run_in_executor(hashing, check, body["password"], row["password_hash"])
        return (200, pair(str(row["id"]))) if right else (401, b"{}")
    token = next(value for name, value in scope["headers"] if name == b"authorization")[7:]
    user_id = UUID(verify(token)["sub"])
    if method == "POST":
        now = datetime.now(UTC)
        return 201, orjson.dumps((await fetch(CREATE, uuid4(), user_id, body["title"], now, now))[0])
    if path == "/api/tasks":
        limit = scope["query_string"].removeprefix(b"limit=")
        return 200, orjson.dumps(await (fetch(PAGE, user_id, int(limit)) if limit else fetch(LIST, user_id)))
    if path == "/api/auth/me":
        return 200, orjson.dumps((await fetch(ME, user_id))[0])
    if method == "PATCH":
        rows = await fetch(PATCH, body["title"], datetime.now(UTC), UUID(path[11:]), user_id)
    else:
        rows = await fetch(GET, UUID(path[11:]), user_id)
    return (200, orjson.dumps(rows[0])) if rows else (404, b"{}")


def check(password: str, hashed: str) -> bool:
    """Verify passlib's bcrypt_sha256 with bcrypt alone."""
    match = re.match(r"\$bcrypt-sha256\$v=2,t=2b,r=(\d+)\$(.{22})\$(.{31})$", hashed)
    cost, salt, checksum = match.groups()  # type: ignore[union-attr]  # the seed made it
    digest = hmac.digest(salt.encode(), password.encode(), sha256)
    plain = f"$2b${int(cost):02d}${salt}{checksum}".encode()
    return bcrypt.checkpw(base64.b64encode(digest), plain)


async def app(scope: Any, receive: Any, send: Any) -> None:
    global pool  # noqa: PLW0603  # the shortest way, and nothing else here matters
    if scope["type"] == "lifespan":
        await receive()
        pool = AsyncConnectionPool(
            os.environ["DATABASE_URL"],
            kwargs={"autocommit": True, "prepare_threshold": 1},
            min_size=4,
            max_size=10,
            open=False,
        )
        await pool.open(wait=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await pool.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    status, body = await answer(scope, receive)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
