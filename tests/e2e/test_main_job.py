"""The main job on a real Debian disk: protected, restored, mounted, booted."""

from __future__ import annotations

import filecmp
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.debian_disk import open_cache, provide_first, provide_second
from image.layout import PARTITION_OFFSET_BYTES
from tests.command import ROOT, Holdfast
from tests.e2e.guest_console import GuestConsole


class ProtectedWeb1:
    """web1 with two points; the images of both generations."""

    def __init__(self, directory: Path) -> None:
        cache = open_cache()
        self.first = provide_first(cache)
        self.second = provide_second(cache)
        self.directory = directory
        self.recovery = directory / "recovery.txt"
        self.holdfast = Holdfast(directory / "state")
        self.holdfast("init", "--recovery-out", self.recovery, expect=0)
        # The image is gone before anything is recovered.
        image = directory / "disk.raw"
        self.points = []
        for generation in (self.first, self.second):
            subprocess.run(["cp", "--sparse=always", generation, image], check=True)
            made = self.holdfast("--json", "backup", image, "--machine", "web1", expect=0)
            self.points.append(made.json())
            image.unlink()


@pytest.fixture(scope="module")
def web1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProtectedWeb1]:
    web1 = ProtectedWeb1(tmp_path_factory.mktemp("web1"))
    yield web1
    for vm in web1.holdfast("--json", "vms").json()["vms"]:
        web1.holdfast("stop", vm["name"], "--discard")
    web1.holdfast.close()


@pytest.fixture(scope="module")
def mounted(web1: ProtectedWeb1) -> Iterator[Path]:
    directory = web1.directory / "points"
    directory.mkdir()
    web1.holdfast("mount", directory, expect=0)
    yield directory
    web1.holdfast("umount", directory, expect=0)


def disk_file(mounted: Path, point: dict[str, str]) -> Path:
    return mounted / "web1" / point["time"] / "disk0.raw"


def test_the_second_point_stores_little(web1: ProtectedWeb1) -> None:
    first, second = web1.points
    assert first["disks"] == second["disks"] == [{"size_bytes": 2 << 30}]
    assert int(second["stored_bytes"]) < int(first["stored_bytes"]) / 4


def test_both_generations_restore_bit_for_bit(web1: ProtectedWeb1) -> None:
    target = web1.directory / "restored.raw"
    for point, generation in zip(web1.points, (web1.first, web1.second), strict=True):
        web1.holdfast("restore", point["name"], target, "--force", expect=0)
        assert filecmp.cmp(target, generation, shallow=False)
    target.unlink()


def test_mounted_disks_are_the_images(web1: ProtectedWeb1, mounted: Path) -> None:
    for point, generation in zip(web1.points, (web1.first, web1.second), strict=True):
        assert filecmp.cmp(disk_file(mounted, point), generation, shallow=False)


def test_the_mounted_filesystem_is_sound(
    web1: ProtectedWeb1, mounted: Path, tmp_path: Path
) -> None:
    device = f"{disk_file(mounted, web1.points[1])}?offset={PARTITION_OFFSET_BYTES}"
    subprocess.run(["fsck.ext4", "-fn", device], check=True, capture_output=True)
    trees = []
    for name, image in (("point", disk_file(mounted, web1.points[1])), ("image", web1.second)):
        directory = tmp_path / name
        directory.mkdir()
        options = f"loop,ro,noload,offset={PARTITION_OFFSET_BYTES}"
        subprocess.run(["mount", "-o", options, image, directory], check=True)
        try:
            found = subprocess.run(
                ["tar", "-C", directory, "--sort=name", "-cf", "-", "etc", "var/log", "boot"],
                check=True,
                capture_output=True,
            )
        finally:
            subprocess.run(["umount", directory], check=True)
        trees.append(found.stdout)
    assert len(trees[0]) > 10_000_000
    assert trees[0] == trees[1]


def test_points_made_later_appear_in_the_mount(web1: ProtectedWeb1, mounted: Path) -> None:
    small = web1.directory / "small.raw"
    small.write_bytes(b"later" * 100_000)
    made = web1.holdfast("--json", "backup", small, "--machine", "later", expect=0).json()
    shown = mounted / "later" / made["time"] / "disk0.raw"
    deadline_s = time.monotonic() + 60
    while not shown.exists():  # the mount looks again within a second
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert shown.read_bytes() == small.read_bytes()


def test_the_independent_script_restores_it(web1: ProtectedWeb1) -> None:
    import sys

    out = web1.directory / "script.raw"
    with out.open("wb") as stream:
        subprocess.run(
            [
                sys.executable,
                ROOT / "docs/format/restore.py",
                web1.directory / "state",
                web1.recovery,
                web1.points[1]["name"],
            ],
            stdout=stream,
            check=True,
        )
    assert filecmp.cmp(out, web1.second, shallow=False)
    out.unlink()


@pytest.mark.timeout(1500)  # three boots, each of which may take 400 s
def test_the_point_boots_and_keeps_what_the_guest_wrote(web1: ProtectedWeb1) -> None:
    holdfast = web1.holdfast
    screen = web1.directory / "screen.png"
    booted = holdfast(
        *("--json", "boot", "web1@latest", "--name", "vm1", "--screenshot", screen),
        expect=0,
        timeout_s=400,
    ).json()
    assert booted["state"] == "running"
    assert booted["accelerator"] in ("kvm", "tcg")
    assert booted["ready_s"] > 0
    assert png_size(screen) >= (640, 400)

    console = GuestConsole(booted["serial"])
    console.log_in()
    assert "web1" in console.run("hostname")
    console.run("echo kept-by-overlay > /var/note && sync")
    console.close()

    assert holdfast("boot", "web1@latest", "--name", "vm1").code == 6
    assert holdfast("forget", web1.points[1]["name"], "--now").code == 6
    assert holdfast("--json", "collect", expect=0).json()["freed_bytes"] == 0

    holdfast("stop", "vm1", expect=0)
    again = holdfast(
        "--json", "boot", "web1@latest", "--name", "vm1", expect=0, timeout_s=400
    ).json()
    assert again["kept_overlay"] is True
    console = GuestConsole(again["serial"])
    console.log_in()
    assert "kept-by-overlay" in console.run("cat /var/note")
    console.close()

    holdfast("stop", "vm1", "--discard", expect=0)
    assert holdfast("--json", "vms", expect=0).json() == {"vms": []}
    fresh = holdfast(
        "--json", "boot", "web1@latest", "--name", "vm1", expect=0, timeout_s=400
    ).json()
    console = GuestConsole(fresh["serial"])
    console.log_in()
    assert "kept-by-overlay" not in console.run("cat /var/note")
    console.close()
    holdfast("stop", "vm1", "--discard", expect=0)


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)
