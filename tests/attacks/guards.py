"""Every guard, and the tests that must turn red without it."""

from typing import NamedTuple

AUTH, TASKS, CORE, ATTACKS = "tests/auth", "tests/tasks", "tests/core", "tests/attacks"


class Guard(NamedTuple):
    """In `file`, `text` (which stands there once) becomes `without`; then one of `tests` fails."""

    file: str
    text: str
    without: str
    tests: str


TOKENS = "app/auth/tokens.py"
SERVICE = "app/auth/service.py"
ACCOUNTS = "app/auth/repository.py"
CALLER_SQL = "app/auth/active_session.py"
DENYLIST = "app/auth/denylist.py"
TASK_SQL = "app/tasks/repository.py"
SERVER = "app/core/http/server.py"
LIST_SQL = "app/tasks/list_repository.py"

GUARDS = [
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
    Guard(TOKENS, "claims.issued_at > seconds + 60 or ", "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "<= self._lifetimes[kind]:", "<= 10**12:", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "type(number) is int", "isinstance(number, int | float)", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, " or version not in _VERSIONS", "", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "if len(members) != len(pairs):", "if False:", f"{AUTH}/test_tokens.py"),
    Guard(TOKENS, "not isinstance(text, str) or not _UUID.fullmatch(text)", "False", f"{AUTH}/test_tokens.py"),
    Guard(
        CALLER_SQL,
        "        col(User.is_active),\n        col(User.token_version) ==",
        "        col(User.token_version) ==",
        f"{AUTH}/test_refresh.py",
    ),
    Guard(
        CALLER_SQL,
        '        col(User.token_version) == bindparam("version", type_=Integer),\n',
        '        bindparam("version", type_=Integer) >= 0,\n',
        f"{AUTH}/test_sign_out.py",
    ),
    Guard(
        CALLER_SQL,
        "~exists().where(",
        "exists().where(True) | ~exists().where(",
        f"{AUTH}/test_sign_out.py {AUTH}/test_refresh.py",
    ),
    Guard(ACCOUNTS, ".on_conflict_do_nothing(index_elements=[col(User.email)])", "", f"{AUTH}/test_sign_up.py"),
    Guard(SERVICE, "    if rotation.won:\n", "    if True:\n", f"{AUTH}/test_refresh.py"),
    Guard(SERVICE, "    if not rotation.alive:\n        raise InvalidToken\n", "", f"{AUTH}/test_refresh.py"),
    Guard(SERVICE, "used and not used.successor_used and now", "used and now", f"{AUTH}/test_refresh.py"),
    Guard(SERVICE, " and now - used.used_at <= leeway", "", f"{AUTH}/test_refresh.py"),
    Guard(
        SERVICE,
        'if await denylist_repository.insert_ended_session(auth.database, claims, "reused"',
        'if False and await denylist_repository.insert_ended_session(auth.database, claims, "reused"',
        f"{AUTH}/test_refresh.py",
    ),
    Guard(
        SERVICE,
        "not account.known or not account.is_active or not verdict.correct",
        "not account.known or not verdict.correct",
        f"{AUTH}/test_sign_in.py",
    ),
    Guard(SERVICE, " or not verdict.correct", "", f"{AUTH}/test_sign_in.py"),
    Guard(SERVICE, "if c.user_id == user_id}", "if True}", f"{AUTH}/test_sign_out.py"),
    Guard(
        SERVICE,
        '    await auth.limiter.hit("signin-address"',
        '    False and await auth.limiter.hit("signin-address"',
        f"{AUTH}/test_limits.py",
    ),
    Guard(
        SERVICE,
        '        await auth.limiter.hit("signin-account"',
        '        False and await auth.limiter.hit("signin-account"',
        f"{AUTH}/test_limits.py",
    ),
    Guard(SERVICE, "counting=counting and counting.params", "counting=None", f"{AUTH}/test_limits.py"),
    Guard(
        DENYLIST, "exists().select_from(counted) if counting else", "true() if counting else", f"{AUTH}/test_limits.py"
    ),
    Guard(
        SERVICE,
        '    await auth.limiter.hit("signup-address"',
        '    False and await auth.limiter.hit("signup-address"',
        f"{AUTH}/test_limits.py",
    ),
    Guard(
        SERVICE,
        '        await auth.limiter.give_back("signin-address", address)\n        logger',
        "        logger",
        f"{AUTH}/test_limits.py",
    ),
    Guard(
        "app/auth/passwords.py",
        '["bcrypt_sha256", "bcrypt"], deprecated="auto", bcrypt_sha256__rounds=cost, bcrypt__rounds=cost',
        '["bcrypt"], deprecated="auto", bcrypt__rounds=cost',
        f"{AUTH}/test_sign_up.py",
    ),
    Guard(
        "app/auth/passwords.py",
        'return unicodedata.normalize("NFKC", password)',
        "return password",
        f"{AUTH}/test_sign_up.py",
    ),
    Guard(
        "app/auth/passwords.py",
        "        except ValueError:  #",
        "        except ZeroDivisionError:  #",
        f"{AUTH}/test_sign_in.py",
    ),
    Guard(SERVICE, "not account.known or ", "", f"{AUTH}/test_sign_in.py"),
    Guard("app/auth/emails.py", "valid.normalized.casefold()", "valid.normalized", f"{AUTH}/test_sign_up.py"),
    Guard("app/auth/emails.py", "text.strip()", "text", f"{AUTH}/test_sign_up.py"),
    Guard("app/auth/dependencies.py", "if len(headers) > 1 or ", "if ", f"{TASKS}/test_isolation.py"),
    Guard("app/auth/dependencies.py", "(authenticate,)", "()", f"{TASKS}/test_input.py"),
    Guard(
        "app/auth/dependencies.py",
        "                await (await authenticate(request)).check()\n",
        "",
        f"{AUTH}/test_sign_out.py",
    ),
    Guard(
        "app/auth/user_database.py",
        "        if not rows:\n            raise InvalidToken\n",
        "        if not rows:\n            return ()\n",
        f"{AUTH}/test_sign_out.py",
    ),
    Guard(TASK_SQL, ".where(owner.is_not(None))", "", f"{AUTH}/test_sign_out.py"),
    Guard(
        TASK_SQL,
        '_mine = (col(Task.id) == bindparam("task_id", type_=Uuid), col(Task.user_id) == owner)',
        '_mine = (col(Task.id) == bindparam("task_id", type_=Uuid),)',
        f"{TASKS}/test_isolation.py",
    ),
    Guard(
        LIST_SQL,
        "[col(Task.user_id) == owner]",
        "[col(Task.user_id) == col(Task.user_id)]",
        f"{TASKS}/test_isolation.py",
    ),
    Guard(
        TASK_SQL,
        "_unchanged = or_(_versions.is_(None), col(Task.version) == any_(_versions))",
        "_unchanged = or_(_versions.is_(None), True)",
        f"{TASKS}/test_tasks.py",
    ),
    Guard(TASK_SQL, ".on_conflict_do_nothing(index_elements=[col(Task.id)])", "", f"{TASKS}/test_tasks.py"),
    Guard(
        "app/tasks/service.py",
        "uuid5(caller.user_id, idempotency_key)",
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
        "app/core/http/routing.py",
        "if match is Match.PARTIAL and self._is_head_of_get(scope):",
        "if False:",
        f"{CORE}/http/test_routing.py",
    ),
    Guard(
        "app/core/errors.py",
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
        SERVER,
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
    Guard(
        "app/core/errors.py",
        "return Invalid([field_error(e) for e in found])",
        "return Invalid([{**field_error(e), 'message': str(e)} for e in found])",
        f"{AUTH}/test_sign_up.py",
    ),
    Guard(
        "app/core/errors.py",
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
    Guard(
        "app/core/http/client_address.py",
        "if client is None or client.port == 0:",
        "if client is None:",
        f"{CORE}/test_client_address.py",
    ),
    Guard(
        "app/core/rate_limits/database.py",
        "(col(RateLimitCounter.count) < bindparam",
        "(col(RateLimitCounter.count) <= bindparam",
        f"{AUTH}/test_limits.py",
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
        'route = getattr(scope.get("route"), "path", None)',
        'route = scope["path"]',
        "tests/test_metrics.py",
    ),
    Guard(
        "app/auth/service.py",
        "    if rotation.expired:",
        "    if False and rotation.expired:",
        f"{AUTH}/test_refresh.py",
    ),
    Guard(
        "app/auth/service.py",
        "        with suppress(DatabaseUnavailable):",
        "        if True:",
        f"{AUTH}/test_refresh.py",
    ),
]
