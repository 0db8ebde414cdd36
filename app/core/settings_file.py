"""The file that settings are read in: `.env`, or the one that `--env-file` names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.operator_error import OperatorError


class SettingsFileError(OperatorError):
    """The file with the settings cannot be used."""


def name_settings(file: str | None) -> None:
    """Read the settings of this process, and of those that it starts, in this file. Raises: SettingsFileError."""
    if file is None:
        return
    if not Path(file).is_file():
        raise SettingsFileError(f"{file} is no file with settings: name one by --env-file.")
    os.environ["ENV_FILE"] = str(Path(file).absolute())


@contextmanager
def reading_settings() -> Iterator[str]:
    """Yield the file's name. Raises: SettingsFileError if it cannot be read."""
    file = os.environ.get("ENV_FILE") or ".env"
    try:
        yield file
    except UnicodeDecodeError:
        raise SettingsFileError(f"{file} is not UTF-8: save it in that encoding, without a byte order mark.") from None
    except OSError as error:
        raise SettingsFileError(f"{error.filename or file} cannot be read: {error.strerror}.") from None
