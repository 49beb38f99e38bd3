"""Where the master key of a STATE directory comes from: docs/format/keys.md.

Owns `STATE/store/store.json`, and how a store's first keys are made. It never prints a key, and
never asks a person for one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from appliance.base.durable import make_directory, remove_file, write_file
from appliance.base.errors import (
    AccessError,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.formats.keyfile import (
    BOX,
    KEY_BYTES,
    PASSPHRASE,
    RECOVERY,
    StoreDescriptor,
    Wrap,
    decode_descriptor,
    encode_box_key,
    encode_descriptor,
    encode_wrap,
)
from appliance.keys import memory
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wrap_files import (
    box_key_path,
    read_box_key,
    read_key_file,
    read_wrap_files,
    wrap_paths,
    wraps_directory,
)
from appliance.keys.wraps import open_wrap, wrap_with_key, wrap_with_passphrase


def read_descriptor(state: Path) -> StoreDescriptor:
    """What the store in `state` is.

    Raises NotFoundError without a store, IntegrityError if its descriptor is damaged, and
    HoldfastError if the store is newer than this program.
    """
    data = read_key_file(_descriptor_path(state))
    if data is None:
        raise NotFoundError(f"no store in {state}: run 'holdfast init'", code="no-store")
    return decode_descriptor(data)


def write_descriptor(state: Path, descriptor: StoreDescriptor) -> None:
    """Make the store exist, durably. The last step of its making: call `create_keys` before.

    Raises UsageError if there is a store already.
    """
    try:
        write_file(_descriptor_path(state), encode_descriptor(descriptor), replace=False)
    except FileExistsError:
        raise _already_there(state) from None


def create_keys(
    state: Path, descriptor: StoreDescriptor, passphrase: str | None
) -> tuple[MasterKey, bytes]:
    """Make the keys of a new store; gives the master key and the 32-byte recovery key.

    Durable on return: a wrap for the recovery key, and one for the passphrase or else for a box
    key in `STATE/box.key`. What a killed attempt left behind is removed. The recovery key is
    nowhere on the disk. Raises UsageError if there is a store already or the passphrase is empty,
    IntegrityError if a store lost its descriptor: its keys must not be replaced.
    """
    _refuse_old_store(state)
    master = MasterKey(secrets.token_bytes(KEY_BYTES), bytes.fromhex(descriptor.store_id))
    recovery_key, box_key = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
    if passphrase is None:
        daily = wrap_with_key(master, BOX, box_key)
    else:
        daily = wrap_with_passphrase(master, passphrase)
    make_directory(wraps_directory(state))
    for path in [*wrap_paths(state), box_key_path(state)]:
        remove_file(path)
    for wrap in (wrap_with_key(master, RECOVERY, recovery_key), daily):
        dated = replace(wrap, created=descriptor.created)
        write_file(wraps_directory(state) / f"{wrap.kind}.json", encode_wrap(dated))
    if passphrase is None:
        write_file(box_key_path(state), encode_box_key(box_key))
    return master, recovery_key


def adopt_keys(
    state: Path, master: MasterKey, wraps: Sequence[Wrap], passphrase: str | None, created: str
) -> None:
    """Make the keys of a store that another box had, before its descriptor is written.

    Durable on return: `wraps`, and a new one for the passphrase or else for a new box key. What a
    killed attempt left behind is removed. Raises UsageError if there is a store already.
    """
    if _descriptor_path(state).exists():
        raise _already_there(state)
    box_key = secrets.token_bytes(KEY_BYTES)
    if passphrase is None:
        daily = wrap_with_key(master, BOX, box_key)
    else:
        daily = wrap_with_passphrase(master, passphrase)
    make_directory(wraps_directory(state))
    for path in [*wrap_paths(state), box_key_path(state)]:
        remove_file(path)
    for wrap in (*wraps, replace(daily, created=created)):
        path = wraps_directory(state) / f"{wrap.kind}-{wrap.fingerprint}.json"
        write_file(path, encode_wrap(wrap))
    if passphrase is None:
        write_file(box_key_path(state), encode_box_key(box_key))


def load_master_key(state: Path, passphrase: str | None) -> MasterKey:
    """The master key, from the passphrase if given, else from box.key, else from memory.

    Raises NotFoundError without a store; AccessError if the passphrase or box.key is wrong,
    box.key can be read by others, or the box is locked; IntegrityError if a damaged key file
    stands in the way.
    """
    store_id = _read_store_id(state)
    if passphrase is not None:
        return _open_any(state, store_id, PASSPHRASE, passphrase)[0]
    box_key = read_box_key(state)
    if box_key is not None:
        return _open_any(state, store_id, BOX, box_key)[0]
    master = memory.recall_key(store_id)
    if master is not None:
        return master
    if any(file.wrap and file.wrap.kind == PASSPHRASE for file in read_wrap_files(state)):
        raise AccessError("the box is locked: run 'holdfast unlock'", code="store-locked")
    raise AccessError(
        f"{box_key_path(state)} is missing and no passphrase was set: put it back",
        code="box-key-missing",
    )


def open_with_recovery_key(state: Path, key: bytes) -> tuple[MasterKey, Wrap]:
    """The master key and the wrap that the 32-byte recovery key opened.

    Raises as `load_master_key` does.
    """
    return _open_any(state, _read_store_id(state), RECOVERY, key)


def unlock(state: Path, passphrase: str) -> None:
    """Keep the master key in memory until reboot or `lock`. Raises as `load_master_key` does."""
    memory.remember_key(load_master_key(state, passphrase))


def lock(state: Path) -> None:
    """Forget what `unlock` keeps in memory. A box with a box.key stays open."""
    memory.forget_key(_read_store_id(state))


def _descriptor_path(state: Path) -> Path:
    return state / "store" / "store.json"


def _refuse_old_store(state: Path) -> None:
    if _descriptor_path(state).exists():
        raise _already_there(state)
    if any((state / "store" / "points").glob("*/*.point")):
        raise IntegrityError(
            f"{state} holds points but {_descriptor_path(state)} is missing: put it back, "
            "or choose another --state"
        )


def _already_there(state: Path) -> UsageError:
    return UsageError(f"{state} holds a store already: choose another --state")


def _read_store_id(state: Path) -> bytes:
    return bytes.fromhex(read_descriptor(state).store_id)


def _open_any(
    state: Path, store_id: bytes, kind: str, secret: bytes | str
) -> tuple[MasterKey, Wrap]:
    """Try each wrap of `kind`: one damaged file must not lock out the others."""
    refusal: HoldfastError = AccessError(
        f"no {kind} was set for the store in {state}: use another key"
    )
    files = read_wrap_files(state)
    for file in files:
        if file.wrap is None:
            refusal = IntegrityError(f"{file.path}: {file.damage}")
    for file in files:
        if file.wrap is None or file.wrap.kind != kind:
            continue
        try:
            return open_wrap(file.wrap, secret, store_id), file.wrap
        except AccessError as error:
            refusal = error
    raise refusal
