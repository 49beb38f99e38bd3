"""One run of the command: where the state is, and the objects that commands need."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import NotFoundError, UsageError
from appliance.cli.console import Console
from appliance.keys import keyring
from appliance.store.store import Store

PASSPHRASE_MAX_BYTES = 4096


@dataclass
class Session:
    """Builds the objects once, when they are first asked for."""

    state: Path
    console: Console
    passphrase_file: Path | None = None
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def passphrase(self) -> str | None:
        """The passphrase from the file that was named, without its line end."""
        if self.passphrase_file is None:
            return None
        return read_secret(self.passphrase_file)

    @cached_property
    def store(self) -> Store:
        """The store, opened with its key."""
        master = keyring.load_master_key(self.state, self.passphrase)
        return Store(self.state, master, self.clock)

    def has_store(self) -> bool:
        """Whether there is a store in the state directory."""
        try:
            keyring.read_descriptor(self.state)
        except NotFoundError:
            return False
        return True

    def command(self, *arguments: str) -> list[str]:
        """The argument vector of another run of this command on the same state."""
        import sys

        argv = [sys.executable, "-m", "appliance.cli.main", "--state", str(self.state)]
        if self.passphrase_file is not None:
            argv += ["--passphrase-file", str(self.passphrase_file.absolute())]
        return [*argv, *arguments]


def read_secret(path: Path) -> str:
    """The first line of a file, as a secret. Raises UsageError if it cannot be one."""
    try:
        with path.open("rb") as file:
            data = file.read(PASSPHRASE_MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8") from error
    line = text.split("\n", 1)[0].removesuffix("\r")
    if len(data) > PASSPHRASE_MAX_BYTES:
        raise UsageError(f"{path} is longer than {PASSPHRASE_MAX_BYTES} bytes")
    if not line:
        raise UsageError(f"{path} holds no passphrase on its first line")
    return line


def default_state() -> Path:
    """HOLDFAST_STATE, or /var/lib/holdfast."""
    return Path(os.environ.get("HOLDFAST_STATE") or "/var/lib/holdfast")
