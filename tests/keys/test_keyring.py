"""Where the master key of a state comes from, and what stands in the way."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import (
    AccessError,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.formats.keyfile import STORE_FORMAT, StoreDescriptor, encode_descriptor
from appliance.keys import keyring, wrap_files, wraps
from appliance.keys.hierarchy import MasterKey
from appliance.keys.keyring import load_master_key, lock, open_with_recovery_key, unlock
from tests.formats.examples import PASSPHRASE, SMALL_SCRYPT

# Random, because runs at the same time share the memory of this machine.
DESCRIPTOR = StoreDescriptor(STORE_FORMAT, secrets.token_hex(16), "2026-11-21T09:30:00Z")


@pytest.fixture(autouse=True)
def small_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wraps, "SCRYPT_COST", SMALL_SCRYPT)


def make_store(state: Path, passphrase: str | None = None) -> tuple[MasterKey, bytes]:
    keys = keyring.create_keys(state, DESCRIPTOR, passphrase)
    keyring.write_descriptor(state, DESCRIPTOR)
    return keys


@pytest.fixture
def locked(state: Path) -> Iterator[MasterKey]:
    """A store with a passphrase."""
    master, _ = make_store(state, PASSPHRASE)
    yield master
    lock(state)


def test_a_store_with_a_box_key_opens_by_itself(state: Path) -> None:
    master, recovery_key = make_store(state)
    assert load_master_key(state, None) == master
    assert open_with_recovery_key(state, recovery_key)[0] == master
    assert sorted(path.name for path in (state / "store" / "keys").iterdir()) == [
        "box.json",
        "recovery.json",
    ]


def test_the_box_key_is_for_root_only_and_outside_the_store(state: Path) -> None:
    make_store(state)
    assert stat.S_IMODE((state / "box.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((state / "store").stat().st_mode) == 0o700


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_no_key_lies_in_the_store(state: Path, passphrase: str | None) -> None:
    master, recovery_key = make_store(state, passphrase)
    content = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for secret in (master.secret, recovery_key):
        assert secret not in content
        assert secret.hex().encode() not in content


def test_a_locked_box_says_so_and_unlock_opens_it(state: Path, locked: MasterKey) -> None:
    assert not (state / "box.key").exists()
    with pytest.raises(AccessError, match=r"^the box is locked: run 'holdfast unlock'$"):
        load_master_key(state, None)
    assert load_master_key(state, PASSPHRASE) == locked
    unlock(state, PASSPHRASE)
    assert load_master_key(state, None) == locked
    lock(state)
    with pytest.raises(AccessError, match="locked"):
        load_master_key(state, None)


@pytest.mark.usefixtures("locked")
def test_a_wrong_passphrase_opens_nothing(state: Path) -> None:
    with pytest.raises(AccessError, match="passphrase does not open"):
        unlock(state, "wrong")
    with pytest.raises(AccessError, match="locked"):
        load_master_key(state, None)


def test_a_passphrase_for_a_store_without_one_is_refused(state: Path) -> None:
    make_store(state)
    with pytest.raises(AccessError, match="no passphrase"):
        load_master_key(state, PASSPHRASE)


def test_a_wrong_recovery_key_is_refused(state: Path) -> None:
    make_store(state)
    with pytest.raises(AccessError, match="recovery key does not open"):
        open_with_recovery_key(state, b"x" * 32)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_box_key_open_to_others_is_refused_with_the_way_out(state: Path, mode: int) -> None:
    make_store(state)
    (state / "box.key").chmod(mode)
    with pytest.raises(AccessError, match=r"run 'chmod 600 .*box\.key'"):
        load_master_key(state, None)


def test_a_lost_box_key_is_named(state: Path) -> None:
    make_store(state)
    (state / "box.key").unlink()
    with pytest.raises(AccessError, match=r"box\.key is missing"):
        load_master_key(state, None)


def test_a_damaged_box_key_is_named(state: Path) -> None:
    make_store(state)
    (state / "box.key").write_text("junk")
    with pytest.raises(IntegrityError, match=r"box\.key"):
        load_master_key(state, None)


def test_the_box_key_of_another_store_is_refused(state: Path, tmp_path: Path) -> None:
    make_store(state)
    make_store(tmp_path / "other")
    (tmp_path / "other" / "box.key").rename(state / "box.key")
    with pytest.raises(AccessError, match="box key does not open"):
        load_master_key(state, None)


def test_one_damaged_wrap_does_not_lock_out_the_others(state: Path) -> None:
    master, recovery_key = make_store(state)
    (state / "store" / "keys" / "aaa.json").write_bytes(b"\xff")
    (state / "store" / "keys" / "box.json").write_text("{}")
    assert open_with_recovery_key(state, recovery_key)[0] == master
    with pytest.raises(IntegrityError, match=r"box\.json: key wrap"):
        load_master_key(state, None)


def test_too_many_wraps_are_refused(state: Path) -> None:
    make_store(state)
    for number in range(wrap_files.WRAPS_MAX):
        (state / "store" / "keys" / f"{number}.json").write_text("{}")
    with pytest.raises(IntegrityError, match="more than 64"):
        load_master_key(state, None)


def test_a_missing_store_names_init(state: Path) -> None:
    for use in (
        lambda: keyring.read_descriptor(state),
        lambda: load_master_key(state, None),
        lambda: unlock(state, "x"),
        lambda: lock(state),
    ):
        with pytest.raises(NotFoundError, match=f"^no store in {state}: run 'holdfast init'$"):
            use()


def test_a_newer_store_is_refused_before_any_key_is_tried(state: Path) -> None:
    make_store(state)
    newer = StoreDescriptor(STORE_FORMAT + 1, DESCRIPTOR.store_id, DESCRIPTOR.created)
    (state / "store" / "store.json").write_bytes(encode_descriptor(newer))
    with pytest.raises(HoldfastError, match="upgrade"):
        load_master_key(state, None)


def test_a_damaged_descriptor_is_refused(state: Path) -> None:
    make_store(state)
    (state / "store" / "store.json").write_bytes(b"{")
    with pytest.raises(IntegrityError, match=r"store\.json"):
        keyring.read_descriptor(state)


def test_a_store_is_made_once(state: Path) -> None:
    master, _ = make_store(state)
    with pytest.raises(UsageError, match="already"):
        keyring.create_keys(state, DESCRIPTOR, None)
    with pytest.raises(UsageError, match="already"):
        keyring.write_descriptor(state, DESCRIPTOR)
    assert load_master_key(state, None) == master


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_what_a_killed_attempt_left_does_not_matter(state: Path, passphrase: str | None) -> None:
    keyring.create_keys(state, DESCRIPTOR, None if passphrase else PASSPHRASE)
    keyring.create_keys(state, DESCRIPTOR, None)
    master, _ = make_store(state, passphrase)
    assert load_master_key(state, passphrase) == master
    assert len(list((state / "store" / "keys").iterdir())) == 2
    assert (state / "box.key").exists() == (passphrase is None)


def test_keys_of_a_store_that_lost_its_descriptor_are_not_replaced(state: Path) -> None:
    master, _ = make_store(state)
    (state / "store" / "points" / "m").mkdir(parents=True)
    (state / "store" / "points" / "m" / "20261121T093000Z.point").write_bytes(b"")
    descriptor = (state / "store" / "store.json").read_bytes()
    (state / "store" / "store.json").unlink()
    with pytest.raises(IntegrityError, match=r"store\.json is missing"):
        keyring.create_keys(state, DESCRIPTOR, None)
    (state / "store" / "store.json").write_bytes(descriptor)
    assert load_master_key(state, None) == master


def test_an_empty_passphrase_makes_no_keys(state: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        keyring.create_keys(state, DESCRIPTOR, "")
    assert not state.exists()


def test_a_directory_in_place_of_a_key_file_is_no_traceback(state: Path) -> None:
    make_store(state)
    (state / "box.key").unlink()
    (state / "box.key").mkdir(mode=0o700)
    with pytest.raises(HoldfastError, match=r"box\.key: Is a directory"):
        load_master_key(state, None)
