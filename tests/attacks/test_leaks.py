"""No password, secret, token or address of the database in a log, a body or a row."""

import json
from pathlib import Path

import httpx
import psycopg

from tests.support.checks import TOKEN
from tests.support.people import Person
from tests.support.server import serving
from tests.support.settings import SECRET

PASSWORD = "c4nary-Passw0rd"
DSN_PASSWORD = "c4nary-Dsn-Passw0rd"
MAIL_PASSWORD = "c4nary-Mail-Passw0rd"
MAIL = {
    "MAIL_URL": f"smtp+plain://me:{MAIL_PASSWORD}@127.0.0.1:9",  # where nobody answers
    "MAIL_FROM": "no-reply@example.com",
    "SERVICE_NAME": "Tasks",
    "FRONTEND_URL": "https://app.example.com",
}
NASTY = 'x\r\n{"level": "error", "event": "forged"}\x1b[31m\u2028'


async def use_everything(client: httpx.AsyncClient) -> tuple[Person, list[str]]:
    """Do all there is, well and badly; return the person and the bodies of all answers without tokens of their own."""
    ada = await Person.sign_up(client, password=PASSWORD, name=NASTY.replace("\x1b", ""))
    bodies = []
    wrong = [{"email": ada.email, "password": PASSWORD + "x"}, {"email": PASSWORD, "password": PASSWORD}]
    for body in (*wrong, {"password": PASSWORD}):
        for path in ("signin", "signup", "refresh", "signout"):
            bodies.append((await client.post(f"/api/auth/{path}", json=body)).text)
    form = {"grant_type": "password", "username": ada.email, "password": PASSWORD + "x"}
    bodies.append((await client.post("/api/auth/token", data=form)).text)
    task = await ada.add_task(NASTY)
    bodies += [(await ada.get(f"/api/tasks/{ada.access_token}")).text, (await ada.get(f"/{ada.access_token}")).text]
    bodies += [(await ada.get(f"/api/tasks?q={ada.access_token}&cursor={ada.refresh_token}")).text]
    bodies += [(await ada.send("PUT", f"/api/tasks/{task['id']}", content=PASSWORD)).text]
    old = ada.refresh_token
    ada.keep(await ada.refresh())
    bodies += [(await ada.refresh(old)).text, (await ada.get("/api/tasks")).text]
    bodies += await use_the_account(client, ada)
    headers = {"User-Agent": "x\x1b[31m", "X-Request-ID": '"},{"level":"error"}'}
    bodies.append((await client.get("/nope", headers=headers)).text)
    return ada, bodies


async def use_the_account(client: httpx.AsyncClient, ada: Person) -> list[str]:
    """Look at sessions, fail and succeed to change the password, and reset it, each with a secret in a wrong place."""
    other = Person(client, ada.email, PASSWORD)
    other.keep(await client.post("/api/auth/signin", json={"email": ada.email, "password": PASSWORD, "device": NASTY}))
    wrong = {"current_password": PASSWORD + "x", "new_password": PASSWORD}
    bodies = [(await other.send("POST", f"/api/auth/{path}", json=wrong)).text for path in ("password", "me/delete")]
    for token in (other.access_token, PASSWORD):
        bodies.append((await client.post("/api/auth/reset", json={"token": token, "new_password": PASSWORD})).text)
    for path, body in (
        ("reset/mail", {"email": ada.email}),
        ("email/verify/mail", {}),
        ("email/verify", {"token": other.access_token}),
        ("email/confirm", {"token": PASSWORD}),
        ("email", {"email": "new@example.test", "proof": {"current_password": PASSWORD}}),
        ("email", {"email": PASSWORD, "proof": {"current_password": PASSWORD + "x"}}),
    ):
        bodies.append((await other.send("POST", f"/api/auth/{path}", json=body)).text)
    bodies.append((await other.send("DELETE", f"/api/auth/sessions/{other.access_token}")).text)
    bodies.append((await other.send("PATCH", "/api/auth/me", json={"name": [PASSWORD]})).text)
    right = {"current_password": PASSWORD, "new_password": PASSWORD}
    other.keep(await other.send("POST", "/api/auth/password", json=right))
    bodies.append((await other.get("/api/auth/sessions")).text)
    return bodies


async def test_nothing_secret_is_logged_answered_or_stored(own_database_url: str, tmp_path: Path) -> None:
    """No secret is in a log, an answer or a row, though everything is tried and DEBUG is on.

    One line of the log is one JSON object. Source: SC-018.
    """
    # PostgreSQL's socket asks for no password; the address carries one all the same, so that it could leak.
    url = own_database_url.replace("postgres@", f"postgres:{DSN_PASSWORD}@")
    with serving(tmp_path, DATABASE_URL=url, LOG_LEVEL="DEBUG", **MAIL) as server:  # type: ignore[arg-type]  # text
        async with httpx.AsyncClient(base_url=server.url) as client:
            ada, bodies = await use_everything(client)
    logged = server.log.read_text()
    lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    assert len(lines) > 20
    assert not [line for line in lines if line.get("event") == "forged"]
    assert {line["event"] for line in lines} >= {"signed_up", "sign_in_failed", "refresh_reuse_detected", "request"}
    assert {line["event"] for line in lines} >= {"mail_delayed", "mail_failed", "email_change_asked"}
    assert not [line for line in lines if line["event"].startswith("mail_") and "@" in str(line)]
    with psycopg.connect(own_database_url) as connection:
        tables = ("users", "tasks", "sessions", "token_denylist", "rate_limit_counters")
        rows = "".join(
            str(connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(t))).fetchall())
            for t in tables
        )
    hits = 0
    for where in (logged, "".join(bodies), rows):
        for secret in (PASSWORD, DSN_PASSWORD, MAIL_PASSWORD, SECRET, ada.access_token, ada.refresh_token):
            hits += secret in where
        hits += len(TOKEN.findall(where))
    hits += sum("$bcrypt" in where for where in (logged, "".join(bodies)))
    print(f"secrets found in {len(lines)} log lines, {len(bodies)} bodies and all rows: {hits}")
    assert hits == 0
