"""The secret, and settings for a test."""

import os
from pathlib import Path
from typing import Any

from app.core.config import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTING_NAMES = {name.upper() for name in Settings.model_fields}
# By these settings coverage looks into a process, which takes twice as long: for what runs nowhere else. They are taken
# out of the environment of a worker, which is measured already, so that what it starts is not.
_OF_COVERAGE = {"COVERAGE_PROCESS_CONFIG"} & os.environ.keys()
_IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
MEASURED = {name: os.environ.pop(name) if _IN_WORKER else os.environ[name] for name in _OF_COVERAGE}
SECRET = "Zk3w-9Qp_L7tVx2mYb8nRc5dHf1gJ4sA6uE0iO"


def make_settings(database_url: str, **overrides: Any) -> Settings:
    """Return settings for a test: nothing is read from a .env, hashing is cheap, limits are off.

    There is no leeway, so that who presents a used token in a test is a thief.
    """
    values: dict[str, Any] = {
        "environment": "test",
        "database_url": database_url,
        "better_auth_secret": SECRET,
        "password_hash_cost": 4,
        "rate_limits": "off",
        "refresh_reuse_leeway_seconds": 0,
        "migrate_on_start": "off",
        "log_level": "DEBUG",
        "log_format": "json",
        **overrides,
    }
    return Settings(_env_file=None, **values)


def environment_of(**settings: str) -> dict[str, str]:
    """Return the environment of a process with these settings, and none of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}
