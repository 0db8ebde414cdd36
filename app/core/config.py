"""Settings: read once, checked at start, every mistake named at once and no value printed."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.core.database.dsn import Dsn, parse_database_url
from app.core.exposure import exposures
from app.core.mail_settings import ALL_NOTICES, MailFrom, MailNotices, MailUrl, ServiceName
from app.core.operator_error import OperatorError
from app.core.passkey_settings import PasskeyDomain, PasskeyOrigins, is_below
from app.core.secret_files import SecretFiles, credentials
from app.core.setting_types import (
    LOOPBACK,
    Limit,
    LimitSetting,
    Networks,
    Origins,
    RootPath,
    split,
)
from app.core.settings_file import reading_settings

_EXAMPLE_WORDS = ("changeme", "change-me", "example", "your-secret", "secret-key", "password", "replace")
# A row of the denylist outlasts every token that this allows. After raising it, existing rows would end too soon.
MAX_REFRESH_TOKEN_DAYS = 366
# Where the tools of frontends serve a page in development. `users reset` prints links to the first.
LOCAL_PAGES = tuple(f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 3001, 5173, 8080))


class SettingsError(OperatorError):
    """The service cannot start with these settings; the message names every bad one and prints no value."""


def weakness(secret: str) -> str | None:
    """Return why a secret is too weak for production, or None."""
    if len(set(secret)) < 10:
        return "repeats few characters"
    if any(word in secret.lower() for word in _EXAMPLE_WORDS):
        return "looks like an example"
    return None


class Settings(BaseSettings):
    """Everything that can be set, by environment or `.env`; docs/settings.md has the table."""

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    # Fields are validated in this order; the later ones look back at the environment.
    environment: Literal["development", "test", "staging", "production"] = "development"
    database_url: SecretStr | None = None
    better_auth_secret: SecretStr
    better_auth_secret_previous: SecretStr | None = None
    access_token_algorithm: Literal["HS256", "EdDSA"] = "HS256"
    mail_url: MailUrl = None
    frontend_url: Origins = LOCAL_PAGES  # none in production, and none with mail
    access_token_expire_minutes: float = Field(default=15, gt=0, le=24 * 60, allow_inf_nan=False)
    refresh_token_expire_days: float = Field(default=7, gt=0, le=MAX_REFRESH_TOKEN_DAYS, allow_inf_nan=False)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=128)
    max_connections: int = Field(default=1000, ge=1, le=100_000)
    keep_alive_seconds: int = Field(default=75, ge=1, le=7200)
    drain_seconds: float = Field(default=0, ge=0, le=300)
    embedded_data_dir: Path = Path(".data/postgres")
    database_pool_min: int = Field(default=2, ge=0, le=100)
    database_pool_max: int = Field(default=10, ge=1, le=200)
    database_pooler: Literal["none", "transaction"] | None = None
    database_listen_url: SecretStr | None = None
    migrate_on_start: Literal["on", "off"] = "on"

    password_hash_cost: int = Field(default=12, ge=4, le=16)
    hash_queue_seconds: float = Field(default=15, gt=0, le=300)
    common_passwords: Literal["allow", "refuse"] | None = None  # refuse in production, else allow
    refresh_reuse_leeway_seconds: float = Field(default=10, ge=0, le=300)
    refresh_cookie: Literal["on", "off"] = "on"
    session_max_days: float = Field(default=0, ge=0, le=3660, allow_inf_nan=False)

    rate_limits: Literal["on", "off"] = "on"
    rate_limit_storage: SecretStr | None = None
    rate_limit_signin_account: LimitSetting = Limit(10, 900)
    rate_limit_signin_address: LimitSetting = Limit(100, 900)
    rate_limit_signup_address: LimitSetting = Limit(600, 60)
    rate_limit_refresh_session: LimitSetting = Limit(120, 60)
    rate_limit_live_session: LimitSetting = Limit(30, 60)
    live_streams: int = Field(default=500, ge=0, le=100_000)
    max_tasks_per_user: int = Field(default=10_000, ge=0, le=2**31 - 1)
    max_sessions_per_user: int = Field(default=100, ge=0, le=2**31 - 1)
    trusted_proxies: Networks = ()
    root_path: RootPath = ""

    mail_from: MailFrom = None
    service_name: ServiceName = None
    mail_templates: Path | None = None
    mail_notices: MailNotices = ALL_NOTICES
    rate_limit_mail_client: LimitSetting = Limit(20, 3600)
    rate_limit_mail_account: LimitSetting = Limit(3, 3600)

    passkeys: Literal["off", "on"] = "off"
    passkey_domain: PasskeyDomain = None
    passkey_origins: PasskeyOrigins = ()

    api_contracts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = ()
    docs_enabled: bool = True
    metrics_enabled: bool = False
    opentelemetry: Literal["on", "off"] = "off"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment go before `.env`, and both before systemd's credentials."""
        files = SecretFiles(settings_cls, dotenv_settings, env_settings)
        return init_settings, files, env_settings, dotenv_settings, credentials(settings_cls)

    @field_validator("database_url", "database_listen_url")
    @classmethod
    def _database_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        elif info.field_name == "database_url" and info.data.get("environment") == "production":
            raise ValueError("must be set in production, which never runs on the embedded database")
        return value

    @field_validator("better_auth_secret", "better_auth_secret_previous")
    @classmethod
    def _secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        secret = value.get_secret_value()
        if len(secret.strip()) < 32:
            raise ValueError("must have at least 32 characters; `python -m app secret` makes one")
        if "-----BEGIN" in secret or "ssh-rsa" in secret:
            raise ValueError("must be a random secret, not a key file: HS256 would be signed with public text")
        if info.data.get("environment") == "production" and (reason := weakness(secret)):
            raise ValueError(f"{reason}; `python -m app secret` makes a good one")
        return value

    @field_validator("rate_limit_storage")
    @classmethod
    def _rate_limit_storage(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            if urlsplit(value.get_secret_value()).scheme not in ("redis", "rediss"):
                raise ValueError("must begin with redis:// or rediss://, or be empty for the database")
            if find_spec("limits") is None or find_spec("redis") is None:
                raise ValueError("needs the redis extra: pip install 'limits[redis]'")
        return value

    @field_validator("metrics_enabled")
    @classmethod
    def _metrics_enabled(cls, value: bool) -> bool:
        if value and find_spec("prometheus_client") is None:
            raise ValueError("needs the metrics extra: pip install prometheus-client")
        return value

    @field_validator("opentelemetry")
    @classmethod
    def _opentelemetry(cls, value: str) -> str:
        if value == "on" and (find_spec("opentelemetry.sdk") is None or find_spec("opentelemetry.exporter") is None):
            raise ValueError("needs the opentelemetry extra: pip install opentelemetry-exporter-otlp-proto-http")
        return value

    @field_validator("passkeys")
    @classmethod
    def _passkeys(cls, value: str) -> str:
        if value == "on" and find_spec("webauthn") is None:
            raise ValueError("needs the passkeys extra: pip install webauthn")
        return value

    @field_validator("frontend_url", mode="before")
    @classmethod
    def _no_local_pages(cls, value: Any, info: ValidationInfo) -> Any:
        """Leave the default out in production. With mail there is none: links would go to somebody's own machine."""
        if value is not LOCAL_PAGES:
            return value
        if info.data.get("mail_url"):
            raise ValueError("must be set with MAIL_URL: mails link to its first page")
        return () if info.data.get("environment") == "production" else value

    @field_validator("frontend_url")
    @classmethod
    def _frontend_url(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("mail_url") and not any(origin.startswith("http") for origin in value):
            raise ValueError("must have a page's origin with MAIL_URL: an app's own scheme opens in no browser")
        if info.data.get("environment") == "production":
            hosts = [urlsplit(origin).hostname or "" for origin in value if origin.startswith("http:")]
            if not all(host in LOOPBACK or host.endswith(".localhost") for host in hosts):
                raise ValueError("must use https in production, except for localhost")
        return value

    @field_validator("common_passwords")
    @classmethod
    def _common_passwords(cls, value: str | None, info: ValidationInfo) -> str:
        return value or ("refuse" if info.data.get("environment") == "production" else "allow")

    @field_validator("database_pool_max")
    @classmethod
    def _pool(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("database_pool_min", 0):
            raise ValueError("must not be below DATABASE_POOL_MIN")
        return value

    @field_validator("password_hash_cost")
    @classmethod
    def _cost(cls, value: int, info: ValidationInfo) -> int:
        if value < 12 and info.data.get("environment") != "test":
            raise ValueError("must be at least 12 outside ENVIRONMENT=test (NFR-001)")
        return value

    @cached_property
    def dsn(self) -> Dsn:
        """Return where the database is. Raises: SettingsError when it is not set."""
        if self.database_url is None:
            raise SettingsError("DATABASE_URL is not set: set it, or start with `make run` for an embedded database")
        dsn = parse_database_url(self.database_url.get_secret_value())
        if self.database_pooler is not None:
            return dsn._replace(behind_pooler=self.database_pooler == "transaction")
        return dsn

    @cached_property
    def listen_dsn(self) -> Dsn | None:
        """Return the direct way to the database, for what a pooler does not pass on; None if none was set."""
        url = self.database_listen_url
        return parse_database_url(url.get_secret_value())._replace(behind_pooler=False) if url else None

    @property
    def passkey_pages(self) -> tuple[str, ...]:
        """Return the origins of which a passkey may say that it was asked there: pages of its domain, and apps."""
        pages = [origin for origin in self.frontend_url if is_below(origin, self.passkey_domain or "")]
        return tuple(dict.fromkeys((*pages, *self.passkey_origins)))

    @property
    def access_token_seconds(self) -> int:
        return max(1, round(self.access_token_expire_minutes * 60))

    @property
    def refresh_token_seconds(self) -> int:
        return max(1, round(self.refresh_token_expire_days * 86400))

    @property
    def session_seconds(self) -> int | None:
        """Return how long a session lasts at most, however it is used; None without an end."""
        return max(1, round(self.session_max_days * 86400)) if self.session_max_days else None

    def warnings(self) -> list[str]:
        """Return what is allowed here but not in production, and in production what is left open."""
        if self.environment == "production":
            return list(exposures(self))
        reason = weakness(self.better_auth_secret.get_secret_value())
        return [f"BETTER_AUTH_SECRET {reason}; production refuses it"] if reason else []


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises: SettingsError naming every bad one at once."""
    try:
        with reading_settings() as file:
            return Settings(**{"_env_file": file, **overrides})
    except ValidationError as error:
        lines = sorted(
            {f"{_name(e['loc'])} {_reason(e)}" for e in error.errors(include_input=False, include_url=False)}
        )
        raise SettingsError("The settings do not allow a start:\n  " + "\n  ".join(lines)) from None


def _name(loc: tuple[int | str, ...]) -> str:
    return str(loc[0]).upper()


def _reason(error: Any) -> str:
    if error["type"] == "missing":
        return "is not set; `make run` writes a .env with a generated one, `python -m app secret` prints one"
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "should be")
