"""Damaged files of a store: named, contained, and everything else restores."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest

from tests.command import Holdfast, HoldfastHere, Result
from tests.conftest import SEED
from tests.crash.operations import container_files
from tests.images import mixed_image, write_image


class Damaged:
    """A store with two points of different machines that share nothing."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._open(folder)
        self.holdfast("init", "--recovery-out", folder / "key", expect=0)
        self.images: dict[str, bytes] = {}
        self._fresh: dict[str, list[Path]] = {}
        seen: set[Path] = set()
        for number in range(2):
            image = mixed_image(seed + number, 8)
            path = write_image(folder / "disk.raw", image)
            made = self.holdfast("--json", "backup", path, "--machine", f"m{number}", expect=0)
            name = str(made.json()["name"])
            self.images[name] = bytes(image)
            now = container_files(self.state)
            fresh = sorted(now - seen, key=lambda path: path.stat().st_size)
            self._fresh[name] = [path.relative_to(folder) for path in fresh]
            seen = now
        self.hurt, self.sound = self.images
        (self.state / "store" / "reserve").unlink()  # the largest file, and of no interest

    def _open(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.holdfast: Holdfast = HoldfastHere(self.state)

    def copy(self, folder: Path) -> Damaged:
        """The same store elsewhere, to damage."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = copy(self)
        other._open(folder)
        return other

    @property
    def containers(self) -> list[Path]:
        """The containers of the point to hurt: pages first, then data."""
        return [self.folder / path for path in self._fresh[self.hurt]]

    def check(self, *, says: str) -> None:
        """Verify names it; the sound point restores; the hurt one fails clearly."""
        verified = self.holdfast("verify")
        assert verified.code == 4, verified.out + verified.err
        assert says in verified.out, verified.out
        assert self.hurt in verified.out
        assert f"hurts {self.sound}" not in verified.out
        assert self.holdfast("restore", self.sound, "-", expect=0).stdout == self.images[self.sound]
        restored = self.holdfast("restore", self.hurt, "-")
        assert restored.code == 4
        self.no_traceback(verified, restored)
        # What is not damaged is right, what is damaged is zeros.
        image = self.images[self.hurt]
        if restored.stdout:
            assert len(restored.stdout) == len(image)
            assert all(
                got in (0, want)
                for got, want in zip(restored.stdout[::97], image[::97], strict=True)
            )
        states = {
            point["name"]: point["state"]
            for point in self.holdfast("--json", "points", expect=0).json()["points"]
        }
        assert states == {self.hurt: "damaged", self.sound: "complete"}

    @staticmethod
    def no_traceback(*results: Result) -> None:
        for result in results:
            assert "Traceback" not in result.err
            assert "unexpected" not in result.err


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(tmp_path_factory.mktemp("undamaged"), SEED)


@pytest.fixture
def damaged(undamaged: Damaged, tmp_path: Path, seed: int) -> Damaged:
    return undamaged.copy(tmp_path)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize(
    "offset",
    [
        pytest.param(lambda size, chooser: chooser.randrange(0, 8), id="magic"),
        pytest.param(lambda size, chooser: chooser.randrange(16, 32), id="container id"),
        pytest.param(lambda size, chooser: chooser.randrange(64, size // 2), id="frame"),
        pytest.param(lambda size, chooser: size - 32 - chooser.randrange(1, 100), id="directory"),
        pytest.param(lambda size, chooser: size - chooser.randrange(9, 32), id="trailer"),
    ],
)
def test_a_flipped_byte_is_named(
    damaged: Damaged, seed: int, offset: Callable[[int, random.Random], int]
) -> None:
    container = damaged.containers[-1]
    flip(container, offset(container.stat().st_size, random.Random(seed)))
    damaged.check(says=container.name)


def test_a_truncated_container_is_named(damaged: Damaged) -> None:
    container = damaged.containers[-1]
    container.write_bytes(container.read_bytes()[:-1000])
    damaged.check(says=container.name)


def test_an_extended_container_is_named(damaged: Damaged) -> None:
    container = damaged.containers[-1]
    container.write_bytes(container.read_bytes() + b"more")
    damaged.check(says=container.name)


def test_a_missing_container_hurts_its_points(damaged: Damaged) -> None:
    damaged.containers[-1].unlink()
    damaged.check(says=damaged.hurt)


def test_damaged_pages_hurt_their_point(damaged: Damaged) -> None:
    pages = damaged.containers[0]
    flip(pages, 80)
    damaged.check(says=pages.name)


def test_swapped_containers_are_noticed(damaged: Damaged) -> None:
    first, second = damaged.containers[-2:]
    kept = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(kept)
    verified = damaged.holdfast("verify")
    assert verified.code == 4
    assert first.name in verified.out
    assert second.name in verified.out
    damaged.no_traceback(verified)
    sound = damaged.holdfast("restore", damaged.sound, "-", expect=0)
    assert sound.stdout == damaged.images[damaged.sound]


def test_swapped_containers_differ_from_their_names_without_a_key(damaged: Damaged) -> None:
    first, second = damaged.containers[-2:]
    shutil.copy(second, first)
    verified = damaged.holdfast("verify", "--depth", "ciphertext")
    assert verified.code == 4
    assert first.name in verified.out


@pytest.mark.parametrize("place", [0, 20, 40, -1])
def test_a_damaged_point_file_is_named(damaged: Damaged, place: int) -> None:
    folders = {path: path.stat().st_mtime_ns for path in damaged.state.glob("store/points/*/*")}
    file = min(folders, key=lambda path: folders[path])
    flip(file, place)
    verified = damaged.holdfast("verify")
    assert verified.code == 4
    assert file.name in verified.out
    listed = damaged.holdfast("points")
    assert listed.code == 4
    assert damaged.holdfast("restore", damaged.hurt, "-").code == 4
    sound = damaged.holdfast("restore", damaged.sound, "-", expect=0)
    assert sound.stdout == damaged.images[damaged.sound]
    damaged.no_traceback(verified, listed)
    # What a damaged point needs is unknown, so nothing is freed until it is forgotten.
    assert damaged.holdfast("collect").code == 4
    damaged.holdfast("forget", damaged.hurt, "--now", expect=0)
    damaged.holdfast("collect", expect=0)


def test_a_new_backup_after_damage_is_whole(damaged: Damaged, tmp_path: Path) -> None:
    """A container that is gone is forgotten by the index, so its chunks are stored again."""
    damaged.containers[-1].unlink()
    damaged.holdfast("verify", expect=4)
    path = write_image(tmp_path / "again.raw", bytearray(damaged.images[damaged.hurt]))
    made = damaged.holdfast("--json", "backup", path, "--machine", "again", expect=0).json()
    assert made["new_bytes"] > 0
    restored = damaged.holdfast("restore", made["name"], "-", expect=0)
    assert restored.stdout == damaged.images[damaged.hurt]
    healed = damaged.holdfast("restore", damaged.hurt, "-", expect=0)
    assert healed.stdout == damaged.images[damaged.hurt]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("index/current.json", b"{"),
        ("index/current.json", None),
        ("index/*.run", b"HFINDEX1 but no more"),
        ("index/*.run", None),
    ],
)
def test_a_broken_index_rebuilds_itself(
    damaged: Damaged, tmp_path: Path, file: str, content: bytes | None
) -> None:
    for path in list((damaged.state / "store").glob(file)):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    path = write_image(tmp_path / "again.raw", bytearray(damaged.images[damaged.hurt]))
    made = damaged.holdfast("--json", "backup", path, "--machine", "again", expect=0).json()
    assert made["new_bytes"] == 0


def test_a_broken_catalog_is_replaced(damaged: Damaged) -> None:
    damaged.holdfast("points", expect=0)
    for path in damaged.state.glob("catalog.db*"):
        path.unlink()
    (damaged.state / "catalog.db").write_bytes(b"no database at all" * 100)
    listed = damaged.holdfast("--json", "points", expect=0).json()["points"]
    assert [point["name"] for point in listed] == list(damaged.images)


def test_the_key_of_another_store_opens_nothing(damaged: Damaged, tmp_path: Path) -> None:
    other = HoldfastHere(tmp_path / "other")
    other("init", "--recovery-out", tmp_path / "other-key", expect=0)
    shutil.copy(tmp_path / "other" / "box.key", damaged.state / "box.key")
    refused = damaged.holdfast("points")
    assert refused.code == 8
    assert len(refused.err.strip().splitlines()) == 1


def test_a_newer_store_is_refused_by_its_version(damaged: Damaged) -> None:
    descriptor = damaged.state / "store" / "store.json"
    descriptor.write_text(json.dumps(json.loads(descriptor.read_text()) | {"format": 7}))
    refused = damaged.holdfast("points")
    assert refused.code != 0
    assert "7" in refused.err
    assert "Traceback" not in refused.err
