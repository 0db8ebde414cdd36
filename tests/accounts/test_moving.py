"""`python -m app users import` and `users export`."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from time import process_time
from uuid import UUID

import bcrypt
import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from app.accounts import moving
from app.auth.passwords import PasswordHasher
from app.belongings import EXPORTED
from app.cli import moving as commands
from app.tables import metadata
from tests.accounts.conftest import Run
from tests.support.people import Person

PASSWORD = "ﬁne Passwörd"  # three forms: as it is typed, composed and compatible, decomposed
File = Callable[[str], str]
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("PASSWORD_HASH_COST", "4")


def hashed(password: str, prefix: str = "$2b$") -> str:
    return prefix + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()[4:]


async def signs_in(client: httpx.AsyncClient, email: str, password: str) -> bool:
    body = {"email": email, "password": password}
    return (await client.post("/api/auth/signin", json=body)).status_code == 200


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """Writes a file, and returns its name."""

    def write(content: str) -> str:
        (tmp_path / "users").write_text(content, errors="surrogateescape")
        return str(tmp_path / "users")

    return write


def json_lines(*accounts: Mapping[str, object]) -> str:
    return "".join(json.dumps(account) + "\n" for account in accounts)


async def test_people_of_another_system_sign_in_with_their_passwords(
    own_client: httpx.AsyncClient, run: Run, file: File, own_database_url: str
) -> None:
    """Who moves in keeps the password, in whatever form it was hashed; at the first sign-in the hash becomes ours."""
    django = bcrypt.hashpw(sha256(PASSWORD.encode()).hexdigest().encode(), bcrypt.gensalt(4)).decode()
    hashes = {
        **{f"as-typed{prefix[1:3]}": hashed(PASSWORD, prefix) for prefix in ("$2a$", "$2b$", "$2y$")},
        "composed": hashed("fine Passw\u00f6rd"),
        "decomposed": hashed("fine Passwo\u0308rd"),
        "django": f"bcrypt$${hashed(PASSWORD)[1:]}",
        "django-sha256": f"bcrypt_sha256${django}",
    }
    people = {f"{name}@old.example": text for name, text in hashes.items()}
    name = file(json_lines(*({"email": f" {email.upper()}", "hash": text} for email, text in people.items())))
    assert await asyncio.to_thread(run, "import", name) == ""
    assert all([await signs_in(own_client, email, PASSWORD) for email in people])
    with psycopg.connect(make_conninfo(own_database_url)) as connection:
        stored = [row[0] for row in connection.execute("SELECT password_hash FROM users").fetchall()]
    assert len(stored) == len(people)
    assert all(text.startswith("$bcrypt-sha256$") for text in stored)
    assert all([await signs_in(own_client, email, "fine Passwo\u0308rd") for email in people])
    assert not any([await signs_in(own_client, email, "fine password") for email in people])


async def test_a_password_beyond_72_bytes_moves_in(own_client: httpx.AsyncClient, run: Run, file: File) -> None:
    """A password that bcrypt had cut is right as a whole, and from then on no part of it is."""
    long = "ä" * 50
    name = file(json_lines({"email": "long@old.example", "hash": hashed("ä" * 36)}))
    await asyncio.to_thread(run, "import", name)
    assert await signs_in(own_client, "long@old.example", long)
    assert not await signs_in(own_client, "long@old.example", "ä" * 36)


async def test_each_line_that_is_not_taken_says_why_and_a_second_run_takes_what_was_mended(
    own_client: httpx.AsyncClient,
    run: Run,
    file: File,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An operator learns of every line what is wrong with it, mends the file and runs it again."""
    monkeypatch.setattr(moving, "BATCH", 4)
    there = await Person.sign_up(own_client, name="Stays")
    expensive = "$2b$05$" + HASH[7:]
    rows = [
        ("name,email,hash,created_at,extra", ""),
        (f'"Lovelace, Ada",ada@old.example,{HASH},2020-02-29 10:00:00.5+01,x', ""),
        (f",ADA@old.example,{HASH},,", "skipped: ada@old.example is in line 2"),
        (f",{there.email},{HASH},,", f"skipped: {there.email} has an account already"),
        (f",nobody,{HASH},,", "not taken: the e-mail address is not valid"),
        (f",,{HASH},,", "not taken: it has no e-mail address"),
        (f"{'x' * 101},b@old.example,{HASH},,", "not taken: the name has 101 characters, 100 are the most"),
        (f",c@old.example,{HASH},31.12.2020,", "not taken: created_at is no date such as 2026-01-31 10:00:00+00"),
        (f",c@old.example,{HASH},9999-12-31,", "not taken: created_at lies ahead"),
        (f",c@old.example,{HASH}", "not taken: it has 3 columns, the first line 5"),
        (",c@old.example,,,", "not taken: it has no hash"),
        (",c@old.example,pbkdf2_sha256$600000$x$y,,", "not taken: pbkdf2 hashes are not verified here"),
        (",c@old.example,$argon2id$v=19$x,,", "not taken: argon2 hashes are not verified here"),
        (f",c@old.example,$2x$10${HASH[7:]},,", "not taken: $2x$ hashes are not verified here"),
        (f",c@old.example,{HASH[:-1]},,", "not taken: the hash is damaged"),
        (f",c@old.example,{HASH[:29]},,", "not taken: the hash is cut off"),
        (f",c@old.example,{expensive},,", "not taken: the hash has the cost 5, PASSWORD_HASH_COST is 4"),
        (",c@old.example,secret,,", "not taken: the hash is not bcrypt's"),
        (f"\udcff,c@old.example,{HASH},,", "not taken: name is not UTF-8"),
        (f'"two\nlines",d@old.example,{HASH},2020-01-01,', ""),
        (f"\0,c@old.example,{HASH},,", "not taken: name has a NUL character"),
        (f'"x"y,c@old.example,{HASH},,', """not taken: it is not CSV up to line 23: ',' expected after '"'"""),
        (f",ada@old.example,{HASH},,", "skipped: ada@old.example is in line 2"),
        ("", ""),  # as at the end of most files
    ]
    name = file("\ufeff" + "\r\n".join(row for row, _ in rows))
    # One record has two lines.
    expected = [f"line {line + (line > 20)}: {why}" for line, (_, why) in enumerate(rows, 1) if why]
    with pytest.raises(SystemExit, match="17 lines were not taken"):
        await asyncio.to_thread(run, "import", name)
    said = capsys.readouterr()
    assert said.out.splitlines() == expected
    assert HASH not in said.out
    assert "Took 2 accounts; skipped 3" in said.err
    assert said.err.count('"account_imported"') == 2, "the trail of each begins with it"
    name = file("\n".join([*(row for row, why in rows if not why), f"C,c@old.example,{HASH},,"]))
    assert await asyncio.to_thread(run, "import", name) == (
        "line 2: skipped: ada@old.example has an account already\n"
        "line 3: skipped: d@old.example has an account already\n"
    )
    listed = (await asyncio.to_thread(run, "list")).splitlines()
    # The ids stand between.
    assert any(re.fullmatch(r"2020-02-29  active    \S+  ada@old.example  \(Lovelace, Ada\)", line) for line in listed)
    assert any(re.fullmatch(r"2020-01-01  active    \S+  d@old.example  \(two\\nlines\)", line) for line in listed)
    assert await signs_in(own_client, "ada@old.example", PASSWORD)
    assert await signs_in(own_client, there.email, there.password), "an account that was there is left as it is"


@pytest.mark.measured
@pytest.mark.parametrize("content", ["", "a;b\n", "email\n", "email,hash,email\n", '"'])
def test_a_file_that_says_no_columns_is_refused(run: Run, file: File, content: str) -> None:
    """An operator is told which columns a file must have."""
    name = file(content)
    with pytest.raises(SystemExit, match="neither JSON lines nor CSV"):
        run("import", name)
    with pytest.raises(SystemExit, match="cannot be read: Is a directory"):
        run("import", str(Path(name).parent))


async def test_who_had_another_kind_of_hash_chooses_a_password(
    own_client: httpx.AsyncClient, run: Run, file: File
) -> None:
    """An account whose hash cannot be verified can be taken without it, and a link gives its owner a password."""
    argon = {"email": "argon@old.example", "hash": "$argon2id$v=19$m=65536,t=3,p=4$x$y"}
    name = file(json_lines(argon, {"email": "none@old.example", "name": None}) + '{"email": 1}\n[]\n\n{"\n')
    with pytest.raises(SystemExit, match="3 lines"):
        await asyncio.to_thread(run, "import", "--without-password", name)
    token = (await asyncio.to_thread(run, "reset", "argon@old.example")).splitlines()[-1]
    body = {"token": token, "new_password": PASSWORD}
    assert (await own_client.post("/api/auth/reset", json=body)).status_code == 200
    assert await signs_in(own_client, "argon@old.example", PASSWORD)
    assert not await signs_in(own_client, "none@old.example", "")


def test_a_wrong_password_takes_as_long_where_the_hash_cost_less() -> None:
    """Nobody can see by the time of an answer which addresses have moved in with a cheaper hash."""
    passwords = PasswordHasher(cost=7, queue_seconds=5)

    def took(password_hash: str) -> float:
        began = process_time()
        assert not passwords._verify(PASSWORD, password_hash).correct
        return process_time() - began

    unknown, moved_in = zip(*((took(passwords.dummy_hash), took(hashed("x"))) for _ in range(7)), strict=True)
    assert 0.75 < min(moved_in) / min(unknown) < 1.33
    passwords.close()


async def test_a_person_takes_everything_along(
    own_client: httpx.AsyncClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything about one person, and about nobody else, comes as JSON without a secret."""
    monkeypatch.setattr(commands, "EXPORT_BATCH", 2)
    ada, bob = await Person.sign_up(own_client, name="Ada"), await Person.sign_up(own_client)
    await bob.add_task()
    tasks = [await ada.add_task() for _ in range(5)]
    await ada.send("DELETE", f"/api/tasks/{tasks[0]['id']}")
    ended = await ada.sign_in()
    await ended.send("POST", "/api/auth/signout")
    told = json.loads(await asyncio.to_thread(run, "export", ada.email.upper()))
    assert told["account"].items() >= (ada.user | {"is_active": True}).items()
    assert sorted(told["tasks"], key=str) == sorted(tasks[1:], key=str)
    assert [task["id"] for task in told["deleted_tasks"]] == [tasks[0]["id"]]
    assert sorted(str(session["ended"]) for session in told["sessions"]) == ["None", "signed_out"]
    assert "hash" not in json.dumps(told)
    with pytest.raises(SystemExit, match="no account"):
        await asyncio.to_thread(run, "export", "nobody@example.com")


def test_every_table_of_a_person_is_taken_along() -> None:
    """What a new table keeps of a person is in the export, too: an export that leaves something out is not one."""
    kept = {name for name, table in metadata.tables.items() if "user_id" in table.columns}
    exported = {name for name in kept for statement in EXPORTED.values() if f"FROM {name} ".encode() in statement.sql}
    # Who may is in `account`, how sessions end in `sessions`.
    assert kept - exported == {"user_state", "token_denylist"}


def test_an_account_tells_which_line_of_which_run_has_made_it() -> None:
    """A duplicate is found though no address is kept in memory."""
    done, other = moving.Import(print), moving.Import(print)
    made = done.id_of(1_000_000)
    assert UUID(str(made)).version == 4
    assert (done.line_of(made), other.line_of(made)) == (1_000_000, None)
