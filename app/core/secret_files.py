"""Secrets from files: those that `NAME_FILE` names, as Docker and Kubernetes mount them, and credentials of systemd."""

import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)

from app.core.operator_error import OperatorError


class SecretFileError(OperatorError):
    """A file that should hold a secret cannot be used."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the files that `NAME_FILE` names, for each setting that is a secret."""

    def __init__(self, settings_cls: type[BaseSettings], *named_in: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._named: dict[str, str | None] = {}
        for source in named_in:
            assert isinstance(source, EnvSettingsSource)
            self._named |= source.env_vars

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the file of a secret holds. Raises: SecretFileError."""
        path = self._named.get(f"{field_name}_file") if "SecretStr" in str(field.annotation) else None
        if not path:
            return None, field_name, False
        name = field_name.upper()
        if self._named.get(field_name):
            raise SecretFileError(f"{name} and {name}_FILE are both set: leave one of them out.")
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SecretFileError(f"{name}_FILE names {path}, which cannot be read: {reason}.") from None
        if not text:
            raise SecretFileError(f"{name}_FILE names {path}, which is empty.")
        return SecretStr(text), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all settings that have a file."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def credentials(settings_cls: type[BaseSettings]) -> SecretsSettingsSource:
    """Read what systemd gives the unit by `LoadCredential=`: a file for each setting, by its name."""
    return SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY"))
