"""Settings: every mistake at once, no value printed."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core.config import Settings, SettingsError, load_settings
from app.core.database.dsn import parse_database_url
from app.core.mail_settings import parse_mail_url, parse_sender
from app.core.operator_error import OperatorError
from app.core.setting_types import Limit
from tests.support.settings import ROOT, SECRET, SETTING_NAMES

URL = "postgresql://me:hunter2@db.example:5433/tasks"


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": URL, **environment}.items():
        monkeypatch.setenv(name, value)
    return load_settings(_env_file=None)


def test_the_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets nothing more than needed gets the documented values. Source: FR-009, FR-010, NFR-001."""
    settings = load(monkeypatch, UNKNOWN="1", BETTER_AUTH_URL="http://localhost:3001", FRONTEND_URL="")
    assert (settings.access_token_seconds, settings.refresh_token_seconds) == (900, 604800)
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.frontend_url == (
        *("http://localhost:3000", "http://localhost:3001", "http://localhost:5173", "http://localhost:8080"),
        *("http://127.0.0.1:3000", "http://127.0.0.1:3001", "http://127.0.0.1:5173", "http://127.0.0.1:8080"),
    )
    assert load(monkeypatch, ENVIRONMENT="production").frontend_url == ()
    assert settings.max_connections == 1000
    assert (settings.password_hash_cost, settings.refresh_reuse_leeway_seconds) == (12, 10)
    assert settings.rate_limit_signin_account == Limit(10, 900)
    assert (settings.max_tasks_per_user, settings.max_sessions_per_user) == (10_000, 100)
    assert (settings.live_streams, settings.rate_limit_live_session) == (500, Limit(30, 60))
    assert settings.session_seconds is None
    assert settings.access_token_algorithm == "HS256"
    assert settings.warnings() == []


def test_common_passwords_are_refused_in_production_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs it for others has to ask for weak passwords, who tries it out has not to think of a good one.

    Source: ASVS 5.0 6.2.4.
    """
    found = [
        load(monkeypatch, ENVIRONMENT=environment, COMMON_PASSWORDS=given).common_passwords
        for environment in ("production", "development", "staging")
        for given in ("", "allow", "refuse")
    ]
    assert found == ["refuse", "allow", "refuse", *["allow", "allow", "refuse"] * 2]


def test_every_setting_stands_in_the_example_and_in_the_documents() -> None:
    """Whoever reads docs/settings.md or .env.example knows every setting."""
    example = (ROOT / ".env.example").read_text()
    page = (ROOT / "docs" / "settings.md").read_text()
    for name in SETTING_NAMES:
        assert f"\n{name}=" in example, name
        assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BETTER_AUTH_SECRET", ""),
        ("BETTER_AUTH_SECRET", "s3cr3t-of-31-characters-abcdefg"),
        ("BETTER_AUTH_SECRET", " " * 40),
        ("BETTER_AUTH_SECRET", "-----BEGIN PUBLIC KEY-----" + "x" * 40),
        ("BETTER_AUTH_SECRET", "ssh-rsa " + "x" * 40),
        ("BETTER_AUTH_SECRET_PREVIOUS", "s3cr3t"),
        ("DATABASE_URL", "mysql://me:s3cr3t@host/db"),
        ("DATABASE_URL", "postgresql://me:s3cr3t@host"),
        ("DATABASE_URL", "postgresql://me:s3cr3t@host/db?nonsense=1"),
        ("DATABASE_URL", "s3cr3t"),
        ("FRONTEND_URL", "*"),
        ("FRONTEND_URL", "https://app.example/path"),
        ("FRONTEND_URL", "app.example"),
        ("FRONTEND_URL", "ftp://app.example"),
        ("FRONTEND_URL", "null"),
        ("FRONTEND_URL", "https://good.example,https://s3cr3t@app.example"),
        ("FRONTEND_URL", "file://s3cr3t"),
        ("FRONTEND_URL", "https://s3cr3t.example:99999"),
        ("ENVIRONMENT", "prod"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "-1"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "abc"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "nan"),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "inf"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("WORKERS", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("PASSWORD_HASH_COST", "11"),
        ("PASSWORD_HASH_COST", "40"),
        ("HASH_QUEUE_SECONDS", "0"),
        ("REFRESH_REUSE_LEEWAY_SECONDS", "-1"),
        ("SESSION_MAX_DAYS", "-1"),
        ("MAX_TASKS_PER_USER", "-1"),
        ("MAX_SESSIONS_PER_USER", "many"),
        ("RATE_LIMITS", "maybe"),
        ("RATE_LIMIT_SIGNIN_ACCOUNT", "0/minute"),
        ("RATE_LIMIT_SIGNUP_ADDRESS", "many"),
        ("ACCESS_TOKEN_ALGORITHM", "none"),
        ("RATE_LIMIT_STORAGE", "memcached://s3cr3t"),
        ("MAIL_URL", "https://me:s3cr3t@mail.example"),
        ("MAIL_URL", "smtps://me@mail.example"),
        ("MAIL_URL", "smtps://me:s3cr3t@mail.example/path"),
        ("MAIL_URL", "smtps://me:s3cr3t@mail.example:s3cr3t"),
        ("MAIL_URL", "smtp+plain://me:s3cr3t@mail.example"),
        ("MAIL_FROM", "s3cr3t"),
        ("MAIL_FROM", "Me\r\nBcc: s3cr3t@example.com, <me@example.com>"),
        ("SERVICE_NAME", "s3cr3t\nand more"),
        ("SERVICE_NAME", "s3cr3t" * 11),
        ("MAIL_NOTICES", "s3cr3t"),
        ("RATE_LIMIT_MAIL_CLIENT", "many"),
        ("RATE_LIMIT_MAIL_ACCOUNT", "0/hour"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy"),
        ("DATABASE_POOL_MAX", "1"),
        ("DATABASE_POOLER", "session"),
        ("DATABASE_LISTEN_URL", "mysql://me:s3cr3t@host/db"),
        ("LIVE_STREAMS", "-1"),
        ("RATE_LIMIT_LIVE_SESSION", "some"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("COMMON_PASSWORDS", "x"),
        ("MIGRATE_ON_START", "x"),
        ("DOCS_ENABLED", "x"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """An operator reads which setting is wrong, and its value, which may be a secret, is not printed.

    Source: NFR-003, SC-014.
    """
    with pytest.raises(SettingsError) as stopped:
        load(monkeypatch, **{name: value})
    lines = str(stopped.value).splitlines()
    assert len(lines) == 2
    assert lines[1].strip().startswith(name + " ")
    assert "s3cr3t" not in str(stopped.value)


def test_every_mistake_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator reads all mistakes at once, production's own rules included."""
    bad = {
        "ENVIRONMENT": "production",
        "BETTER_AUTH_SECRET": "changeme-changeme-changeme-changeme",
        "DATABASE_URL": "",
        "FRONTEND_URL": "http://app.example",
        "PORT": "x",
    }
    with pytest.raises(SettingsError) as stopped:
        load(monkeypatch, **bad)
    named = {line.split()[0] for line in str(stopped.value).splitlines()[1:]}
    assert named == {"BETTER_AUTH_SECRET", "DATABASE_URL", "FRONTEND_URL", "PORT"}


@pytest.mark.parametrize("secret", ["a" * 40, "abcabcabc" * 5, "please-change-me-0123456789-abcdefgh"])
def test_a_weak_secret_is_refused_in_production_and_warned_of_elsewhere(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Production does not start with a secret that can be guessed; elsewhere there is a warning."""
    assert "BETTER_AUTH_SECRET" in load(monkeypatch, BETTER_AUTH_SECRET=secret).warnings()[0]
    with pytest.raises(SettingsError):
        load(monkeypatch, ENVIRONMENT="production", BETTER_AUTH_SECRET=secret, FRONTEND_URL="https://app.example")
    local = "http://localhost:3000,http://[::1]:3000,http://127.0.0.1,http://tauri.localhost,capacitor://localhost"
    good = load(monkeypatch, ENVIRONMENT="production", FRONTEND_URL=f"https://app.example,{local}")
    assert good.environment == "production"


def test_origins_lifetimes_limits_and_proxies_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator writes several origins, fractions of a day, and limits as `5 / 2 hours`."""
    settings = load(
        monkeypatch,
        FRONTEND_URL=" https://App.example:443/ ,http://localhost:5173,capacitor://localhost,https://app.example",
        ACCESS_TOKEN_EXPIRE_MINUTES="0.05",
        REFRESH_TOKEN_EXPIRE_DAYS="0.5",
        RATE_LIMIT_SIGNIN_ACCOUNT=" 5 / 2 hours ",
        RATE_LIMIT_REFRESH_SESSION="7/second",
        TRUSTED_PROXIES="10.0.0.0/8, ::1",
    )
    assert settings.frontend_url == ("https://app.example", "http://localhost:5173", "capacitor://localhost")
    assert (settings.access_token_seconds, settings.refresh_token_seconds) == (3, 43200)
    assert settings.rate_limit_signin_account == Limit(5, 7200)
    assert settings.rate_limit_refresh_session == Limit(7, 1)
    assert settings.rate_limit_signup_address == Limit(600, 60), "by default: a school behind one address at once"
    assert [str(n) for n in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


SECRETS = {
    "BETTER_AUTH_SECRET": SECRET,
    "BETTER_AUTH_SECRET_PREVIOUS": SECRET[::-1],
    "DATABASE_URL": "postgresql://me:hunter2@db.example/from-a-file",
    "DATABASE_LISTEN_URL": "postgresql://me:hunter2@direct.example/from-a-file",
    "RATE_LIMIT_STORAGE": "redis://:hunter2@cache.example/1",
    "MAIL_URL": "smtps://me:hunter2@mail.example",
}
MAIL = {"MAIL_FROM": "no-reply@example.com", "SERVICE_NAME": "Tasks", "FRONTEND_URL": "https://app.example"}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Secrets of Docker, Kubernetes and systemd are files, and stand in no environment that others can read."""
    (tmp_path / name.lower()).write_text(f"{SECRETS[name]}\n")

    def secret(settings: Settings) -> str:
        found: SecretStr = getattr(settings, name.lower())
        return found.get_secret_value()

    assert (
        secret(load(monkeypatch, **MAIL, **{name: "", f"{name}_FILE": str(tmp_path / name.lower())})) == SECRETS[name]
    )
    monkeypatch.delenv(f"{name}_FILE")
    assert secret(load(monkeypatch, **MAIL, **{name: "", "CREDENTIALS_DIRECTORY": str(tmp_path)})) == SECRETS[name]


def test_every_secret_may_come_from_a_file() -> None:
    """A secret that is added later may, too."""
    secrets = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert {name.upper() for name in secrets} == SECRETS.keys()
    assert all(f"`{name}_FILE`" in (ROOT / "docs/settings.md").read_text() for name in SECRETS)


@pytest.mark.parametrize(
    ("content", "also", "said"),
    [
        (None, "", "which cannot be read: No such file or directory"),
        (b"\xff" * 40, "", "which cannot be read: it is not UTF-8"),
        (b" \n", "", "which is empty"),
        (SECRET.encode(), "s3cr3t" * 8, "BETTER_AUTH_SECRET and BETTER_AUTH_SECRET_FILE are both set"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, also: str, said: str
) -> None:
    """An operator reads which file is missing, and does not serve with another secret than meant."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OperatorError, match=said) as stopped:
        load(monkeypatch, BETTER_AUTH_SECRET=also, BETTER_AUTH_SECRET_FILE=str(file))
    assert "s3cr3t" not in str(stopped.value)


def test_secrets_do_not_show_in_a_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are printed or logged show no secret."""
    settings = load(monkeypatch)
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in text
        assert "hunter2" not in text
    assert isinstance(settings.better_auth_secret, SecretStr)


@pytest.mark.parametrize(
    ("url", "conninfo", "pooled"),
    [
        (URL, {"host": "db.example", "port": "5433", "dbname": "tasks", "user": "me", "password": "hunter2"}, False),
        ("postgres://me@h/d", {"host": "h", "dbname": "d", "user": "me"}, False),
        (
            "postgresql+asyncpg://me@h/d?ssl=require",
            {"host": "h", "dbname": "d", "user": "me", "sslmode": "require"},
            False,
        ),
        (
            "postgresql://u:p@ep-x-123-pooler.eu.aws.neon.tech/db?sslmode=require&channel_binding=require",
            {
                "host": "ep-x-123-pooler.eu.aws.neon.tech",
                "dbname": "db",
                "user": "u",
                "password": "p",
                "sslmode": "require",
                "channel_binding": "require",
            },
            True,
        ),
        ("postgres://h/d?options=endpoint%3Dep-x", {"host": "h", "dbname": "d", "options": "endpoint=ep-x"}, False),
        ("postgres://h/d?pgbouncer=true&connection_limit=1&schema=public", {"host": "h", "dbname": "d"}, True),
        ("postgresql://postgres@/db?host=%2Fa%20b", {"host": "/a b", "dbname": "db", "user": "postgres"}, False),
        (
            "postgresql://a:5433,b-pooler.example:5434/d?target_session_attrs=primary",
            {"host": "a,b-pooler.example", "port": "5433,5434", "dbname": "d", "target_session_attrs": "primary"},
            True,
        ),
    ],
)
def test_a_database_url_is_taken_as_pasted(url: str, conninfo: dict[str, Any], pooled: bool) -> None:
    """An operator pastes the URL that Neon, asyncpg or Prisma shows. Source: FR-049."""
    from psycopg.conninfo import conninfo_to_dict

    dsn = parse_database_url(url)
    assert (conninfo_to_dict(dsn.conninfo), dsn.behind_pooler) == (conninfo, pooled)


def test_of_several_servers_the_one_that_takes_writes_is_wanted() -> None:
    """An operator names several servers in any form, and the one that takes writes is used."""
    for url in (
        "postgresql://u:p@a:1,b:2/d",
        "postgresql://u:p@/d?host=a,b&port=1,2",
        "postgresql://u:p@[::1]:1,b:2/d",
    ):
        dsn = parse_database_url(url)
        assert "target_session_attrs=read-write" in dsn.conninfo
        assert dsn.fails_over
    for url in (URL, "postgresql://u:p@a,b/d?target_session_attrs=any"):
        assert not parse_database_url(url).fails_over


def test_the_pooler_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator may say whether there is a pooler, whatever the URL looks like."""
    assert load(monkeypatch, DATABASE_POOLER="transaction").dsn.behind_pooler
    neon = "postgresql://u:p@ep-x-pooler.neon.tech/db"
    assert not load(monkeypatch, DATABASE_URL=neon, DATABASE_POOLER="none").dsn.behind_pooler


def test_without_a_database_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a bare uvicorn, which has no embedded database, reads which setting to set."""
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        assert load(monkeypatch, DATABASE_URL="").dsn


def test_mail_needs_a_name_an_address_and_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mail goes out whose link leads to somebody's own machine, or that does not say from whom it is."""
    url = {"MAIL_URL": "smtp://me:p%40ss@mail.example"}
    with pytest.raises(SettingsError) as refused:
        load(monkeypatch, **url)
    for name in ("FRONTEND_URL", "MAIL_FROM", "SERVICE_NAME"):
        assert f"{name} must be set with MAIL_URL" in str(refused.value)
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="an app's own scheme opens in no browser"):
        load(monkeypatch, **url, **MAIL | {"FRONTEND_URL": "capacitor://localhost"})
    settings = load(monkeypatch, **url, **MAIL, MAIL_NOTICES="none")
    assert settings.mail_notices == ()
    assert settings.mail_url
    assert parse_mail_url(settings.mail_url.get_secret_value()) == ("starttls", "mail.example", 587, "me", "p@ss")


@pytest.mark.parametrize(
    ("url", "tls", "port"),
    [
        ("smtps://mail.example", "implicit", 465),
        ("smtp://mail.example:2525", "starttls", 2525),
        ("smtp+plain://localhost", "none", 25),
        ("smtp+plain://127.0.0.2:1025", "none", 1025),
        ("smtp+plain://[::1]", "none", 25),
    ],
)
def test_each_scheme_has_its_encryption_and_its_port(url: str, tls: str, port: int) -> None:
    """An operator writes what the provider's page says, and nothing leaves the machine unencrypted."""
    server = parse_mail_url(url)
    assert (server.tls, server.port) == (tls, port)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("no-reply@example.com", "", "no-reply@example.com"),
        (" Ada & Söhne <a.b+c@mail.example.com> ", "Ada & Söhne", "a.b+c@mail.example.com"),
    ],
)
def test_mails_are_from_an_address_with_or_without_a_name(text: str, name: str, address: str) -> None:
    """People see in their mailbox from whom a mail is."""
    assert parse_sender(text) == (name, address)
