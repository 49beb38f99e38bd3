"""Scrubbing: latent damage is found, set aside, mapped to points, and healed by the next backup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.native import KIND_PAGE
from tests.command import Holdfast
from tests.corrupt.shop import Shop
from tests.corrupt.test_healing import delete, flip_directory, flip_frame, truncate

DAMAGES = [flip_frame, flip_directory, truncate, delete]


def scrub(holdfast: Holdfast, *arguments: str, expect: int) -> dict[str, Any]:
    return holdfast("--json", "scrub", "--rate", "0", *arguments, expect=expect).json()


def criticals(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in found["findings"] if one["severity"] == "critical"]


@pytest.mark.parametrize("look", ["scrub", "verify"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_set_aside_and_healed_by_the_next_backup(
    shop: Shop, damage: Callable[[Path], None], look: str
) -> None:
    container = shop.containers(0, 1)[0]
    damage(container)
    if look == "verify":
        shop.holdfast("verify", expect=4)
    found = scrub(shop.holdfast, "--all", expect=4)
    (finding,) = criticals(found)
    assert finding["what"] == f"container {container.name}"
    assert {hurt["name"] for hurt in finding["hurts"]} <= {shop.points[0], shop.points[1]}
    assert finding["hurts"]
    assert not container.exists()
    is_kept = (shop.state / "store" / "quarantine" / container.name).exists()
    assert is_kept == (damage is not delete)
    told = shop.holdfast("--json", "status", expect=0).json()
    assert not told["healthy"]
    (shop.state / "catalog.db").unlink()
    listed = shop.holdfast("--json", "points").json()["points"]
    damaged = {point["name"] for point in listed if point["state"] == "damaged"}
    assert damaged == {hurt["name"] for hurt in finding["hurts"]}
    assert told["findings"][0]["what"] == finding["what"]

    # The same disks come again: everything is read, what is lost is stored again.
    shop.back_up(0, "m")
    shop.back_up(1, "m")
    shop.check_all()
    healed = scrub(shop.holdfast, expect=0)
    assert not criticals(healed)
    assert shop.holdfast("--json", "status", expect=0).json()["healthy"]
    states = {point["state"] for point in shop.holdfast("--json", "points").json()["points"]}
    assert states == {"complete"}
    shop.holdfast("verify", expect=0)
    shop.holdfast("collect", expect=0)
    shop.check_all()


@pytest.mark.parametrize("damage", [flip_frame, flip_directory, delete])
def test_damaged_pages_are_not_taken_over_by_the_next_backup(
    shop: Shop, damage: Callable[[Path], None]
) -> None:
    container = shop.containers(1, KIND_PAGE)[0]
    damage(container)
    scrub(shop.holdfast, "--all", expect=4)
    name = shop.back_up(1, "m")
    shop.check(name, 1)
    shop.check(shop.points[0], 0)
    shop.check(shop.points[2], 2)


def test_what_is_sound_in_a_damaged_container_is_saved(shop: Shop) -> None:
    container = shop.containers(2, 1)[0]
    flip_frame(container)
    (finding,) = criticals(scrub(shop.holdfast, "--all", expect=4))
    (hurt,) = finding["hurts"]
    assert hurt["name"] == shop.points[2]
    image, restored = shop.images[2], shop.holdfast("restore", shop.points[2], "-").stdout
    lost = {(piece["offset"], piece["offset"] + piece["length"]) for piece in hurt["ranges"]}
    expected = bytearray(image)
    for start, end in lost:
        expected[start:end] = bytes(end - start)
    assert restored == expected
    assert 0 < hurt["hurt_bytes"] <= 1 << 20
    (shop.state / "store" / "quarantine" / container.name).unlink()
    shop.check(shop.back_up(2, "other"), 2)
    shop.check_all()
    assert scrub(shop.holdfast, expect=0)["findings"] == []


def test_a_container_whose_name_is_wrong_loses_nothing(shop: Shop) -> None:
    """The last bytes mean nothing: all its chunks are saved."""
    container = shop.containers(2, 1)[0]
    data = bytearray(container.read_bytes())
    data[-3] ^= 1
    container.write_bytes(data)
    found = scrub(shop.holdfast, "--all", expect=4)
    assert [one["severity"] for one in found["findings"]] == ["notice"]
    shop.check_all()
    assert shop.holdfast("--json", "status", expect=0).json()["healthy"]
    assert scrub(shop.holdfast, "--all", expect=0)["damaged_containers"] == []


def test_swapped_containers_lose_nothing(shop: Shop) -> None:
    first, second = shop.containers(0, 1)[0], shop.containers(2, 1)[0]
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    found = scrub(shop.holdfast, "--all", expect=4)
    assert sorted(found["damaged_containers"]) == sorted([first.name, second.name])
    assert not criticals(found)
    shop.check_all()


def test_a_second_scrub_reads_what_the_first_did_not(shop: Shop) -> None:
    every = len(list((shop.state / "store" / "containers").glob("*/*")))
    read = 0
    for _ in range(400):
        # A pass of so few days is owed at once; no second is enough for more than one container.
        once = scrub(shop.holdfast, "--days", "1", "--for", "0", expect=0)
        read += once["read_containers"]
        if once["finished"]:
            break
    assert once["finished"]
    assert read == every
    assert once["all_read_since"] is not None
    assert scrub(shop.holdfast, "--days", "1", expect=0)["read_containers"] <= 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"read_s": 1}', '{"read_s": {"ab": 1e999}}'])
def test_a_lost_memory_only_means_reading_again(shop: Shop, content: str) -> None:
    scrub(shop.holdfast, "--all", expect=0)
    (shop.state / "store" / "scrub.json").write_text(content)
    again = scrub(shop.holdfast, "--days", "1", expect=0)
    assert again["finished"]
    assert again["read_containers"] > 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"findings": {}, "hurt": 1}'])
def test_lost_findings_are_found_again_and_no_base_is_trusted_until_then(
    shop: Shop, content: str
) -> None:
    container = shop.containers(0, 1)[0]
    container.unlink()
    scrub(shop.holdfast, "--all", expect=4)
    (shop.state / "store" / "findings.json").write_text(content)
    shop.check(shop.back_up(1, "m"), 1)
    (finding,) = criticals(scrub(shop.holdfast, expect=4))
    assert {hurt["name"] for hurt in finding["hurts"]} <= {shop.points[0], shop.points[1]}


def test_a_hurt_base_that_is_named_is_read_over(shop: Shop, tmp_path: Path) -> None:
    """An agent that sends changes only would carry the damage on for ever."""
    shop.containers(2, 1)[0].unlink()
    shop.holdfast("verify", expect=4)
    (tmp_path / "changed").write_text("0 512\n")
    made = shop.holdfast(
        "--json",
        "backup",
        tmp_path / "disk.raw",
        "--machine",
        "other",
        "--base",
        shop.points[2],
        "--changed",
        tmp_path / "changed",
        expect=0,
    )
    assert "everything is read instead" in made.err
    shop.check(str(made.json()["name"]), 2)
    shop.check(shop.points[2], 2)


def test_bad_arguments_are_refused(shop: Shop) -> None:
    for wrong in (["--days", "0"], ["--rate", "-1"], ["--for", "-1"], ["--all", "--for", "1"]):
        shop.holdfast("scrub", *wrong, expect=2)
