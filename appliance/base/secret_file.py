"""Secrets that people put into files: read in one way everywhere, and never shown."""

from __future__ import annotations

from pathlib import Path

from appliance.base.errors import UsageError

SECRET_MAX_BYTES = 4096


def read_secret(path: Path) -> str:
    """The first line of a file, as a secret. Raises UsageError if it cannot be one."""
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8") from error
    line = text.split("\n", 1)[0].removesuffix("\r")
    if len(data) > SECRET_MAX_BYTES:
        raise UsageError(f"{path} is longer than {SECRET_MAX_BYTES} bytes")
    if not line:
        raise UsageError(f"{path} holds no passphrase on its first line")
    return line
