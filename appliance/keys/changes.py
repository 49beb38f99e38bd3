"""Changes to the keys that open a store: add, revoke, rotate.

Owns their order: a new key is durable and proved to open before an old one goes, so whatever is
interrupted leaves a store that opens. It never changes the master key or what is stored under it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from appliance.base.durable import (
    make_directory,
    remove_file,
    remove_temporaries,
    write_file,
)
from appliance.base.errors import AccessError, IntegrityError, NotFoundError, UsageError
from appliance.base.locks import FileLock
from appliance.formats.keyfile import (
    BOX,
    KEY_BYTES,
    LABEL_MAX,
    RECOVERY,
    Wrap,
    decode_wrap,
    encode_box_key,
    encode_wrap,
    is_label,
)
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wrap_files import (
    WRAPS_MAX,
    WrapFile,
    box_key_path,
    read_key_file,
    read_wrap_files,
    wraps_directory,
)
from appliance.keys.wraps import open_wrap, wrap_with_key, wrap_with_passphrase


class KeyChange:
    """The right to change the keys of one store; one process at a time has it.

    Attributes:
        created: when its new keys are made, as in StoreDescriptor.
    """

    def __init__(self, state: Path, master: MasterKey, created: str) -> None:
        self._state = state
        self._master = master
        self._created = created

    def prepare(self, kind: str, secret: bytes | str, label: str) -> Wrap:
        """A wrap that is nowhere yet, so that a key can be told its name before it counts.

        Raises UsageError if the label is none, the passphrase is empty, or there are too many
        keys already.
        """
        if not is_label(label):
            raise UsageError(f"a label is one line of up to {LABEL_MAX} printable characters")
        if len(read_wrap_files(self._state)) >= WRAPS_MAX:
            raise UsageError(
                f"the store has {WRAPS_MAX} keys, which is the limit: 'holdfast key revoke' one"
            )
        if isinstance(secret, str):
            wrap = wrap_with_passphrase(self._master, secret)
        else:
            wrap = wrap_with_key(self._master, kind, secret)
        return replace(wrap, created=self._created, label=label)

    def add(self, wrap: Wrap, secret: bytes | str) -> None:
        """Let `secret`, of which `prepare` made `wrap`, open the store; durable on return.

        Raises IntegrityError if what was written does not open the store.
        """
        path = wraps_directory(self._state) / f"{wrap.kind}-{wrap.fingerprint}.json"
        write_file(path, encode_wrap(wrap), replace=False)
        found = decode_wrap(read_key_file(path) or b"")
        if open_wrap(found, secret, self._master.store_id) != self._master:
            raise IntegrityError(f"{path} does not open the store: the old keys stay")

    def add_box(self, label: str) -> Wrap:
        """Make a box key where there is none; durable on return.

        Raises UsageError if there is a box.key, whatever it is worth.
        """
        path = box_key_path(self._state)
        if path.exists():
            raise UsageError(f"{path} is there: 'holdfast key rotate box' replaces it")
        return self._make_box(label)

    def rotate(self, old: Wrap, new: Wrap, secret: bytes | str) -> None:
        """Put `new` in the place of `old`; durable on return. Raises as `add` does.

        The old key opens the store until the new one is proved to.
        """
        self.add(new, secret)
        self._remove([file for file in read_wrap_files(self._state) if is_wrap_of(file, old)])

    def rotate_box(self, label: str | None) -> Wrap:
        """Make a new box key in the place of all others; durable on return.

        A store has one box, so this also clears up after a rotation that was interrupted.
        """
        old = [
            file
            for file in read_wrap_files(self._state)
            if file.wrap is not None and file.wrap.kind == BOX
        ]
        if label is None:
            label = next((file.wrap.label for file in old if file.wrap), "")
        new = self._make_box(label)
        self._remove(old)
        return new

    def revoke(self, name: str) -> list[WrapFile]:
        """Remove the key with this fingerprint, or a file by its name; gives what went.

        Every copy of its wrap goes, and box.key with the last box key. Raises NotFoundError if
        there is none, AccessError if no readable recovery key would be left.
        """
        files = read_wrap_files(self._state)
        named = [file for file in files if name in (file.path.name, fingerprint_of(file))]
        if not named:
            raise NotFoundError(f"no key is called '{name}': see 'holdfast key list'")
        gone = [
            file
            for file in files
            if file in named or any(one.wrap and is_wrap_of(file, one.wrap) for one in named)
        ]
        rest = [file.wrap for file in files if file not in gone and file.wrap]
        is_spare = all(file.wrap is not None and file.wrap.kind != RECOVERY for file in gone)
        if not is_spare and not any(wrap.kind == RECOVERY for wrap in rest):
            raise AccessError(
                "no recovery key would be left: 'holdfast key rotate recovery' replaces the last"
            )
        had_box = any(file.wrap is not None and file.wrap.kind == BOX for file in gone)
        if had_box and not any(wrap.kind == BOX for wrap in rest):
            # First, so that an interruption leaves no box.key that opens nothing.
            remove_file(box_key_path(self._state))
        self._remove(gone)
        return gone

    def _make_box(self, label: str) -> Wrap:
        """The wrap comes first: a box.key that opens nothing would lock the box."""
        key = secrets.token_bytes(KEY_BYTES)
        wrap = self.prepare(BOX, key, label)
        self.add(wrap, key)
        write_file(box_key_path(self._state), encode_box_key(key))
        return wrap

    def _remove(self, files: list[WrapFile]) -> None:
        for file in files:
            remove_file(file.path)


@contextmanager
def changing_keys(state: Path, master: MasterKey, created: str) -> Iterator[KeyChange]:
    """The right to change keys while the block runs. Raises BusyError if another process has it."""
    locks = state / "store" / "locks"
    make_directory(locks)
    busy = "another 'holdfast key' command is changing keys: try again when it has ended"
    with FileLock(locks / "keys", wait=False, busy=busy):
        # What a killed change left: among it, perhaps, a box key.
        for folder in (wraps_directory(state), state):
            remove_temporaries(folder)
        yield KeyChange(state, master, created)


def choose_wrap(state: Path, kind: str, name: str | None) -> Wrap:
    """The wrap of `kind` with the fingerprint `name`; without a name the only one of its kind.

    Raises NotFoundError if there is none, UsageError if there are several.
    """
    wraps = {
        file.wrap.fingerprint: file.wrap
        for file in read_wrap_files(state)
        if file.wrap is not None and file.wrap.kind == kind
    }
    if name is not None:
        if name not in wraps:
            raise NotFoundError(f"no {kind} key is called '{name}': see 'holdfast key list'")
        return wraps[name]
    if not wraps:
        raise NotFoundError(f"the store has no {kind} key: 'holdfast key add {kind}' makes one")
    if len(wraps) > 1:
        raise UsageError(f"there are {len(wraps)} keys of kind {kind}: say which with --key")
    return next(iter(wraps.values()))


def is_wrap_of(file: WrapFile, wrap: Wrap) -> bool:
    """Whether a file holds this very wrap, under whatever name."""
    return file.wrap is not None and file.wrap.salt == wrap.salt


def fingerprint_of(file: WrapFile) -> str | None:
    """What people call the key in a file by; a damaged file has its name only."""
    return None if file.wrap is None else file.wrap.fingerprint
