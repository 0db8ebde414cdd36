"""Why a database cannot be used, in one sentence that says what to do and holds no secret."""

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.core.database.dsn import Dsn

SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
"""libpq's parameters that nobody else may see."""

# What libpq says before there is a connection has no SQLSTATE that could be read. In the order in which they are tried.
_BY_TEXT = (
    (
        r'password authentication failed for user "(?P<role>.+?)"',
        "refuses the password of {role}: correct DATABASE_URL",
    ),
    (r"no password supplied", "wants a password: write it into DATABASE_URL, special characters as %40 and the like"),
    (r'role "(?P<role>.+?)" does not exist', "knows no role {role}: CREATE ROLE {role} LOGIN, or correct DATABASE_URL"),
    (r'role "(?P<role>.+?)" is not permitted to log in', "lets {role} not sign in: ALTER ROLE {role} LOGIN"),
    (
        r'database "(?P<name>.+?)" does not exist',
        "has another name: there is no {name} on that server, CREATE DATABASE {name} or correct DATABASE_URL",
    ),
    (
        r'permission denied for database "(?P<name>.+?)"',
        "lets this role not connect: GRANT CONNECT ON DATABASE {name} to it",
    ),
    (
        r'database "(?P<name>.+?)" is not currently accepting connections',
        "is closed: ALTER DATABASE {name} ALLOW_CONNECTIONS true",
    ),
    (
        r"no pg_hba.conf entry for (?P<who>host.+?)$",
        "lets nobody in from here: its pg_hba.conf has no line for {who}; add one, or sslmode=require to DATABASE_URL",
    ),
    (
        r"too many clients|remaining connection slots|too many connections for",
        "is full: raise its max_connections, or lower DATABASE_POOL_MAX and WORKERS",
    ),
    (
        r"the database system is (starting up|shutting down|in recovery|not yet accepting|not accepting)",
        "is starting or stopping: it is tried again",
    ),
    (r"startup parameter", "stands behind a pooler: set DATABASE_POOLER=transaction"),
    (r"session is read-only", "answers, and none of its servers takes writes: promote one"),
    (
        r"(?:could not translate host name|failed to resolve host) ['\"](?P<host>.+?)['\"]",
        "cannot be found, there is no host {host}: correct DATABASE_URL, or ask whether name resolution works here",
    ),
    (
        r'(on socket "(?P<socket>.+?)" failed: (No such file|Connection refused))',
        "cannot be reached: no server listens at {socket}; start it, or name its host in DATABASE_URL",
    ),
    (
        r'server at "(?P<host>.+?)"(?: \(.+?\))?, port (?P<port>\d+) failed: Connection refused',
        "cannot be reached: nothing listens at {host}:{port}; start the server, or correct DATABASE_URL",
    ),
    (
        r"Network is unreachable|No route to host",
        "cannot be reached: there is no way to its host from here; look at the network and at DATABASE_URL",
    ),
    (
        r"timeout expired",
        "cannot be reached: nothing answers in time; look for a firewall between, or correct DATABASE_URL",
    ),
    (
        r"server does not support SSL",
        "speaks no TLS, and sslmode in DATABASE_URL demands it: set ssl = on there, or leave sslmode out",
    ),
    (
        r"root certificate file .* does not exist|sslrootcert",
        "cannot be verified without a certificate authority: add sslrootcert=system to DATABASE_URL, or its file",
    ),
    (
        r'certificate for "(?P<named>.+?)".* does not match host name "(?P<host>.+?)"',
        "has a certificate for {named}, not for {host}: write that name into DATABASE_URL",
    ),
    (
        r"certificate verify failed",
        "has a certificate that no authority known here has signed: name the authority's file by sslrootcert in "
        "DATABASE_URL",
    ),
    (
        r"channel binding",
        "offers no channel binding, which DATABASE_URL demands: leave channel_binding out of it, or connect by TLS",
    ),
    (
        r"invalid response to SSL negotiation|expected authentication request|unsupported frontend protocol|"
        r"server closed the connection unexpectedly\W+This probably",
        "cannot be reached: what answers there is no PostgreSQL, or went away; look at the port in DATABASE_URL",
    ),
)
_BY_STATE = {
    "25006": "only reads: name the server that takes writes in DATABASE_URL, or promote one",
    "42P01": "lacks a table of this service: run python -m app migrate",
    "42P07": "has tables of another program: name an empty database in DATABASE_URL",
    "42703": "lacks a column of this service: run python -m app migrate",
    "53100": "has no room left on its disk: make room there",
    "53200": "has no memory left: look at what else runs there",
    "53300": "is full: raise its max_connections, or lower DATABASE_POOL_MAX and WORKERS",
    "55P03": "holds a lock that another session does not release: look at pg_stat_activity",
    "57014": "takes too long to answer: look at pg_stat_activity and at its load",
    "57P01": "has ended the connection: it is restarting, or somebody did that",
    "57P03": "is starting or stopping: it is tried again",
    "58030": "cannot read or write its files: look at its log and its disk",
    "XX001": "has damaged files: look at its log, and restore a dump",
}
_ALLOWS = {
    "schema": "GRANT USAGE, CREATE ON SCHEMA {what} TO {role}",
    "database": "GRANT CONNECT, TEMPORARY ON DATABASE {what} TO {role}",
    "function": "GRANT EXECUTE ON FUNCTION {what} TO {role}",
}


def why(error: BaseException, dsn: Dsn) -> str:
    """Return what "The database …" goes on with: why it cannot be used and what mends that."""
    return _without_secrets(_why(error, dsn), dsn)


def _why(error: BaseException, dsn: Dsn) -> str:
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    if state == "42501":
        return _rights(str(error), dsn)
    if state in _BY_STATE:
        return _BY_STATE[state]
    for pattern, sentence in _BY_TEXT:
        if found := re.search(pattern, str(error), re.MULTILINE | re.DOTALL):
            return sentence.format(**found.groupdict())
    return f"cannot be used: {_first_line(error)}"


def _rights(text: str, dsn: Dsn) -> str:
    role = str(conninfo_to_dict(dsn.conninfo).get("user") or "this role")
    found = re.search(r"(?:permission denied for|must be owner of) (\w+) (\S+)", text)
    if not found:
        return f"does not let {role} do this: {text.splitlines()[0]}"
    kind, what = found.groups()
    if "must be owner" in text:
        return f"does not let {role} change {kind} {what}, which belongs to another role: migrate as its owner"
    remedy = _ALLOWS.get(kind, "GRANT SELECT, INSERT, UPDATE, DELETE ON {what} TO {role}").format(what=what, role=role)
    return f"does not let {role} use {kind} {what}: {remedy}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = re.sub(r"^connection (failed|is bad): ", "", lines[0]) if lines else type(error).__name__
    return re.sub(r"\b(FATAL|ERROR): +", "", text)


def _without_secrets(text: str, dsn: Dsn) -> str:
    for name, value in conninfo_to_dict(dsn.conninfo).items():
        if name in SECRETS and value:
            text = text.replace(str(value), "…")
    return text
