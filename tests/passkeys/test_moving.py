"""Passkeys that are taken along: by a dump that is restored, and by a person who leaves."""

import asyncio
import json
from pathlib import Path

import pytest

from app.cli import commands
from app.core.database.dsn import parse_database_url
from app.operations.backup import dump
from tests.operations.test_backup import restore_and_end_sessions
from tests.support.authenticator import PASSKEYS, Authenticator, add_passkey, proof_of, sign_in_by, spelled
from tests.support.people import Person
from tests.support.server import running
from tests.support.settings import SECRET, make_settings


async def test_keys_of_a_dump_sign_in_after_its_restoring(own_database_url: str, tmp_path: Path) -> None:
    """A restored database has the keys of the dump: their owner gets in, and no proof of an ended session counts."""
    file = tmp_path / "backup.dump"
    async with running(make_settings(own_database_url, passkeys="on")) as client:
        ada = await Person.sign_up(client)
        counting, synced = await add_passkey(ada), await add_passkey(ada, Authenticator(counts=False, synced=True))
        assert (await sign_in_by(client, counting)).status_code == 200
        dump(parse_database_url(own_database_url), file)
        assert (await sign_in_by(client, counting)).status_code == 200
        late = await add_passkey(ada)
        proof = await proof_of(ada, synced, "delete")
        restore_and_end_sessions(own_database_url, file)
        assert (await ada.send("POST", "/api/auth/me/delete", json={"proof": proof})).status_code == 401
        assert (await sign_in_by(client, late)).status_code == 401
        for own in (counting, synced):
            again = Person(client, ada.email).keep(await sign_in_by(client, own))
        assert len((await again.get(PASSKEYS)).json()) == 2


async def test_a_person_takes_the_list_along(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export has each key, as its owner sees it in the list."""
    async with running(make_settings(own_database_url, passkeys="on")) as client:
        ada = await Person.sign_up(client)
        for name in ("Phone", "Laptop"):
            own = await add_passkey(ada, name=name)
        listed = (await ada.get(PASSKEYS)).json()
    monkeypatch.setenv("DATABASE_URL", own_database_url)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    capsys.readouterr()
    await asyncio.to_thread(commands.main, ["users", "export", ada.email])
    exported = json.loads(capsys.readouterr().out)
    assert exported["passkeys"] == listed
    assert listed[1]["id"] == spelled(own.keys[0].id)
