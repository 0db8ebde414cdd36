"""Two people on one device: what one does is neither taken for the other's nor lost by what the other does."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from auth_tasks_client import LocalCopy, OtherAccount, SignedOut, StoredTokens, TasksClient, TokenAuth, TokenStore
from tests.client.between import Between, Way
from tests.client.conftest import Run
from tests.support.people import PASSWORD, new_email
from tests.support.server import Server

NOBODY = "http://127.0.0.1:1"


def stored(store: TokenStore) -> StoredTokens:
    tokens = store.read()
    assert tokens is not None
    return tokens


class Meanwhile(Way):
    """Does something once the server has answered a request of this route for the first time, before the client knows.

    With `before` it is done before the request is sent.
    """

    def __init__(self, url: str, route: str, do: Callable[[], object], *, before: bool = False) -> None:
        super().__init__(url)
        self._route, self._do, self._before = route, [do], before

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        is_here = f"{request.method} {request.url.path}" == self._route
        if is_here and self._before and self._do:
            self._do.pop()()
        answer = super().handle_request(request)
        answer.read()
        if is_here and self._do:
            self._do.pop()()
        return answer


@pytest.fixture
def other(client: TasksClient, server: Server, tmp_path: Path) -> StoredTokens:
    """The session of somebody else, who signs in on this device by another process."""
    aside = TokenStore(tmp_path / "aside" / "tokens.json")
    with TasksClient(aside, server.url) as elsewhere:
        elsewhere.sign_up(new_email(), PASSWORD, "Grace")
    return stored(aside)


@pytest.mark.parametrize(
    ("route", "act"),
    [
        ("POST /api/auth/password", lambda client: client.change_password(PASSWORD, PASSWORD + "2")),
        ("POST /api/auth/email/confirm", lambda client: client.confirm_email("https://page.test/email#token=x")),
        ("POST /api/auth/me/delete", lambda client: client.delete_account(PASSWORD)),
    ],
    ids=["password", "address", "deletion"],
)
def test_an_answer_changes_nobody_elses_session(
    client: TasksClient, other: StoredTokens, between: Between, route: str, act: Callable[[TasksClient], object]
) -> None:
    """Somebody else has signed in while it was on the way: that session stays as it is."""
    between.own["POST /api/auth/email/confirm"] = (200, {"email": "new@example.com", "verified_at": None})
    way = Meanwhile(between.url, route, lambda: client.store.write(other))
    with TasksClient(client.store, transport=way) as late:
        act(late)
    assert client.store.read() == other


def test_new_tokens_stay_where_another_process_has_refreshed(client: TasksClient) -> None:
    """It is the same session, which goes on with the tokens that came with the new password."""

    def refresh() -> None:
        client.store.write(replace(stored(client.store), expires_at=0))
        client.tasks()

    way = Meanwhile(client.url, "POST /api/auth/password", refresh, before=True)
    with TasksClient(client.store, transport=way) as late:
        late.change_password(PASSWORD, PASSWORD + "2")
    assert client.tasks() == []
    client.store.write(replace(stored(client.store), expires_at=0))
    assert client.tasks() == []


def test_what_was_begun_for_one_is_not_done_for_another(client: TasksClient, other: StoredTokens) -> None:
    """A request whose token was refused is not sent again with the token of whoever has signed in meanwhile."""
    client.store.write(replace(stored(client.store), access_token=f"{stored(client.store).access_token}x"))
    way = Meanwhile(client.url, "POST /api/tasks", lambda: client.store.write(other))
    with TasksClient(client.store, transport=way) as late, pytest.raises(OtherAccount):
        late.add("Ada's")
    assert client.tasks() == []


@pytest.mark.parametrize("route", ["GET /api/auth/me", "GET /api/tasks/changes", "POST /api/tasks"])
def test_a_copy_is_synchronised_with_its_own_account_alone(
    client: TasksClient, other: StoredTokens, tmp_path: Path, route: str
) -> None:
    """Somebody else signs in, in the middle of it: what waits is not sent to them, and none of theirs is taken."""
    mine = stored(client.store)
    with LocalCopy(tmp_path / "tasks.db") as copy:
        client.sync(copy)
        copy.add("Ada's first")
        copy.add("Ada's second")
        client.store.write(other)
        client.add("Grace's")
        client.store.write(mine)
        way = Meanwhile(client.url, route, lambda: client.store.write(other))
        with TasksClient(client.store, transport=way) as late, pytest.raises(OtherAccount):
            late.sync(copy)
        assert [task["title"] for task in client.tasks()] == ["Grace's"]
        assert sorted(task["title"] for task in copy.tasks()) == ["Ada's first", "Ada's second"]
        client.store.write(mine)
        client.sync(copy)
        assert copy.tasks() == client.tasks()


@pytest.mark.usefixtures("_unlocked")
def test_no_late_refresh_signs_in_again_who_has_signed_out(client: TasksClient) -> None:
    """A process without a lock stands still when its refresh is answered, and another signs out."""
    client.store.write(replace(stored(client.store), expires_at=0))
    late = TokenAuth(client.store, transport=Meanwhile(client.url, "POST /api/auth/refresh", client.sign_out))
    with pytest.raises(SignedOut):
        late.current()
    assert client.store.read() is None


@pytest.mark.usefixtures("_unlocked")
@pytest.mark.parametrize("route", ["POST /api/auth/signout", "POST /api/auth/refresh"])
def test_who_ends_a_session_ends_nobody_elses(client: TasksClient, other: StoredTokens, route: str) -> None:
    """The same when somebody else has signed in: that session goes on."""
    client.store.write(replace(stored(client.store), expires_at=0))
    way = Meanwhile(client.url, "POST /api/auth/signout", lambda: client.store.write(other))
    with TasksClient(client.store, transport=way) as late:
        if route.endswith("signout"):
            late.sign_out()
        else:
            mine = {"refresh_token": stored(client.store).refresh_token}
            assert httpx.post(f"{client.url}/api/auth/signout", json=mine).is_success
            with pytest.raises(SignedOut):
                late.tasks()
    assert client.store.read() == other


class TestCommands:
    """What `auth-tasks` does where the copy on the device is somebody else's."""

    def begin(self, run: Run) -> str:
        """Let somebody work without a network, and somebody else sign up. Return the address of the first."""
        email = new_email()
        run("signup", email)
        run("sync")
        run("add", "Unsent", way=NOBODY)
        run("signup", new_email())
        return email

    def assert_kept(self, run: Run, email: str) -> None:
        run("signin", email)
        assert [task["title"] for task in json.loads(run("list", "--json")[1])] == ["Unsent"]

    @pytest.mark.parametrize("discard", [[], ["--discard"]])
    def test_signing_out_leaves_what_waits_alone(self, run: Run, discard: list[str]) -> None:
        """Nobody is told of somebody else's changes, is held by them or takes them along."""
        email = self.begin(run)
        assert run("signout", *discard) == (0, "You are signed out.\n", "")
        self.assert_kept(run, email)

    def test_leaving_takes_nobody_elses_copy_along(self, run: Run) -> None:
        """What somebody else has done on this device without a network is sent once they sign in again."""
        email = self.begin(run)
        assert run("delete")[0] == 0
        self.assert_kept(run, email)

    def test_signing_out_takes_a_copy_in_which_nothing_waits(self, run: Run, tmp_path: Path) -> None:
        """Nothing is lost by it, and the next one has the device."""
        run("signup", new_email())
        run("sync")
        run("signup", new_email())
        assert run("signout")[0] == 0
        assert not list(tmp_path.glob("tasks.db*"))

    @pytest.mark.parametrize(
        "command", [("list",), ("add", "Grace's"), ("done", "0"), ("rm", "0"), ("sync",), ("conflicts",)]
    )
    def test_nobody_sees_or_changes_it(self, run: Run, command: tuple[str, ...]) -> None:
        """Without a network neither."""
        email = self.begin(run)
        assert run(*command, way=NOBODY) == (1, "", "The copy on this device is of another account.\n")
        self.assert_kept(run, email)
