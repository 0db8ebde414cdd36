"""What production leaves open is said at the start and by doctor."""

from pathlib import Path

import pytest

from app.core.config import Settings, load_settings
from app.core.exposure import READABLE
from tests.support.server import serving
from tests.support.settings import SECRET, SETTING_NAMES

GOOD = {
    "ENVIRONMENT": "production",
    "BETTER_AUTH_SECRET": SECRET,
    "DATABASE_URL": "postgresql://me:pw@db.example/tasks?sslmode=verify-full",
    "FRONTEND_URL": "https://app.example",
}


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in SETTING_NAMES | {"PGSSLMODE"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**GOOD, **environment}.items():
        monkeypatch.setenv(name, value)
    return load_settings(_env_file=None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "postgresql://me:pw@db.example/tasks", READABLE),
        ("DATABASE_URL", "postgresql://me:pw@db.example/tasks?sslmode=require", READABLE),
        ("DATABASE_URL", "postgresql://me:pw@127.0.0.1,10.0.0.9/tasks", READABLE),
        ("DATABASE_LISTEN_URL", "postgresql://me:pw@db.example/tasks", READABLE),
        ("RATE_LIMIT_STORAGE", "redis://:pw@redis.example:6379", READABLE),
        ("RATE_LIMIT_STORAGE", "rediss://redis.example:6379?ssl_cert_reqs=none", READABLE),
        ("TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0", "trusts everybody"),
        ("TRUSTED_PROXIES", "0.0.0.0/1,128.0.0.0/1", "trusts everybody"),
        ("TRUSTED_PROXIES", "::/0", "trusts everybody"),
        ("RATE_LIMITS", "off", "guessed without bound"),
        ("FRONTEND_URL", "", "no page of another origin can call"),
    ],
)
def test_what_production_leaves_open_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    """An operator learns of it by the name of the setting, and no value is printed."""
    [warning] = load(monkeypatch, **{name: value}).warnings()
    assert warning.startswith(name)
    assert said in warning
    assert "pw" not in warning
    assert load(monkeypatch, **{name: value, "ENVIRONMENT": "staging"}).warnings() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://me:pw@localhost/tasks"),
        ("DATABASE_URL", "postgresql://me@/tasks?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://me:pw@[::1]/tasks"),
        ("DATABASE_URL", "postgresql://me:pw@db.example/tasks?sslmode=verify-ca"),
        ("PGSSLMODE", "verify-full"),
        ("RATE_LIMIT_STORAGE", "redis://127.0.0.1:6379"),
        ("RATE_LIMIT_STORAGE", "rediss://redis.example:6379"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8"),
    ],
)
def test_what_is_closed_is_not_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Nobody learns to read past warnings."""
    given = {name: value}
    if name == "PGSSLMODE":
        given["DATABASE_URL"] = "postgresql://me:pw@db.example/tasks"
    assert load(monkeypatch, **given).warnings() == []


def test_the_start_tells_it(database_url: str, tmp_path: Path) -> None:
    """It is in the log of a production that runs."""
    with serving(
        tmp_path,
        DATABASE_URL=database_url,
        ENVIRONMENT="production",
        PASSWORD_HASH_COST="12",
        TRUSTED_PROXIES="0.0.0.0/0",
    ) as served:
        pass
    assert "TRUSTED_PROXIES trusts everybody" in served.log.read_text()
