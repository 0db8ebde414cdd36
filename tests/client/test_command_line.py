"""The command line, against a real server: for people a table, for scripts --json and exit codes."""

import io
import json
import os
import platform
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from auth_tasks_client import SignedOut, TasksClient, TokenStore, default_store
from auth_tasks_client.arguments import make_parser
from tests.client.between import Between
from tests.client.conftest import Run
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server

COMMANDS = (
    *("signup", "signin", "sessions", "password", "email", "delete", "signout"),
    *("token", "list", "add", "edit", "done", "undo", "rm", "sync", "watch", "conflicts", "keep"),
)
NOBODY = "http://127.0.0.1:1"  # a port that is never given to anybody who asks for any
HOSTILE = "a\x1b[2Jb\nc\rd\x07e\x7ff\x9bg\u202eh\u2028i\ud800j\U000e0001k"
ESCAPED = r"a\u001b[2Jb\nc\rd\u0007e\u007ff\u009bg\u202eh\u2028i\ud800j\udb40\udc01k"


def test_a_whole_day(run: Run) -> None:
    """Somebody manages tasks in a terminal, from the account to the end of all its sessions."""
    email = new_email()
    assert run("list")[0] == 3
    assert run("signup", email, "--name", "Ada")[0] == 0
    assert run("signout")[0] == 0
    assert run("signin", email)[0] == 0
    assert run("list")[1] == "No tasks.\n"
    assert run("add", "Water the plants 🌱", "--priority", "high")[0] == 0
    task = json.loads(run("list", "--json")[1])[0]
    assert run("list")[1] == f"[ ] {task['id'][:8]}  high    Water the plants 🌱\n"
    assert run("edit", task["id"][:8], "--title", "Fern", "--status", "in_progress")[1].startswith("[~]")
    assert run("done", task["id"][:8])[1].startswith("[x]")
    assert run("undo", task["id"][:8])[1].startswith("[ ]")
    assert run("done", task["id"][:8])[1].startswith("[x]")
    assert json.loads(run("list", "--status", "pending", "--json")[1]) == []
    assert run("done", "zzz") == (1, "", "No such task.\n")
    run("add", "Another")
    assert "2 tasks have" in run("rm", "")[2]
    assert run("rm", task["id"])[0] == 0
    assert json.loads(run("signout", "--everywhere", "--json")[1]) == {"message": "You are signed out."}


def test_an_account_is_kept_in_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes a password that leaked, sees who is signed in, throws one out, and leaves. Source: FR-052."""
    email, new = new_email(), "another battery 5"
    run("signup", email)
    stolen = TasksClient(TokenStore(default_store().path.with_name("stolen.json")), os.environ["AUTH_TASKS_URL"])
    stolen.sign_in(email, PASSWORD)
    assert [line[0] for line in run("sessions")[1].splitlines()] == [" ", "*"]
    found = json.loads(run("sessions", "--json")[1])
    assert run("sessions", "--end", "zzz") == (1, "", "No such session.\n")
    assert run("sessions", "--end", found[0]["id"][:8]) == (0, "The session has ended.\n", "")
    with pytest.raises(SignedOut):
        stolen.tasks()
    stolen.sign_in(email, PASSWORD)
    assert run("sessions", "--end-others")[0] == 0
    with pytest.raises(SignedOut):
        stolen.tasks()
    stolen.sign_in(email, PASSWORD)

    typed = iter([PASSWORD, new, new + "x"])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    assert run("passwd")[::2] == (1, "The two passwords are not the same. Nothing was changed.\n")
    typed = iter(["wrong", new, new])
    assert run("passwd")[0] == 1
    typed = iter([PASSWORD, new, new])
    assert run("passwd")[0] == 0
    with pytest.raises(SignedOut):
        stolen.tasks()
    assert run("add", "Still here")[0] == 0

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n{new}\n"))
    assert run("delete", "--password-stdin")[0] == 1
    assert run("delete", "--password-stdin") == (0, "Your account and all of its tasks are deleted.\n", "")
    assert run("list")[0] == 3
    stolen.close()


def test_failures_have_their_own_codes_and_clear_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script branches on the exit code, and a person reads the reason."""
    email = new_email()
    monkeypatch.setattr("getpass.getpass", lambda *_: "short")
    code, _, said = run("signup", email)
    assert (code, "password must have at least 8" in said) == (1, True)
    monkeypatch.setattr("getpass.getpass", lambda *_: "wrong password")
    assert run("signin", email)[0] == 3
    with pytest.raises(SystemExit) as wrong:
        run("fly")
    assert wrong.value.code == 2


def test_a_password_can_be_piped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script can sign up without a terminal to ask at."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert run("signup", new_email(), "--password-stdin")[0] == 0


def test_what_was_never_sent_has_changed_nothing(run: Run) -> None:
    """Somebody who cannot reach the server reads that nothing was changed."""
    for command in (("signin", "ada@example.test"), ("signup", "ada@example.test")):
        assert run(*command, "--url", NOBODY) == (4, "", "The server cannot be reached. Nothing was changed.\n")
    run("signup", new_email())
    tokens = default_store().read()
    assert tokens
    default_store().write(replace(tokens, url=NOBODY))
    assert run("rm", "a", "--url", NOBODY) == (4, "", "The server cannot be reached. Nothing was changed.\n")


@pytest.mark.parametrize("url", ["localhost:8000", "127.0.0.1", "http://[", "http://", "ftp://127.0.0.1"])
def test_an_address_without_its_scheme_is_said_to_be_one(run: Run, url: str) -> None:
    """A newcomer reads what to write, not that a server which runs cannot be reached."""
    code, _, said = run("signin", "ada@example.test", "--url", url)
    assert (code, "--url needs http:// or https:// and a host" in said) == (2, True)


class TestHelp:
    """Who does not know the commands finds them, with an example of each."""

    def test_no_command_shows_all_of_them(self, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
        """`auth-tasks` alone is the first thing that anybody types."""
        with pytest.raises(SystemExit) as ended:
            run()
        shown = capsys.readouterr().err
        assert (ended.value.code, "auth-tasks signup ada@example.com --url" in shown) == (2, True)
        for command in COMMANDS:
            assert re.search(rf"^ +{command}(?: \(passwd\))?\s+[a-z]", shown, re.MULTILINE), command

    @pytest.mark.parametrize("command", [*COMMANDS, "token create", "token list", "token end"])
    def test_every_argument_is_explained(self, run: Run, capsys: pytest.CaptureFixture[str], command: str) -> None:
        """The help of each command has an example that can be run, and says what each argument is."""
        with pytest.raises(SystemExit) as ended:
            run(*command.split(), "--help")
        shown = capsys.readouterr().out
        assert ended.value.code == 0
        [example] = re.findall(rf"^Example: auth-tasks ({command}\b.*)$", shown, re.MULTILINE)
        assert make_parser().parse_args(shlex.split(example)).command == command.split()[0]
        parser = make_parser()
        for name in command.split():
            [names] = [it for it in parser._actions if it.dest in ("command", "act")]
            assert isinstance(names.choices, dict)
            parser = names.choices[name]
        for action in parser._actions:
            assert action.help, action

    def test_what_cannot_be_meant_is_said_with_the_way_out(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """The words are those of the command line, not of the API behind it."""
        assert run("edit", "3f") == (2, "", "Say what to change: --title, --description, --priority or --status.\n")
        for command in (("add", ""), ("edit", "3f", "--title", "")):
            assert run(*command) == (2, "", "The title must not be empty.\n")
        typed = iter([PASSWORD, PASSWORD + "x"])
        monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
        said = "The two passwords are not the same. Nothing was changed.\n"
        assert run("signup", new_email()) == (1, "", said)
        assert run("list")[0] == 3

    def test_ctrl_c_at_the_prompt_says_nothing(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who changes his mind sees no traceback."""

        def interrupt(*_: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr("getpass.getpass", interrupt)
        assert run("signin", new_email()) == (130, "", "")


def test_the_list_of_sessions_names_the_device(run: Run) -> None:
    """Somebody knows which session is the laptop's, however it was begun."""
    email = new_email()
    run("signup", email)
    run("signin", email)
    assert [line.endswith(f"  auth-tasks on {platform.node()}") for line in run("sessions")[1].splitlines()] == [True]


@pytest.mark.parametrize("way", [None, NOBODY], ids=["online", "offline"])
def test_tasks_of_one_priority_are_listed(run: Run, way: str | None) -> None:
    """Somebody sees what is urgent, with the server or without."""
    run("signup", new_email())
    for priority in ("low", "high"):
        run("add", priority, "--priority", priority)
    run("sync")
    assert [task["title"] for task in json.loads(run("list", "--priority", "high", "--json", way=way)[1])] == ["high"]


def test_a_folder_that_cannot_be_written_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or read-only disk is a sentence with the name of the file."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTH_TASKS_HOME", str(tmp_path / "file"))
    code, _, said = run("signin", new_email())
    assert (code, str(tmp_path / "file") in said, said.count("\n")) == (1, True, 1)


class TestAfterALostAnswer:
    """The server may have done the work: nobody is told that it has not, nor to repeat what is not safe to repeat."""

    UNKNOWN = "Whether the change was made is not known. Look with `list`, then try again.\n"

    @pytest.mark.parametrize(
        ("route", "command", "left"),
        [
            ("PATCH /api/tasks", ("edit", "ID", "--title", "New"), [("New", False)]),
            ("PATCH /api/tasks", ("done", "ID"), [("Old", True)]),
            ("DELETE /api/tasks", ("rm", "ID"), []),
            ("POST /api/tasks", ("add", "Other"), [("Other", False), ("Old", False)]),
        ],
    )
    def test_a_change_may_have_been_made(
        self, run: Run, between: Between, route: str, command: tuple[str, ...], left: list[tuple[str, bool]]
    ) -> None:
        """Somebody whose answer was lost is told to look first; here the change was made each time."""
        run("signup", new_email())
        task = json.loads(run("add", "Old", "--json")[1])
        between.lost.add(route)
        words = [task["id"] if word == "ID" else word for word in command]
        assert run(*words, way=between.url) == (4, "", f"The server did not answer. {self.UNKNOWN}")
        assert [(t["title"], t["completed"]) for t in json.loads(run("list", "--json")[1])] == left

    def test_a_server_that_fails_may_have_made_it_too(self, run: Run, between: Between) -> None:
        """Nobody is told that nothing was changed after a 503, which can come after the commit."""
        run("signup", new_email())
        task = json.loads(run("add", "Old", "--json")[1])
        between.own["DELETE /api/tasks"] = (503, {"detail": "Come again."})
        assert run("rm", task["id"], way=between.url) == (4, "", f"Come again. {self.UNKNOWN}")

    def test_reading_and_signing_in_may_be_repeated(self, run: Run, between: Between) -> None:
        """Somebody is told to try again where that is safe: a second session beside a lost one harms nobody."""
        email = new_email()
        run("signup", email)
        between.lost |= {"GET /api/tasks", "POST /api/auth/signin"}
        for command in (("list",), ("signin", email)):
            said = "The server did not answer. It is safe to try again.\n"
            assert run(*command, way=between.url) == (4, "", said)

    def test_a_lost_sign_out_can_be_repeated(self, run: Run, between: Between) -> None:
        """A sign-out can be repeated: the tokens are kept until the server has said that the session is over."""
        run("signup", new_email())
        between.lost.add("POST /api/auth/signout")
        code, _, said = run("signout", way=between.url)
        assert (code, "Whether the session has ended is not known." in said) == (4, True)
        assert run("signout") == (0, "You are signed out.\n", "")

    def test_a_lost_sign_up_leads_to_a_sign_in(self, run: Run, between: Between) -> None:
        """Somebody is told to sign in, since signing up again would say that the address is taken."""
        email = new_email()
        between.lost.add("POST /api/auth/signup")
        code, _, said = run("signup", email, way=between.url)
        assert (code, "Whether the account was made is not known. Try `signin`" in said) == (4, True)
        assert run("signin", email)[0] == 0


class TestHostileText:
    """What others wrote must not act on the terminal: no cursor, no colour, no turned line, no second line."""

    def test_a_title_is_escaped(self, run: Run, between: Between) -> None:
        """A title that somebody else wrote cannot act on the terminal."""
        run("signup", new_email())
        task = {"id": "0123456789", "status": "pending", "priority": "high", "title": HOSTILE}
        between.own["GET /api/tasks"] = (200, [task])
        assert run("list", way=between.url)[1] == f"[ ] 01234567  high    {ESCAPED}\n"

    def test_every_other_member_of_a_task_is_escaped(self, run: Run, between: Between) -> None:
        """Nothing else of a task can act on the terminal either, whatever a server sends."""
        run("signup", new_email())
        between.own["GET /api/tasks"] = (200, [dict.fromkeys(("id", "status", "priority", "title"), "\x1b\n")])
        assert run("list", way=between.url)[1].count("\n") == 1
        assert run("list", way=between.url)[1].rstrip("\n").isprintable()

    def test_json_is_escaped_and_still_says_the_same(self, run: Run, between: Between) -> None:
        """JSON is readable where it is printable, and exact where it is not."""
        run("signup", new_email())
        tasks = [{"id": "1", "title": HOSTILE + '"\\ 🌱'}]
        between.own["GET /api/tasks"] = (200, tasks)
        shown = run("list", "--json", way=between.url)[1]
        assert shown.rstrip("\n").isprintable()
        assert "🌱" in shown
        assert json.loads(shown) == tasks

    @pytest.mark.parametrize("status", [401, 409, 503])
    def test_the_words_of_an_error_are_escaped(self, run: Run, between: Between, status: int) -> None:
        """The words of an error cannot act on the terminal."""
        between.own["POST /api/auth/signup"] = (status, {"detail": HOSTILE})
        _, shown, said = run("signup", new_email(), way=between.url)
        assert (shown, said.startswith(ESCAPED)) == ("", True)
        assert said.rstrip("\n").isprintable()

    def test_an_email_address_is_escaped(self, run: Run, between: Between) -> None:
        """An address that was pasted with hidden characters is shown escaped.

        What cannot be sent at all is left out here.
        """
        email, escaped = HOSTILE.replace("\ud800", ""), ESCAPED.replace(r"\ud800", "")
        answer = {"user": {"email": email}, "access_token": "a", "refresh_token": "r", "expires_in": 900}
        between.own["POST /api/auth/signin"] = (200, answer)
        shown = run("signin", email, way=between.url)[1]
        assert shown == f"You are signed in as {escaped}.\n"


class TestWithoutAServer:
    """Once a copy is kept, tasks go on without a network, and people see what the server does not have yet."""

    def test_a_day_without_a_network(self, run: Run, tmp_path: Path) -> None:
        """Tasks are listed, made, changed, ticked off and deleted offline, and are all there with the network."""
        run("signup", new_email())
        old, wrong = (json.loads(run("add", title, "--json")[1])["id"] for title in ("Old", "Wrong"))
        assert run("list", way=NOBODY)[0] == 4
        assert run("sync") == (0, "Sent 0, received 2. Nothing waits.\n", "")
        code, shown, said = run("list", way=NOBODY)
        assert (code, shown.count("\n"), said[:25]) == (0, 2, "Offline. This is the copy")
        code, shown, said = run("add", "Typed on a plane", way=NOBODY)
        assert (code, "  (not sent)" in shown, "1 change is not sent yet" in said) == (0, True, True)
        assert "[x]" in run("done", old[:8], way=NOBODY)[1]
        assert run("rm", wrong, way=NOBODY)[0] == 0
        assert [task.get("pending", False) for task in json.loads(run("list", "--json", way=NOBODY)[1])] == [True, True]
        assert run("sync", way=NOBODY) == (4, "", "The server cannot be reached. Nothing was changed.\n")
        code, _, said = run("signout")
        assert (code, said.startswith("The server does not have all of your changes.")) == (1, True)
        code, shown, said = run("list")
        assert (code, "not sent" in shown, said) == (0, False, "")
        assert [(t["title"], t["completed"]) for t in json.loads(run("list", "--json")[1])] == [
            ("Typed on a plane", False),
            ("Old", True),
        ]
        assert run("signout")[0] == 0
        assert not list(tmp_path.glob("tasks.db*"))

    def test_two_titles_for_one_task(self, run: Run, server: Server) -> None:
        """Somebody sees that a change was not taken, and decides."""
        email = new_email()
        run("signup", email)
        task = json.loads(run("add", "Old", "--json")[1])
        assert run("conflicts") == (1, "", "There is no copy on this device. Make one with: auth-tasks sync\n")
        run("sync")
        assert run("conflicts") == (0, "No conflicts.\n", "")
        run("edit", task["id"], "--title", "Mine", way=NOBODY)
        with TasksClient(TokenStore(default_store().path.with_name("other.json")), server.url) as other:
            other.sign_in(email, PASSWORD)
            other.edit(task["id"], title="Theirs")
        assert run("sync") == (0, "Sent 1, received 1. 1 not taken: see `conflicts`.\n", "")
        _, shown, said = run("list")
        assert ("Theirs" in shown, said) == (True, "1 change is not taken by the server: see `conflicts`.\n")
        assert run("conflicts")[1] == "1  edit    Mine: The task has been changed elsewhere since.\n"
        assert json.loads(run("conflicts", "--json")[1])[0]["fields"] == {"title": "Mine"}
        assert run("keep", "9", "--mine")[::2] == (1, "No such conflict.\n")
        assert run("keep", "1", "--mine")[0] == 0
        assert "Mine" in run("list")[1]
        assert run("conflicts", "--json")[1] == "[]\n"

    def test_leaving_takes_the_copy_along(self, run: Run, tmp_path: Path) -> None:
        """Nobody's tasks stay on a device after signing out or deleting the account, if they say so unsent ones too."""
        for leave in (("signout", "--discard"), ("delete",)):
            run("signup", new_email())
            assert json.loads(run("sync", "--json")[1]) == {"sent": 0, "refused": 0, "received": 0}
            run("add", "Unsent", way=NOBODY)
            assert run(*leave)[0] == 0
            assert not list(tmp_path.glob("tasks.db*"))

    def test_an_ended_session_keeps_what_was_done(self, run: Run, tmp_path: Path) -> None:
        """Who was signed out meanwhile signs in and goes on; somebody else cannot."""
        email = new_email()
        run("signup", email)
        run("sync")
        tokens = (tmp_path / "tokens.json").read_text()
        with TasksClient(default_store()) as elsewhere:
            elsewhere.sign_out()
        (tmp_path / "tokens.json").write_text(tokens)
        assert run("add", "Kept")[0] == 3
        run("signup", new_email())
        assert run("list")[::2] == (1, "The copy on this device is of another account.\n")
        run("signin", email)
        assert [task["title"] for task in json.loads(run("list", "--json")[1])] == ["Kept"]
