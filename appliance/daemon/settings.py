"""Settings of the daemon: STATE/daemon.toml, read again when it changes.

    heavy_jobs = 2          # hard jobs for which nobody waits: at once
    light_jobs = 8          # all others
    keep_jobs_days = 400    # records of jobs
    keep_jobs = 1000000

What is not written there is as shown here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from appliance.base.errors import UsageError
from appliance.base.text import printable

FILE_NAME = "daemon.toml"
_SIZE_MAX = 64 << 10
Count = Annotated[int, msgspec.Meta(ge=1, le=64)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module."""

    heavy_jobs: Count = 2
    light_jobs: Count = 8
    keep_jobs_days: Annotated[int, msgspec.Meta(ge=1, le=36500)] = 400
    keep_jobs: Annotated[int, msgspec.Meta(ge=1000, le=10_000_000)] = 1_000_000


def read_settings(state: Path) -> Settings:
    """The settings as they are now. Raises UsageError naming what is wrong in the file."""
    path = state / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_MAX)
        return msgspec.toml.decode(data, type=Settings)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {printable(str(error))}") from error


def stamp_settings(state: Path) -> tuple[int, ...]:
    """Changes whenever the file does."""
    try:
        found = (state / FILE_NAME).stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
