"""Keys come and go, and at no moment is there a store that nobody can open."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import AccessError, BusyError, HoldfastError, NotFoundError, UsageError
from appliance.formats.keyfile import (
    BOX,
    LABEL_MAX,
    PASSPHRASE,
    RECOVERY,
    STORE_FORMAT,
    StoreDescriptor,
    Wrap,
)
from appliance.keys import keyring, wrap_files, wraps
from appliance.keys.changes import KeyChange, changing_keys, choose_wrap
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wrap_files import read_wrap_files
from tests.formats.examples import SMALL_SCRYPT

DESCRIPTOR = StoreDescriptor(STORE_FORMAT, secrets.token_hex(16), "2026-11-21T09:30:00Z")
NOW = "2027-01-02T03:04:05Z"
OLD, NEW = "old passphrase", "new passphrase"


@pytest.fixture(autouse=True)
def small_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wraps, "SCRYPT_COST", SMALL_SCRYPT)


class Box:
    """A store with a recovery key and a box key, and what somebody knows."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.master, self.recovery = keyring.create_keys(state, DESCRIPTOR, None)
        keyring.write_descriptor(state, DESCRIPTOR)

    @contextmanager
    def change(self) -> Iterator[KeyChange]:
        with changing_keys(self.state, self.master, NOW) as change:
            yield change

    def add(self, change: KeyChange, kind: str, secret: bytes | str, label: str = "") -> Wrap:
        wrap = change.prepare(kind, secret, label)
        change.add(wrap, secret)
        return wrap

    def rotate(self, change: KeyChange, kind: str, secret: bytes | str, label: str = "") -> Wrap:
        wrap = change.prepare(kind, secret, label)
        change.rotate(choose_wrap(self.state, kind, None), wrap, secret)
        return wrap

    def opens_with(self, key: bytes) -> bool:
        try:
            return keyring.open_with_recovery_key(self.state, key)[0] == self.master
        except AccessError:
            return False

    def opens_by_itself(self, passphrase: str | None = None) -> bool:
        try:
            return keyring.load_master_key(self.state, passphrase) == self.master
        except AccessError:
            return False

    def kinds(self) -> list[str]:
        return sorted(file.wrap.kind for file in read_wrap_files(self.state) if file.wrap)


@pytest.fixture
def box(state: Path) -> Box:
    return Box(state)


def test_an_added_key_opens_the_store_beside_the_others(box: Box) -> None:
    key = secrets.token_bytes(32)
    with box.change() as change:
        made = box.add(change, RECOVERY, key, "safe in Ulm")
        box.add(change, PASSPHRASE, NEW)
    assert box.opens_with(key)
    assert box.opens_with(box.recovery)
    assert box.opens_by_itself()
    assert box.opens_by_itself(NEW)
    assert (made.created, made.label) == (NOW, "safe in Ulm")
    assert keyring.open_with_recovery_key(box.state, key)[1] == made
    path = box.state / "store" / "keys" / f"recovery-{made.fingerprint}.json"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lost_box_key_is_made_anew(box: Box) -> None:
    (box.state / "box.key").unlink()
    assert not box.opens_by_itself()
    with box.change() as change:
        change.add_box("")
    assert box.opens_by_itself()


def test_a_box_key_that_is_there_is_not_overwritten_by_add(box: Box) -> None:
    before = (box.state / "box.key").read_bytes()
    with box.change() as change, pytest.raises(UsageError, match="key rotate box"):
        change.add_box("")
    assert (box.state / "box.key").read_bytes() == before
    assert box.kinds() == [BOX, RECOVERY]


def test_a_rotated_recovery_key_opens_nothing_any_more(box: Box) -> None:
    key = secrets.token_bytes(32)
    with box.change() as change:
        new = box.rotate(change, RECOVERY, key, "new")
    assert box.opens_with(key)
    assert not box.opens_with(box.recovery)
    assert choose_wrap(box.state, RECOVERY, None) == new


def test_a_rotated_passphrase_opens_nothing_any_more(box: Box) -> None:
    with box.change() as change:
        box.add(change, PASSPHRASE, OLD)
        box.rotate(change, PASSPHRASE, NEW)
    assert box.opens_by_itself(NEW)
    assert not box.opens_by_itself(OLD)


def test_a_rotated_box_key_leaves_no_other(box: Box) -> None:
    old = (box.state / "box.key").read_bytes()
    with box.change() as change:
        change.rotate_box(None)
    assert box.opens_by_itself()
    assert box.kinds() == [BOX, RECOVERY]
    (box.state / "box.key").write_bytes(old)
    assert not box.opens_by_itself()


def test_a_copied_wrap_is_revoked_with_the_original(box: Box) -> None:
    key = secrets.token_bytes(32)
    with box.change() as change:
        made = box.add(change, RECOVERY, key)
        folder = box.state / "store" / "keys"
        shutil.copy(folder / f"recovery-{made.fingerprint}.json", folder / "copy.json")
        assert len(change.revoke(made.fingerprint)) == 2
    assert not box.opens_with(key)
    assert box.opens_with(box.recovery)


@pytest.mark.parametrize("damage", [None, b"{}"])
def test_the_last_recovery_key_stays(box: Box, damage: bytes | None) -> None:
    file = box.state / "store" / "keys" / "recovery.json"
    if damage is not None:
        file.write_bytes(damage)
    with box.change() as change, pytest.raises(AccessError, match="no recovery key would be left"):
        change.revoke("recovery.json")
    assert file.exists()


def test_a_damaged_file_is_revoked_by_its_name(box: Box) -> None:
    strange = box.state / "store" / "keys" / "strange.json"
    strange.write_bytes(b"junk")
    with box.change() as change:
        change.revoke("strange.json")
    assert not strange.exists()


def test_the_box_key_goes_with_its_last_wrap(box: Box) -> None:
    with box.change() as change:
        change.revoke(choose_wrap(box.state, BOX, None).fingerprint)
    assert not (box.state / "box.key").exists()
    assert box.opens_with(box.recovery)


def test_what_is_not_there_is_not_revoked_or_chosen(box: Box) -> None:
    with box.change() as change, pytest.raises(NotFoundError, match="no key is called 'abcd'"):
        change.revoke("abcd")
    with pytest.raises(NotFoundError, match="no passphrase key"):
        choose_wrap(box.state, PASSPHRASE, None)
    with box.change() as change:
        box.add(change, RECOVERY, secrets.token_bytes(32))
    with pytest.raises(UsageError, match="2 keys of kind recovery"):
        choose_wrap(box.state, RECOVERY, None)


@pytest.mark.parametrize("label", ["x" * (LABEL_MAX + 1), "a\nb", "\x1b[31m", " a"])
def test_a_label_is_a_short_line(box: Box, label: str) -> None:
    with box.change() as change, pytest.raises(UsageError, match="label"):
        box.add(change, RECOVERY, secrets.token_bytes(32), label)
    assert box.kinds() == [BOX, RECOVERY]


def test_more_keys_than_can_be_read_are_never_made(box: Box) -> None:
    with box.change() as change:
        for _ in range(wrap_files.WRAPS_MAX - 2):
            box.add(change, RECOVERY, secrets.token_bytes(32))
        with pytest.raises(UsageError, match="limit"):
            change.rotate_box(None)
    assert box.opens_by_itself()


def test_two_processes_do_not_change_keys_at_once(box: Box) -> None:
    with box.change(), pytest.raises(BusyError, match="changing keys"), box.change():
        pass


# ---- the program dies at each durable call ------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


@contextmanager
def dying_at(count: int) -> Iterator[list[str]]:
    """Every call that changes the disk from the `count`th on raises Killed; lists the calls."""
    made: list[str] = []
    names = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            real = getattr(os, name)

            def call(*arguments: Any, _real: Any = real, _name: str = name, **options: Any) -> Any:
                is_read = _name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR)
                if not is_read:
                    made.append(_name)
                    if len(made) >= count:
                        raise Killed
                return _real(*arguments, **options)

            patch.setattr(os, name, call)
        yield made


def rotate_recovery(change: KeyChange, box: Box, key: bytes) -> None:
    box.rotate(change, RECOVERY, key)


def rotate_passphrase(change: KeyChange, box: Box, key: bytes) -> None:
    box.rotate(change, PASSPHRASE, NEW)


def rotate_box(change: KeyChange, box: Box, key: bytes) -> None:
    change.rotate_box(None)


def add_lost_box(change: KeyChange, box: Box, key: bytes) -> None:
    change.add_box("")


def revoke_box(change: KeyChange, box: Box, key: bytes) -> None:
    change.revoke(choose_wrap(box.state, BOX, None).fingerprint)


Step = Callable[[KeyChange, Box, bytes], None]


@pytest.mark.parametrize(
    "step", [rotate_recovery, rotate_passphrase, rotate_box, add_lost_box, revoke_box]
)
def test_a_change_killed_at_any_call_leaves_keys_that_open(tmp_path: Path, step: Step) -> None:
    """And doing it again completes it."""
    deaths = 0
    for count in range(1, 100):
        box, key = Box(tmp_path / str(count)), secrets.token_bytes(32)
        with box.change() as change:
            box.add(change, PASSPHRASE, OLD)
        if step is add_lost_box:
            (box.state / "box.key").unlink()
        try:
            with dying_at(count) as made, box.change() as change:
                step(change, box, key)
        except Killed:
            deaths += 1
        else:
            break
        assert box.opens_with(box.recovery) or (step is rotate_recovery and box.opens_with(key))
        assert box.opens_by_itself(OLD) or (step is rotate_passphrase and box.opens_by_itself(NEW))
        if step in (rotate_recovery, rotate_passphrase, rotate_box):
            assert box.opens_by_itself(), f"the box is locked after {made}"
        if step is rotate_box:
            with box.change() as change:
                change.rotate_box(None)
            assert box.kinds() == [BOX, PASSPHRASE, RECOVERY]
            assert box.opens_by_itself()
    assert deaths > 3


def test_what_a_killed_change_left_half_written_is_cleared_up(box: Box) -> None:
    half_made = [box.state / "store" / "keys" / ".tmp-0123", box.state / ".tmp-4567"]
    for path in half_made:
        path.write_bytes(b"x")
    with box.change():
        pass
    assert not [path for path in half_made if path.exists()]


def test_a_wrap_that_does_not_open_leaves_the_old_key(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MasterKey(bytes(32), box.master.store_id)
    with changing_keys(box.state, box.master, NOW) as change:
        monkeypatch.setattr("appliance.keys.changes.open_wrap", lambda *_: other)
        with pytest.raises(HoldfastError, match="the old keys stay"):
            box.rotate(change, RECOVERY, secrets.token_bytes(32))
    assert box.opens_with(box.recovery)
