"""The vaults that a box knows: sealed records below `store/vaults`, and a folder for each.

Owns where settings and claims lie; `credentials` owns the keys.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from appliance.base.durable import make_directory
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.locks import FileLock
from appliance.formats.vault import BOX_ID_BYTES
from appliance.formats.vault_settings import (
    Claim,
    VaultSettings,
    check_vault_name,
    decode_claim,
    decode_settings,
    encode_claim,
    encode_settings,
)
from appliance.store.records import Records
from appliance.store.store import Store
from appliance.vault.credentials import FOLDER, KeptCredentials

_SETTINGS, _CLAIM = ".vault", ".claim"


class Registry:
    """The vaults of one store."""

    def __init__(self, store: Store) -> None:
        self._state = store.layout.state
        self._records: Records = store.points.records
        self.credentials = KeptCredentials(self._records)
        self._root = store.layout.root
        self._remote = store.points.remote

    def names(self) -> Iterator[str]:
        """The names of all vaults, sorted."""
        for place in self._records.places(FOLDER, _SETTINGS):
            yield place.removeprefix(f"{FOLDER}/").removesuffix(_SETTINGS)

    def get(self, name: str | None) -> VaultSettings:
        """The vault `name`, or the only one there is.

        Raises NotFoundError, UsageError if several could be meant, IntegrityError if its record
        is damaged.
        """
        if name is None:
            names = list(self.names())
            if len(names) != 1:
                raise (UsageError if names else NotFoundError)(
                    f"which vault? --name {' or '.join(names)}"
                    if names
                    else "the box has no vault yet: 'holdfast vault add URL' makes one"
                )
            name = names[0]
        data = self._records.read(self._place(name, _SETTINGS))
        if data is None:
            raise NotFoundError(
                f"there is no vault '{name}': 'holdfast vault status' lists them", code="no-vault"
            )
        settings = decode_settings(data)
        if settings.name != name:
            raise IntegrityError(f"the record of vault '{name}' is another vault's")
        return settings

    def put(self, settings: VaultSettings) -> None:
        """Keep a vault's settings; durable on return."""
        make_directory(self._root / FOLDER)
        self._records.write(self._place(settings.name, _SETTINGS), encode_settings(settings))

    def stamp(self, name: str) -> str:
        """Changes whenever the settings of the vault do."""
        return self._records.stamp(self._place(name, _SETTINGS))

    def remove(self, name: str) -> None:
        """Forget a vault and what was derived of it; what is in it stays. Durable on return."""
        # First: what is remembered of one vault must never be believed of another.
        shutil.rmtree(self._state / "vaults" / check_vault_name(name), ignore_errors=True)
        for suffix in (_SETTINGS, _CLAIM):
            self._records.remove(self._place(name, suffix))
        self.credentials.drop(name)
        self._remote.forget(name)

    def claim(self, name: str) -> Claim:
        """What the box remembers of its part in a vault; a new identity if nothing is there."""
        data = self._records.read(self._place(name, _CLAIM))
        return Claim(secrets.token_bytes(BOX_ID_BYTES)) if data is None else decode_claim(data)

    def put_claim(self, name: str, claim: Claim) -> None:
        """Keep a claim; durable on return."""
        make_directory(self._root / FOLDER)
        self._records.write(self._place(name, _CLAIM), encode_claim(claim))

    def folder(self, name: str) -> Path:
        """Where the box keeps what it derives of a vault; made if it is missing."""
        folder = self._state / "vaults" / check_vault_name(name)
        make_directory(folder)
        return folder

    def lock(self, name: str) -> FileLock:
        """Held by the one process that writes to a vault. Raises BusyError if there is another."""
        busy = f"another command is working on vault '{name}': wait until it has ended"
        return FileLock(self.folder(name) / "lock", wait=False, busy=busy)

    @staticmethod
    def _place(name: str, suffix: str) -> str:
        return f"{FOLDER}/{check_vault_name(name)}{suffix}"
