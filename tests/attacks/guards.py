"""Every guard, and the tests that must turn red without it."""

from typing import NamedTuple

AUTH, TASKS, CORE, ATTACKS = "tests/auth", "tests/tasks", "tests/core", "tests/attacks"
SESSION_TESTS, ACCOUNT_TESTS, OPERATIONS = "tests/sessions", "tests/accounts", "tests/operations"


class Guard(NamedTuple):
    """In `file`, `text` (which stands there once) becomes `without`; then one of `tests` fails."""

    file: str
    text: str
    without: str
    tests: str
    needs_root: bool = False


TOKENS = "app/auth/tokens.py"
SERVICE = "app/accounts/service.py"
SESSION_SERVICE = "app/sessions/service.py"
ROTATION = "app/sessions/rotation.py"
LIFETIMES = "app/sessions/lifetimes.py"
ACCOUNTS = "app/accounts/repository.py"
CALLER_SQL = "app/auth/active_session.py"
DENYLIST = "app/sessions/denylist.py"
SESSION_DEPENDENCIES = "app/sessions/dependencies.py"
OAUTH_ROUTE = "app/accounts/dependencies.py"
TASK_SQL = "app/tasks/repository.py"
SERVER = "app/core/http/server.py"
LIST_SQL = "app/tasks/list_repository.py"
OWNERSHIP = "app/operations/embedded_postgres/ownership.py"
SOCKETS = "app/operations/embedded_postgres/sockets.py"
EMBEDDED = "app/operations/embedded_postgres/server.py"
STRANGERS = f"{OPERATIONS}/test_embedded_strangers.py::test"
RESTARTING = "tests/faults/test_restarting.py::test"
BACKUP = "app/operations/backup.py"
RESTORES = f"{OPERATIONS}/test_backup.py::test"
ROUTING = "app/core/http/routing.py"
FORMS = "app/core/http/forms.py"
QUEUE = "app/auth/hash_queue.py"

QUEUE_GUARDS = [
    Guard(QUEUE, without=without, text=text, tests=f"{AUTH}/test_hash_queue.py")
    for text, without in {
        "if sum(map(len, self._lines.values())) < self._longest:": "if True:",
        "if len(self._lines[crowd]) <= len(self._lines.get(client, ())):": "if True:",
        "last = self._lines[crowd][-1]": "last = self._lines[crowd][0]",
        "self._lines[client] = line  # behind": "self._lines = {client: line, **self._lines}  # behind",
        "if not turn.done():  # else": "if True:  # else",
        "elif turn.result():": "elif False:",
        "self._leave(client, turn)": "pass",
        "if not last.done():": "if True:",
        "job.add_done_callback(release)": "self._release()",
    }.items()
]

OWN_ACCOUNT = "app/accounts/own_account.py"
SESSIONS, ADMIN, CLI_USERS = "app/sessions/repository.py", "app/accounts/admin.py", "app/cli/users.py"
COOKIE_GUARDS = [
    Guard("app/sessions/refresh_cookie.py", text, without, f"{SESSION_TESTS}/test_refresh_cookie.py")
    for text, without in (
        ('settings.environment != "production" and host', "host"),
        ("in LOCAL_HOSTS", "< chr(127)"),
        ('"secure": not is_local', '"secure": False'),
        ('"httponly": True', '"httponly": False'),
        ('"samesite": "Strict"', '"samesite": "Lax"'),
        ("if sent == self.name and value", "if value"),
        ("if wanted and not self._is_on:", "if False:"),
        ("if wanted and self._origin and not self._is_own_page:", "if False:"),
        ("or not self._is_on or not self._sent:", "or not self._sent:"),
        ("        if not self._is_own_page:\n            raise OriginRefused\n", ""),
        ('";".join(self._sent)', "self._sent[-1]"),
        ("        except SupersededToken:\n            raise\n", ""),
        ("            if presented.from_cookie:\n", "            if True:\n"),
        ("return self.from_cookie or self.wants_cookie", "return self.wants_cookie"),
        ('        del content["refresh_token"]\n', ""),
    )
] + [
    Guard(
        "app/sessions/router.py",
        "if presented.from_cookie and not goes_on else response",
        "if False else response",
        f"{SESSION_TESTS}/test_refresh_cookie.py",
    )
]
CHANGES = "app/tasks/changes.py"
CHANGES_SQL = "app/tasks/changes_repository.py"
TELLS = f"{TASKS}/test_changes.py"
LATE = "tests/faults/test_late_writers.py::test_a_copy_is_what_the_table_is_in_a_thousand_rounds"
CRASHED = "tests/faults/test_kills.py::test_ids_that_a_crash_gives_out_again_hide_no_change"
CHANGES_GUARDS = [
    Guard(CHANGES_SQL, "pg_snapshot_xmin(func.", "pg_snapshot_xmax(func.", TELLS),
    Guard(CHANGES_SQL, "    ~exists().where(is_mine, col(Task.id) == TaskTombstone.id),\n", "", TELLS),
    Guard(CHANGES_SQL, "    _is_my_tombstone,\n", "", TELLS),
    Guard(CHANGES_SQL, ".where(is_mine, col(Task.changed)", ".where(col(Task.changed)", TELLS),
    Guard(CHANGES, "cursor.user_id == db.principal.user_id", "True", TELLS),
    Guard(CHANGES, "cursor.epoch == moment.epoch is not None", "True", TELLS),
    Guard(CHANGES, "cursor.timeline == moment.timeline", "True", TELLS),
    Guard(CHANGES, "cursor.since <= moment.xmin", "True", TELLS),
    Guard(CHANGES, "min(moment.xmin, max(read) + 1) if read else first", "moment.xmin", CRASHED),
    Guard(CHANGES, "min(moment.xmin, max(read) + 1)", "max(read) + 1", LATE),
    Guard(
        CHANGES,
        "await changes_repository.draw_epoch(db)\n        tasks, moment = await",
        "await changes_repository.draw_epoch(db)\n        await",
        TELLS,
    ),
    Guard(CHANGES, "cursor.issued_at >= (moment.now - KEPT).timestamp()", "True", TELLS),
    Guard(TASK_SQL, "    ~exists().where(*_is_asked_for), version", "    version", TELLS),
    Guard(TASK_SQL, "func.coalesce(_deleted_version, constant(0)) + ", "", TELLS),
    Guard(TASK_SQL, "pg_current_xact_id()", "pg_snapshot_xmin(func.pg_current_snapshot())", LATE),
    Guard(TASK_SQL, 'now),\n    "changed": _this_transaction,\n', "now),\n", TELLS),
    Guard(BACKUP, "| TABLE DATA \\S+ ({rows}) ", "", f"{RESTORES}_a_restore_makes_every_copy_begin_anew"),
]
TESTS_OF = {
    **{name: f"{ACCOUNT_TESTS}/test_{name}.py" for name in ("account", "reset", "users")},
    **{name: f"{SESSION_TESTS}/test_{name}.py" for name in ("sessions", "sign_out")},
}
ACCOUNT_GUARDS = [
    Guard(file, text, without, " ".join(TESTS_OF[name] for name in tests.split()))
    for file, text, without, tests in (
        (SESSIONS, "is_of_version = and_(col(User.id) == user_id, ", "is_of_version = and_(", "account reset"),
        (SESSIONS, "user_id, col(User.token_version) == token_version)", "user_id)", "account reset"),
        (ACCOUNTS, "_is_mine = and_(is_of_version, col(User.is_active))", "_is_mine = is_of_version", "reset"),
        (ACCOUNTS, "_update(_NEW_PASSWORD, _is_mine, _has_password)", "_update(_NEW_PASSWORD, _is_mine)", "account"),
        (ACCOUNTS, "delete(User).where(_is_mine, _has_password)", "delete(User).where(_is_mine)", "account"),
        (ACCOUNTS, "_new_hash, **END_ALL}", "_new_hash}", "account"),
        (OWN_ACCOUNT, "    await db.require_active()\n", "", "account"),
        (OWN_ACCOUNT, "    if user is None:\n        raise InvalidToken\n", "    assert user\n", "account"),
        (OWN_ACCOUNT, "if version is None:", "if False:", "account"),
        (OWN_ACCOUNT, "if not verified.correct:", "if False:", "account"),
        (
            OWN_ACCOUNT,
            "    await attempt.begin()\n    verified",
            "    verified",
            "account",
        ),
        (
            OWN_ACCOUNT,
            "    await attempt.begin()\n    email",
            "    email",
            "reset",
        ),
        (
            OWN_ACCOUNT,
            "        raise WrongPassword\n    await attempt.succeed()\n",
            "        raise WrongPassword\n",
            "account",
        ),
        (
            OWN_ACCOUNT,
            "_attempt(auth, OWN_PASSWORD, credentials.id)",
            'Attempt(auth.limiter, "signin-account", credentials.email, auth.settings.rate_limit_signin_account)',
            "account",
        ),
        (
            OWN_ACCOUNT,
            "_attempt(auth, RESET, claims.user_id)",
            "_attempt(auth, OWN_PASSWORD, claims.user_id)",
            "reset",
        ),
        (OWN_ACCOUNT, "is_common(new, credentials.email)", "False", "account"),
        (OWN_ACCOUNT, "is_common(new, email)", "False", "reset"),
        (
            OWN_ACCOUNT,
            'auth.tokens.read(token, "reset", now)',
            'auth.tokens.read(token, "reset", now, expired_too=True)',
            "reset",
        ),
        (
            OWN_ACCOUNT,
            "    if email and auth",
            "    if email is None:\n        raise InvalidToken\n    if auth",
            "reset",
        ),
        (OWN_ACCOUNT, "suppress(DatabaseUnavailable)", "suppress(ZeroDivisionError)", "account"),
        (OWN_ACCOUNT, "principal.session_id, version, refresh_id", "uuid4(), version, refresh_id", "account"),
        (OWN_ACCOUNT, 'await auth.limiter.clear("signin-account", credentials.email)', "pass", "account"),
        (TOKENS, '"reset": RESET_SECONDS', '"reset": 10 * RESET_SECONDS', "reset"),
        (TOKENS, '"reset": ["password-reset"]', '"reset": []', "reset"),
        (ADMIN, "if not account.is_active:", "if False:", "reset"),
        (SESSIONS, "_is_mine = col(Session.user_id) == user_id", "_is_mine = true()", "sessions"),
        (SESSIONS, "col(Session.token_version) == token_version", "true()", "sessions"),
        (SESSIONS, "told.c.has_ended.is_not(true()), ", "", "sessions"),
        (SESSIONS, ", last_used_at > _oldest)", ")", "sessions"),
        (SESSIONS, "_sign_out(_alive, in_active_session, ", "_sign_out(_alive, col(User.id) == user_id, ", "sessions"),
        (SESSIONS, "_sign_out(_others, is_of_version)", "_sign_out(_others, col(User.id) == user_id)", "sign_out"),
        (
            SESSIONS,
            "_is_mine, _is_of_this_version, col(Session.id) != session_id",
            "_is_mine, _is_of_this_version",
            "sign_out",
        ),
        (SESSIONS, "> _oldest, col(DeniedToken.session_id) != session_id", "> _oldest", "sign_out"),
        (SESSIONS, "<= _out_of_use, ~used_since", "<= _out_of_use, true()", "sessions"),
        (SESSIONS, "col(Session.created_at) <= _out_of_use", "true()", "sessions"),
        (ROTATION, ", now + auth.lifetime)\n", ", now)\n", "sessions"),
        (SESSION_SERVICE, "if not await repository.insert_session(", "if await repository.insert_session(", "sessions"),
        (SESSION_SERVICE, "if others and not everywhere:", "if others:", "sign_out"),
        (SESSION_DEPENDENCIES, "filter(str.isprintable, request", "filter(None, request", "sessions"),
        (SESSION_DEPENDENCIES, "islice(printable, DEVICE_LENGTH)", "printable", "sessions"),
        (CLI_USERS, "print(plain(f", "print(str(f", "users"),
    )
]

GUARDS = [
    *ACCOUNT_GUARDS,
    *COOKIE_GUARDS,
    *CHANGES_GUARDS,
    Guard(
        TOKENS, "if not key.verify(", "if False and not key.verify(", f"{AUTH}/test_tokens.py {ATTACKS}/test_forgery.py"
    ),
    Guard(TOKENS, "{42}[AEIMQUYcgkosw048]", "{43}", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "if len(token) <= MAX_TOKEN_LENGTH else None", "if token else None", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, 'said["iss"] != ISSUER or ', "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, 'said["type"] != kind or ', "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, ' or said["user_id"] != said["sub"]', "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "(claims.expires_at <= seconds and not expired_too)", "False", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "claims.expires_at <= seconds", "claims.expires_at < seconds", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "claims.valid_from > seconds + 60 or ", "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "<= self._lifetimes[kind]:", "<= 10**12:", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "type(n) is int", "isinstance(n, int)", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, " or version not in _VERSIONS", "", f"{AUTH}/test_tokens.py"),
    Guard(
        TOKENS,
        'if [said[name] for name in ("aud",) if name in said] != _AUDIENCES[kind]:',
        "if False:",
        f"{AUTH}/test_tokens.py",
    ),
    Guard(TOKENS, "max(issued_at, not_before)", "issued_at", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "if len(members) != len(pairs):", "if False:", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "not isinstance(text, str) or not _UUID.fullmatch(text)", "False", f"{AUTH}/test_tokens.py"),
    Guard(
        CALLER_SQL,
        "    col(User.is_active),\n",
        "",
        f"{SESSION_TESTS}/test_refresh.py",
    ),
    Guard(
        CALLER_SQL,
        "    col(User.token_version) == token_version,\n",
        "    token_version >= constant(0),\n",
        f"{SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        CALLER_SQL,
        "    ~session_has_ended,\n",
        "",
        f"{SESSION_TESTS}/test_sign_out.py {SESSION_TESTS}/test_refresh.py",
    ),
    Guard(
        ACCOUNTS, ".on_conflict_do_nothing(index_elements=[col(User.email)])", "", f"{ACCOUNT_TESTS}/test_sign_up.py"
    ),
    Guard(
        ROTATION,
        "replace(pair, expires_in=max(0, pair.expires_in - age))",
        "replace(pair)",
        f"{SESSION_TESTS}/test_lifetimes.py",
    ),
    Guard(
        LIFETIMES, "timedelta(days=MAX_REFRESH_TOKEN_DAYS)", "timedelta(days=7)", f"{SESSION_TESTS}/test_lifetimes.py"
    ),
    Guard(
        DENYLIST,
        "col(DeniedToken.expires_at) <= func.now()",
        "col(DeniedToken.expires_at) <= literal_column(\"'infinity'::timestamptz\")",
        f"{SESSION_TESTS}/test_lifetimes.py",
    ),
    Guard(
        ROTATION,
        "        return await _answer_used_token(auth, claims, now, key_hash)\n",
        "        pass\n",
        f"{SESSION_TESTS}/test_refresh.py",
    ),
    Guard(
        ROTATION,
        "    await user_database(auth, claims, now).require_active()\n",
        "",
        f"{SESSION_TESTS}/test_refresh.py {SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        SERVICE,
        "claims is not None and claims.user_id == account_id",
        "claims is not None",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(ROTATION, "used and not used.successor_used and (", "used and (", f"{SESSION_TESTS}/test_refresh.py"),
    Guard(ROTATION, " and now - used.used_at <= leeway", "", f"{SESSION_TESTS}/test_refresh.py"),
    Guard(
        ROTATION,
        "leeway and used and now",
        "used and now",
        f"{SESSION_TESTS}/test_refresh_again.py::test_who_refreshed_a_moment_later_by_the_clock_is_no_exception",
    ),
    Guard(ROTATION, "(used.same_key or in_leeway)", "in_leeway", f"{SESSION_TESTS}/test_refresh_again.py"),
    Guard(
        ROTATION, "        if used and used.same_key:\n", "        if used:\n", f"{SESSION_TESTS}/test_refresh_again.py"
    ),
    Guard(
        ROTATION,
        "            raise SupersededToken\n    if await",
        "            pass\n    if await",
        f"{SESSION_TESTS}/test_refresh_again.py",
    ),
    Guard(
        DENYLIST,
        "func.coalesce(col(DeniedToken.key_hash) == _key_hash, constant(False))",
        "func.coalesce(_key_hash == _key_hash, constant(False))",
        f"{SESSION_TESTS}/test_refresh_again.py",
    ),
    Guard(SESSION_DEPENDENCIES, "len(lines) > 1 or ", "", f"{SESSION_TESTS}/test_refresh_again.py"),
    Guard(ROTATION, "sha256(key.encode()).digest()", "key.encode()", f"{SESSION_TESTS}/test_refresh_again.py"),
    Guard(
        ROTATION,
        'if await end_session(auth, claims, "reused"',
        'if False and await end_session(auth, claims, "reused"',
        f"{SESSION_TESTS}/test_refresh.py",
    ),
    Guard(
        SERVICE,
        "not account.known or not account.is_active or not verified.correct",
        "not account.known or not verified.correct",
        f"{ACCOUNT_TESTS}/test_sign_in.py",
    ),
    Guard(SERVICE, " or not verified.correct", "", f"{ACCOUNT_TESTS}/test_sign_in.py"),
    Guard(SESSION_SERVICE, "if claims.user_id == first.user_id}", "if True}", f"{SESSION_TESTS}/test_sign_out.py"),
    Guard(
        SERVICE,
        "    await by_address.begin()\n",
        "",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        SERVICE,
        "        await by_account.begin()\n",
        "        pass\n",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        ROTATION,
        'await auth.limiter.hit("refresh-session"',
        'False and await auth.limiter.hit("refresh-session"',
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        SERVICE,
        'await auth.limiter.hit("signup-address"',
        'False and await auth.limiter.hit("signup-address"',
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        SERVICE,
        "        await by_address.take_back()\n        logger.warning",
        "        logger.warning",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        "app/auth/passwords.py",
        '["bcrypt_sha256", "bcrypt"], deprecated="auto", bcrypt_sha256__rounds=cost, bcrypt__rounds=cost',
        '["bcrypt"], deprecated="auto", bcrypt__rounds=cost',
        f"{ACCOUNT_TESTS}/test_sign_up.py",
    ),
    Guard(
        "app/auth/passwords.py",
        'return unicodedata.normalize("NFKC", password)',
        "return password",
        f"{ACCOUNT_TESTS}/test_sign_up.py",
    ),
    Guard(
        "app/auth/passwords.py",
        "        except ValueError:  #",
        "        except ZeroDivisionError:  #",
        f"{ACCOUNT_TESTS}/test_sign_in.py",
    ),
    Guard("app/auth/passwords.py", "if len(password) > MAX_INPUT_LENGTH:", "if False:", f"{AUTH}/test_passwords.py"),
    Guard("app/accounts/schemas.py", "len(normalise_password(text))", "len(text)", f"{ACCOUNT_TESTS}/test_sign_up.py"),
    Guard("app/accounts/schemas.py", "if length > MAX_LENGTH:", "if False:", f"{ACCOUNT_TESTS}/test_sign_up.py"),
    Guard("app/accounts/schemas.py", "if length < MIN_LENGTH:", "if False:", f"{ACCOUNT_TESTS}/test_sign_up.py"),
    *QUEUE_GUARDS,
    Guard(SERVICE, "not account.known or ", "", f"{ACCOUNT_TESTS}/test_sign_in.py"),
    Guard(
        "app/accounts/emails.py", "valid.normalized.casefold()", "valid.normalized", f"{ACCOUNT_TESTS}/test_sign_up.py"
    ),
    Guard("app/accounts/emails.py", "text.strip()", "text", f"{ACCOUNT_TESTS}/test_sign_up.py"),
    Guard(
        "app/accounts/emails.py", "if len(text) > MAX_INPUT_LENGTH:", "if False:", f"{ACCOUNT_TESTS}/test_sign_up.py"
    ),
    Guard(
        "app/accounts/emails.py",
        "if len(text.encode()) > EMAIL_LENGTH:",
        "if False:",
        f"{ACCOUNT_TESTS}/test_sign_up.py",
    ),
    Guard("app/auth/dependencies.py", "if len(headers) > 1 or ", "if ", f"{TASKS}/test_isolation.py"),
    Guard("app/auth/dependencies.py", "(authenticate,)", "()", f"{TASKS}/test_input.py"),
    Guard(
        "app/auth/dependencies.py",
        "            await user_database(request).require_active()\n",
        "            pass\n",
        f"{SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        OAUTH_ROUTE,
        "guards: ClassVar[tuple[Guard, ...]] = (refuse_repeated_parameters,)",
        "guards: ClassVar[tuple[Guard, ...]] = ()",
        f"{ACCOUNT_TESTS}/test_oauth.py",
    ),
    Guard("app/tasks/etags.py", "if not weak and", "if", f"{TASKS}/test_tasks.py"),
    Guard("app/tasks/etags.py", "([Ww]/)?", "(W/)?", f"{TASKS}/test_tasks.py"),
    Guard(
        SESSIONS,
        "update(User).where(is_of_version)",
        "update(User).where(col(User.id) == user_id)",
        f"{SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        "app/core/rate_limits/database.py",
        "if self._hits % PRUNE_EVERY == 0:",
        "if False:",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        "app/auth/user_database.py",
        "        if not answer:\n            raise InvalidToken\n",
        "        if not answer:\n            return []\n",
        f"{SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        CALLER_SQL,
        "values, in_active_session, *conditions)",
        "values, *conditions)",
        f"{SESSION_TESTS}/test_sign_out.py",
    ),
    Guard(
        TASK_SQL,
        "_is_asked_for = (is_mine, col(Task.id) == _task_id)",
        "_is_asked_for = (col(Task.id) == _task_id,)",
        f"{TASKS}/test_isolation.py",
    ),
    Guard(
        LIST_SQL,
        ".where(is_mine, *filters)",
        ".where(*filters)",
        f"{TASKS}/test_isolation.py",
    ),
    Guard(
        TASK_SQL,
        "_unchanged = or_(_versions.is_(None), col(Task.version) == _versions.any_())",
        "_unchanged = or_(_versions.is_(None), True)",
        f"{TASKS}/test_tasks.py",
    ),
    Guard(TASK_SQL, ".on_conflict_do_nothing()", "", TELLS),
    Guard(
        "app/tasks/service.py",
        "uuid5(db.principal.user_id, idempotency_key)",
        "uuid5(UUID(int=0), idempotency_key)",
        f"{TASKS}/test_tasks.py",
    ),
    Guard("app/core/fields.py", 'if "\\0" in text:', "if False:", f"{TASKS}/test_input.py"),
    Guard("app/core/fields.py", "if not _VISIBLE.match(text):", "if False:", f"{TASKS}/test_input.py"),
    Guard("app/core/http/routing.py", "if len(received) > MAX_BODY_BYTES:", "if False:", f"{TASKS}/test_input.py"),
    Guard(
        "app/core/http/routing.py",
        "await _discard(stream)\n                raise BodyTooLarge",
        "pass\n                raise BodyTooLarge",
        f"{ATTACKS}/test_http.py",
    ),
    Guard(
        "app/core/http/routing.py",
        "await _discard(stream)\n                    raise BodyTooLarge",
        "raise BodyTooLarge",
        f"{ATTACKS}/test_http.py",
    ),
    Guard("app/core/http/routing.py", 'if "expect" not in self.headers:', "if True:", f"{ATTACKS}/test_http.py"),
    Guard(
        "app/core/http/middleware.py",
        'asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope',
        "asked = scope",
        f"{CORE}/http/test_routing.py",
    ),
    Guard(
        "app/core/http/problems.py",
        'return methods | {"HEAD"} if "GET" in methods else methods',
        "return methods",
        f"{CORE}/test_errors.py",
    ),
    Guard(
        "app/core/http/middleware.py",
        'return hosts == 1 or (hosts == 0 and scope["http_version"] == "1.0")',
        "return hosts >= 0",
        f"{ATTACKS}/test_http.py",
    ),
    Guard(
        "app/core/http/middleware.py",
        "        except ClientDisconnect:\n",
        "        except ZeroDivisionError:\n",
        f"{CORE}/http/test_server.py",
    ),
    Guard(SERVER, "if self._pending_bytes >= MAX_HEAD_BYTES or ", "if ", f"{CORE}/http/test_server.py"),
    Guard(
        SERVER,
        "        if len(self.headers) > MAX_HEADERS:\n            raise HeadTooLarge\n",
        "",
        f"{CORE}/http/test_server.py",
    ),
    Guard(SERVER, "        self.headers = []  # for trailers", "        # for trailers", f"{CORE}/http/test_server.py"),
    Guard(SERVER, "if self._is_late and not was_late:", "if False:", f"{CORE}/http/test_server.py"),
    Guard(SERVER, "if now >= self._read_by:", "if False:", f"{CORE}/http/test_server.py"),
    Guard(SERVER, "if now >= self._write_by:", "if False:", f"{CORE}/http/test_server.py"),
    Guard(
        SERVER,
        "if self.flow.read_paused or (self._is_answering() and not self._in_body):",
        "if False:",
        f"{CORE}/http/test_server.py",
    ),
    Guard(
        SERVER,
        "if self.max_connections is not None and len(self.connections) > self.max_connections:",
        "if False:",
        f"{CORE}/http/test_server.py",
    ),
    Guard(
        "app/cli/serve.py",
        "min(wanted, descriptors - database_connections",
        "max(wanted, descriptors",
        f"{CORE}/http/test_server.py",
    ),
    Guard(
        "app/core/http/routing.py",
        "if declared is not None and not _is_media_type(declared, self.media_type):",
        "if False:",
        f"{TASKS}/test_input.py",
    ),
    Guard("app/core/http/routing.py", "parse_constant=_refuse_constant, ", "", f"{TASKS}/test_input.py"),
    Guard(ROUTING, 'if len(strict.scope["query_string"]) > MAX_QUERY_BYTES:', "if False:", f"{CORE}/test_requests.py"),
    Guard(ROUTING, "if len(declared) > MAX_MEDIA_TYPE_LENGTH:", "if False:", f"{CORE}/test_requests.py"),
    Guard(ROUTING, '.split(";", MAX_COOKIES)[:MAX_COOKIES]', '.split(";")', f"{CORE}/test_requests.py"),
    Guard(ROUTING, "    def cookies(", "    def ignored(", f"{CORE}/test_requests.py"),
    Guard(FORMS, "if body.count(", "if False and body.count(", f"{CORE}/test_requests.py"),
    Guard(FORMS, ", max_num_fields=MAX_FIELDS", "", f"{CORE}/test_requests.py"),
    Guard("app/tasks/etags.py", "    if len(tags) > MAX_LENGTH:\n        return []\n", "", f"{CORE}/test_requests.py"),
    Guard(
        "app/tasks/etags.py", "    if len(tags) > MAX_LENGTH:\n        return False\n", "", f"{CORE}/test_requests.py"
    ),
    Guard(
        "app/core/http/problems.py",
        "return ValidationFailed([field_error(e) for e in found])",
        "return ValidationFailed([{**field_error(e), 'message': str(e)} for e in found])",
        f"{ACCOUNT_TESTS}/test_sign_up.py",
    ),
    Guard(
        "app/core/http/problems.py",
        '        error.headers = {"Allow": ", ".join(allowed_methods(request))}',
        "        pass",
        f"{CORE}/test_errors.py",
    ),
    Guard(
        "app/core/http/client_address.py",
        "while hops and any(address in network for network in trusted):",
        "while hops:",
        f"{CORE}/test_client_address.py",
    ),
    Guard("app/core/http/client_address.py", "[-MAX_HOPS:]", "", f"{CORE}/test_client_address.py"),
    Guard("app/core/http/client_address.py", "IPV6_PREFIX = 56", "IPV6_PREFIX = 64", f"{CORE}/test_client_address.py"),
    Guard(
        "app/core/http/client_address.py",
        "if client is None or client.port == 0:",
        "if client is None:",
        f"{CORE}/test_client_address.py",
    ),
    Guard(
        "app/core/rate_limits/database.py",
        "(_count < parameter",
        "(_count <= parameter",
        f"{ACCOUNT_TESTS}/test_limits.py",
    ),
    Guard(
        "app/core/http/middleware.py",
        "return offered if _REQUEST_ID.fullmatch(offered) else uuid4().hex",
        "return offered",
        f"{CORE}/test_errors.py",
    ),
    Guard("app/core/http/middleware.py", "    app.add_middleware(CatchAll)\n", "", f"{CORE}/test_errors.py"),
    Guard(
        "app/status/prometheus.py",
        'method = method if method in _METHODS else "other"',
        "pass",
        "tests/test_metrics.py",
    ),
    Guard(
        "app/core/http/middleware.py",
        'route = getattr(asked.get("route"), "path", None)',
        'route = scope["path"]',
        "tests/test_metrics.py",
    ),
    Guard(
        ROTATION,
        "    if claims.token_id.int % lifetimes.PRUNE_EVERY == 0:",
        "    if False:",
        f"{SESSION_TESTS}/test_refresh.py",
    ),
    Guard(
        ROTATION,
        "with suppress(DatabaseUnavailable):  # the token",
        "if True:  # the token",
        f"{SESSION_TESTS}/test_refresh.py",
    ),
    Guard(EMBEDDED, " -c unix_socket_permissions=0700", "", f"{STRANGERS}_another_user_cannot_connect", True),
    Guard(
        EMBEDDED,
        "return path.lstat().st_uid == owner_of(self._user)",
        "return True",
        f"{STRANGERS}_a_socket_of_another_user_is_not_taken_for_the_servers",
        True,
    ),
    Guard(
        EMBEDDED,
        "            except BlockingIOError:  # so many wait that no more are let in: alive, not to be started twice\n"
        "                return True\n",
        "",
        f"{RESTARTING}_a_database_whose_queue_is_full_is_not_started_a_second_time",
    ),
    Guard(
        EMBEDDED,
        'open(open_own_file(lock, owner_of(self._user)), "r+")',
        'lock.open("r+")',
        f"{STRANGERS}_a_link_of_another_user_in_the_place_of_a_lock_file_changes_nothing_of_ours",
        True,
    ),
    Guard(
        EMBEDDED,
        "            own_folder(self._socket_dir, self._user)\n",
        "            pass\n",
        f"{STRANGERS}_a_place_that_another_user_has_taken_since_is_given_up",
        True,
    ),
    Guard(
        OWNERSHIP,
        "            if not new:\n                raise _stranger(folder)\n",
        "",
        f"{STRANGERS}_what_another_user_put_in_the_place_of_the_data_is_refused",
        True,
    ),
    Guard(
        OWNERSHIP,
        "found.st_uid == os.geteuid() and not",
        "not",
        f"{STRANGERS}_what_another_user_put_in_the_place_of_the_data_is_refused",
        True,
    ),
    Guard(
        OWNERSHIP,
        "            os.fchmod(handle, 0o700)\n",
        "            pass\n",
        f"{STRANGERS}_a_mode_that_lets_others_in_is_mended",
        True,
    ),
    Guard(
        OWNERSHIP,
        "flags | os.O_NOFOLLOW | os.O_CLOEXEC",
        "flags | os.O_CLOEXEC",
        f"{STRANGERS}_a_file_beside_the_data_that_others_can_write_is_refused",
        True,
    ),
    Guard(
        OWNERSHIP,
        "found.st_uid != owner or ",
        "",
        f"{STRANGERS}_a_file_beside_the_data_that_others_can_write_is_refused",
        True,
    ),
    Guard(
        OWNERSHIP,
        " or stat.S_IMODE(found.st_mode) & 0o022:",
        ":",
        f"{STRANGERS}_a_file_beside_the_data_that_others_can_write_is_refused",
        True,
    ),
    Guard(
        SOCKETS,
        "                own_folder(folder, user)\n",
        "",
        f"{STRANGERS}_a_place_that_another_user_has_taken_since_is_given_up",
        True,
    ),
    Guard(
        "app/cli/serve.py",
        "except OSError as error:",
        "except ZeroDivisionError as error:",
        f"{RESTARTING}_a_database_that_dies_while_files_are_short_is_started_again_afterwards",
    ),
    Guard(
        ACCOUNTS,
        "+ 1, floor(extract(epoch FROM statement_timestamp() - timestamptz '2020-01-01 00:00Z'))::int)",
        "+ 1)",
        f"{RESTORES}_no_token_that_was_issued_after_the_dump_is_good_after_its_restoring",
    ),
    Guard(
        ACCOUNTS,
        "token_version + 1, floor(",
        "floor(",
        f"{ACCOUNT_TESTS}/test_users.py",
    ),
    Guard(
        "app/operations/maintenance.py",
        "            connection.execute(NO_TIMEOUTS)\n",
        "",
        f"{ACCOUNT_TESTS}/test_users.py",
    ),
    Guard("app/cli/users.py", "print(plain(line))", "print(line)", f"{ACCOUNT_TESTS}/test_users.py"),
    Guard(BACKUP, '\\nBEGIN;\\n" + NO_TIMEOUTS', '\\nBEGIN;\\n" + b"SELECT"', f"{RESTORES}_no_timeout_stops_a_restore"),
    Guard(BACKUP, 'b"RESET ALL", NO_TIMEOUTS, then', 'b"RESET ALL", then', f"{RESTORES}_no_timeout_stops_a_restore"),
    Guard(BACKUP, " EXTENSION (- )?citus|", "", f"{OPERATIONS}/test_backup.py"),
    Guard(
        BACKUP,
        "            reader.finish()\n            psql",
        "            psql",
        f"{RESTORES}_a_dump_that_breaks_off_changes_nothing",
    ),
    Guard(
        BACKUP,
        "if not re.match(",
        "if False and not re.match(",
        f"{RESTORES}_programs_that_trust_a_dump_with_this_machine_are_refused",
    ),
    Guard(
        BACKUP,
        ' + b";\\n" + room',
        ' + b";\\n"',
        f"{RESTORES}_a_dump_of_an_older_schema_is_restored_migrated_and_signed_out",
    ),
    Guard(
        BACKUP,
        "\\nSET transaction_timeout = 0;\\n",
        "never",
        f"{RESTORES}_a_restore_sends_nothing_that_servers_before_17_refuse",
    ),
    Guard(
        BACKUP,
        "_SECRETS & parameters.keys()",
        '{"password"} & parameters.keys()',
        f"{RESTORES}_no_secret_is_among_the_arguments_of_a_program",
    ),
    Guard(BACKUP, "if not tls:", "if True:", f"{RESTORES}_tls_is_spoken_by_programs_that_can"),
    Guard(
        BACKUP,
        "os.link(building.name, file, follow_symlinks=False)",
        "os.replace(building.name, file)",
        f"{RESTORES}_a_dump_goes_nowhere_but_into_its_own_new_file",
    ),
    Guard(
        BACKUP,
        "--file=/dev/fd/{opened}",
        "--file={building.name}",
        f"{RESTORES}_a_dump_goes_nowhere_but_into_its_own_new_file",
    ),
    Guard(
        BACKUP,
        "if not os.path.samestat(",
        "if False and not os.path.samestat(",
        f"{RESTORES}_a_dump_goes_nowhere_but_into_its_own_new_file",
    ),
    Guard(
        "app/core/database/pool.py",
        "if self._hosts and only_reads(connection):",
        "if False:",
        f"{CORE}/test_hosts.py",
    ),
    Guard(
        "app/core/database/pool.py",
        "                if statement.only_reads:  #",
        "                if True:  #",
        f"{CORE}/test_hosts.py",
    ),
    Guard(
        "app/core/database/pool.py",
        "    errors.ReadOnlySqlTransaction,  # it did nothing; another server may be the one that writes by now\n",
        "",
        f"{CORE}/test_hosts.py",
    ),
    Guard(
        "app/core/database/hosts.py",
        "self._order.sort(key=lambda it: it != where)",
        "pass",
        f"{CORE}/test_hosts.py",
    ),
    Guard(
        "app/core/database/dsn.py",
        'conninfo.setdefault("target_session_attrs"',
        'conninfo.get("x"',
        f"{CORE}/test_config.py",
    ),
    Guard(
        "app/status/health.py",
        "if not can_serve(revision):",
        "if not revision:",
        f"{OPERATIONS}/test_rolling_updates.py",
    ),
    Guard(
        "app/operations/migrations.py",
        "return revision == head_revision() or is_newer(revision)",
        "return revision == head_revision()",
        f"{OPERATIONS}/test_rolling_updates.py",
    ),
    Guard(
        "app/operations/migrations.py",
        "            if not is_newer(found := _current_revision(dsn)):",
        "            if True:",
        f"{OPERATIONS}/test_rolling_updates.py",
    ),
    Guard(
        "app/accounts/service.py",
        "with suppress(DatabaseUnavailable):  # the old one",
        "if True:  # the old one",
        f"{ACCOUNT_TESTS}/test_sign_in.py",
    ),
]
