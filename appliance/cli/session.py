"""One run of the command: where the state is, and the objects that commands need."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import NotFoundError
from appliance.base.secret_file import read_secret
from appliance.cli.console import Console
from appliance.formats.names import PointName
from appliance.keys import keyring
from appliance.keys.hierarchy import MasterKey
from appliance.store.second_copy import SecondCopy
from appliance.store.store import Store

if TYPE_CHECKING:
    from appliance.vault.second_copy import VaultCopy


@dataclass
class Session:
    """Builds the objects once, when they are first asked for."""

    state: Path
    console: Console
    passphrase_file: Path | None = None
    clock: Clock = field(default_factory=SystemClock)
    vaults: VaultCopy | None = None

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
        return Store(self.state, master, self.clock, self._second_copy(master))

    def _second_copy(self, master: MasterKey) -> SecondCopy | None:
        """What the vaults of the box hold, if it has any."""
        if not any((self.state / "store" / "vaults").glob("*.vault")):
            return None
        from appliance.vault.reading import VaultReading

        self.vaults = VaultReading(self.state, master, self.clock).copy
        return self.vaults

    def fetch_boot_set(self, name: PointName) -> None:
        """Let what the machine of a point reads when it boots come first, if vaults have it."""
        machine = self.store.points.file_of(name).folder
        if self.vaults is None:
            return
        from appliance.vault.boot_sets import BootFetching, read_boot
        from appliance.vault.registry import Registry

        registry = Registry(self.store)
        for vault in registry.names():
            boot = read_boot(registry.folder(vault), machine)
            if boot is not None:
                BootFetching(self.store, self.vaults).begin(machine, boot)

    def close(self) -> None:
        """Let repairs come to their end, and leave the vaults."""
        if self.vaults is not None:
            self.store.repair.finish()
            self.vaults.close()

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


def default_state() -> Path:
    """HOLDFAST_STATE, or /var/lib/holdfast."""
    return Path(os.environ.get("HOLDFAST_STATE") or "/var/lib/holdfast")
