"""Boot sets in a vault: sending one with a point, and fetching one before anything else.

Owns the list below `boots/` and its containers (docs/format/boots.md). A boot set is a convenience:
whatever fails about it costs speed only.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.boot_set import BootSet, decode_boot_set, encode_boot_set
from appliance.formats.point import Manifest
from appliance.formats.vault_names import HashedKey, name_object
from appliance.keys.hierarchy import MasterKey
from appliance.store.boot_notes import read_boot_note
from appliance.store.points import PointFile
from appliance.store.remote_chunks import RemoteContainer
from appliance.store.store import Store
from appliance.vault.boot_making import BootMaking, Made
from appliance.vault.contents import Contents
from appliance.vault.second_copy import VaultCopy

Send = Callable[[HashedKey, bytes], Awaitable[None]]
FOLDER = "boots"
_MARK = "boot of "
_LIST = "boot list of "
_NAME_BYTES = 32


class BootSending:
    """Keeps the boot sets of one vault up to date."""

    def __init__(self, store: Store, ledger: VaultLedger, folder: Path, send: Send) -> None:
        """`folder`: where the box keeps what it derives of the vault."""
        self._store = store
        self._ledger = ledger
        self._making = BootMaking(store, folder)
        self._send = send

    async def bring(self, file: PointFile, manifest: Manifest) -> bytes | None:
        """Send the boot set of a point; gives the name of its list, None without any.

        Raises TransientError where the vault cannot be reached.
        """
        touched = read_boot_note(self._store.layout.state, manifest.machine)
        if not touched:
            return None
        old, there = self._known(file.folder)
        try:
            made = await asyncio.to_thread(
                self._making.make, file.folder, file.stem, manifest, touched, old
            )
        except IntegrityError:
            return None  # the point itself says what is lost
        return there if made is None else await self._send_made(made)

    def _known(self, machine: str) -> tuple[BootSet, bytes | None]:
        """The set that the vault has whole, and its list's name; else an empty one."""
        known, digest = self._ledger.note(_MARK + machine), self._ledger.note(_LIST + machine)
        with contextlib.suppress(IntegrityError):
            if known is not None and digest is not None:
                boot_set = decode_boot_set(str(known).encode(), machine)
                names = [bytes.fromhex(str(digest)), *(name for name, _ in boot_set.containers)]
                if all((held := self._ledger.find(one)) and held.is_present for one in names):
                    return boot_set, names[0]
        return BootSet(machine, "", ()), None

    async def _send_made(self, made: Made) -> bytes:
        for name, data in made.containers:
            await self._send(HashedKey("boots", name), data)
        plain = encode_boot_set(made.boot_set)
        data = self._store.keys.seal_record(made.boot_set.place, plain)
        key = name_object("boots", data)
        await self._send(key, data)
        self._ledger.set_note(_MARK + made.boot_set.machine, plain.decode())
        self._ledger.set_note(_LIST + made.boot_set.machine, key.digest.hex())
        return key.digest


async def list_boot_set(
    contents: Contents, keys: MasterKey, machine: str, name: bytes
) -> list[bytes]:
    """The list `name` of a machine's boot set, and the containers it names, if it can be read."""
    try:
        data = await contents.read("boots", name)
        boot_set = decode_boot_set(keys.open_record(f"boots/{machine}", data), machine)
    except (IntegrityError, NotFoundError):
        return [name]
    return [name, *(container for container, _ in boot_set.containers)]


class BootFetching:
    """Fetches the boot set of a machine from the vaults, all at once, before it boots."""

    def __init__(self, store: Store, vaults: VaultCopy) -> None:
        """`vaults` is the second copy of `store`."""
        self._store = store
        self._vaults = vaults

    def begin(self, machine: str, name: bytes) -> int:
        """Let chunks of the boot set be read from there; gives its bytes, which are on their way.

        `machine` is the machine's folder, `name` that of the list. Where there is none any more
        this does nothing.
        """
        with contextlib.suppress(HoldfastError):
            boot_set = self._read_list(machine, name)
            names = [name for name, _ in boot_set.containers]
            files = self._vaults.open_boots(names)
            places = {}
            for file in files:
                container = RemoteContainer(file, self._store.keys)
                for ordinal, chunk_id in enumerate(container.directory.ids()):
                    places[chunk_id] = (file.name, ordinal)
            self._vaults.prefer(places)
            self._vaults.fetch_now(files)
            return sum(file.size_bytes for file in files)
        return 0

    def _read_list(self, machine: str, name: bytes) -> BootSet:
        data = self._vaults.read_object(HashedKey("boots", name))
        if hashlib.sha256(data).digest() != name:
            raise IntegrityError("boot set: its list is not what was written")
        return decode_boot_set(self._store.keys.open_record(f"boots/{machine}", data), machine)


def keep_boot(folder: Path, machine: str, name: bytes) -> None:
    """Remember the name of a machine's boot set; durable on return."""
    make_directory(folder / FOLDER)
    write_file(folder / FOLDER / f"{machine}.boot", name.hex().encode())


def read_boot(folder: Path, machine: str) -> bytes | None:
    """The name of a machine's boot set as the vault had it when it was opened."""
    try:
        name = bytes.fromhex((folder / FOLDER / f"{machine}.boot").read_text())
    except (OSError, ValueError):
        return None
    return name if len(name) == _NAME_BYTES else None
