"""After damage: what is sound stays, what comes new is whole, and nothing makes it worse."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.native import KIND_PAGE
from appliance.recovery.restore import Restore
from appliance.recovery.targets import open_target
from tests.command import HoldfastHere, Result
from tests.corrupt.shop import Shop
from tests.crash.operations import container_files, content, open_store

Damage = Callable[[Path], None]


def one_line(result: Result) -> None:
    """A failure is one line for a person."""
    assert "Traceback" not in result.err
    assert "unexpected" not in result.err
    assert len(result.err.strip().splitlines()) <= 1, result.err


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def flip_frame(path: Path) -> None:
    flip(path, 70)


def flip_directory(path: Path) -> None:
    flip(path, -40)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def delete(path: Path) -> None:
    path.unlink()


KINDS = [pytest.param(KIND_PAGE, id="pages"), pytest.param(1, id="data")]
DAMAGES = [flip_frame, flip_directory, truncate, delete]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_next_backup_of_a_damaged_machine_is_whole(
    shop: Shop, kind: int, damage: Damage
) -> None:
    """Verification promises it; the newest point, which is hurt, is what it would compare with."""
    damage(shop.containers(0, kind)[0])
    shop.holdfast("verify", expect=4)
    name = shop.back_up(0, "m")
    shop.check(name, 0)
    shop.check(shop.points[2], 2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pages_of_the_base_do_not_stop_a_backup(shop: Shop, damage: Damage) -> None:
    """Nobody has verified yet: what cannot be compared with is read."""
    for path in shop.containers(1, KIND_PAGE):
        damage(path)
    shop.check(shop.back_up(0, "m"), 0)


@pytest.mark.parametrize("damage", [flip_frame, flip_directory, truncate])
@pytest.mark.parametrize("kind", KINDS)
def test_collection_frees_nothing_that_a_point_refers_to(
    shop: Shop, kind: int, damage: Damage
) -> None:
    """What cannot be read today may be read again, or repaired, tomorrow."""
    container = shop.containers(0, kind)[0]
    kept = container.read_bytes()
    damage(container)
    refused = shop.holdfast("collect")
    assert refused.code in (0, 4)
    one_line(refused)
    assert container.exists(), "collection removed a container that points refer to"
    container.write_bytes(kept)
    shop.check_all()


def test_collection_keeps_a_container_that_cannot_be_opened_now(shop: Shop) -> None:
    """As after a passing fault of the disk: here a folder in the container's place."""
    container = shop.containers(0, 1)[0]
    aside = shop.folder / "aside"
    container.rename(aside)
    container.mkdir()
    refused = shop.holdfast("collect")
    assert refused.code in (0, 4), refused.err
    one_line(refused)
    if container.exists():
        container.rmdir()
    aside.rename(container)
    shop.holdfast("collect", expect=0)
    shop.check_all()


@pytest.mark.parametrize("damage", DAMAGES)
def test_restore_names_exactly_what_is_lost(shop: Shop, damage: Damage) -> None:
    damage(shop.containers(1, 1)[0])
    name, image = PointName.parse(shop.points[1]), shop.images[1]
    store = open_store(shop.state)
    target = shop.folder / "restored.raw"
    with store.lease("reader") as lease:
        reader = store.disk_reader(store.open_point(name, lease), 0)
        restored = Restore(reader, open_target(target, len(image), force=False), Progress()).run()
    assert restored.damaged
    got, want = bytearray(target.read_bytes()), bytearray(image)
    for offset, length in restored.damaged:
        assert not any(got[offset : offset + length])
        want[offset : offset + length] = bytes(length)
    assert got == want, "something else than the named ranges differs"
    told = shop.holdfast("restore", shop.points[1], "-", expect=4)
    one_line(told)
    offset, length = restored.damaged[0]
    assert f"{offset}+{length}" in told.err
    assert told.stdout == got
    shop.check(shop.points[0], 0)
    shop.check(shop.points[2], 2)


@pytest.mark.parametrize("damage", [flip_frame, flip_directory, delete])
def test_verification_names_the_same_ranges_as_restore(shop: Shop, damage: Damage) -> None:
    container = shop.containers(1, 1)[0]
    damage(container)
    report = shop.holdfast("--json", "verify", expect=4).json()
    said = {hurt["name"]: hurt for hurt in report["hurt_points"]}
    assert set(said) == {shop.points[1]}
    image, restored = shop.images[1], shop.holdfast("restore", shop.points[1], "-").stdout
    differing = {
        at // 512
        for at in range(0, len(image), 512)
        if image[at : at + 512] != restored[at : at + 512]
    }
    named = {
        sector
        for piece in said[shop.points[1]]["ranges"]
        for sector in range(piece["offset"] // 512, -(-(piece["offset"] + piece["length"]) // 512))
    }
    assert differing
    assert differing <= named
    assert said[shop.points[1]]["hurt_bytes"] == sum(
        piece["length"] for piece in said[shop.points[1]]["ranges"]
    )


@pytest.mark.parametrize("depth", ["structure", "ciphertext", "full"])
def test_a_missing_container_is_named_at_every_depth(shop: Shop, depth: str) -> None:
    container = shop.containers(1, 1)[0]
    container.unlink()
    report = shop.holdfast("verify", "--depth", depth, expect=4)
    assert container.name in report.out
    assert f"hurts {shop.points[1]}" in report.out
    assert f"hurts {shop.points[2]}" not in report.out


def test_a_verification_of_one_point_names_the_missing_container(shop: Shop) -> None:
    container = shop.containers(1, 1)[0]
    container.unlink()
    assert container.name in shop.holdfast("verify", shop.points[1], expect=4).out
    shop.holdfast("verify", shop.points[2], expect=0)


def test_a_container_put_back_heals(shop: Shop) -> None:
    container = shop.containers(0, 1)[0]
    aside = shop.folder / "aside"
    container.rename(aside)
    shop.holdfast("verify", expect=4)
    aside.rename(container)
    shop.holdfast("verify", expect=0)
    shop.check_all()
    states = {point["state"] for point in shop.holdfast("--json", "points").json()["points"]}
    assert states == {"complete"}


def test_a_container_of_another_store_is_no_substitute(
    shop: Shop, tmp_path: Path, seed: int
) -> None:
    other = HoldfastHere(tmp_path / "other")
    other("init", "--recovery-out", tmp_path / "other-key", expect=0)
    other("backup", tmp_path / "disk.raw", "--machine", "m", expect=0)
    foreign = random.Random(seed).choice(sorted(container_files(tmp_path / "other")))
    container = shop.containers(1, 1)[0]
    shutil.copy(foreign, container)
    for depth in ("structure", "ciphertext", "full"):
        report = shop.holdfast("verify", "--depth", depth, expect=4)
        assert container.name in report.out
        assert f"hurts {shop.points[1]}" in report.out
    one_line(shop.holdfast("restore", shop.points[1], "-", expect=4))
    shop.check(shop.points[0], 0)
    shop.check(shop.points[2], 2)


def test_swapped_containers_give_no_wrong_byte(shop: Shop) -> None:
    first, second = shop.containers(0, 1)[0], shop.containers(2, 1)[0]
    aside = shop.folder / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    for depth in ("ciphertext", "full"):
        report = shop.holdfast("verify", "--look-only", "--depth", depth, expect=4)
        assert first.name in report.out
        assert second.name in report.out
    for number in (0, 2):
        restored = shop.holdfast("restore", shop.points[number], "-")
        one_line(restored)
        assert restored.code in (0, 4)
        if restored.code == 0:
            assert restored.stdout == shop.images[number]
    aside = shop.folder / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    shop.holdfast("verify", expect=0)
    shop.check_all()


def test_only_the_content_of_a_point_needs_to_be_sound(shop: Shop) -> None:
    """The end of the trailer means nothing: whoever has no key notices, nobody is hurt."""
    container = shop.containers(1, 1)[0]
    flip(container, -3)
    shop.holdfast("verify", "--depth", "structure", expect=0)
    for depth in ("ciphertext", "full"):
        report = shop.holdfast("verify", "--look-only", "--depth", depth, expect=4)
        assert container.name in report.out
        assert "no point is hurt" in report.out
    shop.check_all()
    states = {point["state"] for point in shop.holdfast("--json", "points").json()["points"]}
    assert states == {"complete"}


def test_a_second_copy_serves_and_is_not_collected(shop: Shop, tmp_path: Path) -> None:
    """The same chunks lie in two containers, and the one that the point names is damaged."""
    shutil.rmtree(shop.state / "store" / "index")
    container = shop.containers(2, 1)[0]
    aside = shop.folder / "aside"
    container.rename(aside)
    shop.back_up(2, "copy")  # stores everything again
    aside.rename(container)
    flip_frame(container)
    report = shop.holdfast("verify", expect=4)
    assert container.name in report.out
    assert "no point is hurt" in report.out
    shop.check_all()
    copy = shop.holdfast("--json", "points", "--machine", "copy").json()["points"][0]["name"]
    shop.holdfast("forget", copy, expect=0)
    shop.holdfast("collect")
    assert content(shop.state, PointName.parse(shop.points[2])) == shop.images[2]
