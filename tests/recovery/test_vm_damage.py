"""A guest reads what the box's disk has damaged: the vault serves it, or only that read fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.recovery import accelerator
from appliance.recovery.runtime import poll
from tests.command import Holdfast
from tests.conftest import SEED
from tests.recovery.guests import READING, READS_FIRST_SECTOR

MIB = 1 << 20
DISK_MIB = 16
PATIENCE_S = 120


class Box:
    """A box with a point whose guest reads all over its disk, again and again."""

    def __init__(self, holdfast: Holdfast, folder: Path) -> None:
        self.holdfast = holdfast
        self.folder = folder
        print(f"HOLDFAST_TEST_SEED={SEED}")
        holdfast("init", "--recovery-out", folder / "key.txt", expect=0)
        disk = READING + random.Random(SEED).randbytes((DISK_MIB - 1) * MIB)
        image = folder / "disk.raw"
        image.write_bytes(disk)
        self.point = holdfast("--json", "backup", image, "--machine", "web1", expect=0).json()[
            "name"
        ]

    def damage(self) -> Path:
        """Spoil a part of the largest container, which is data; gives its file."""
        path = max(self._containers(), key=lambda one: one.stat().st_size)
        size_bytes = path.stat().st_size
        with path.open("r+b") as file:
            for at in range(size_bytes // 2, size_bytes * 3 // 4, 64 << 10):
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes((byte[0] ^ 1,)))
        return path

    def _containers(self) -> list[Path]:
        folder = self.holdfast.state / "store/containers"
        return [path for path in folder.glob("*/*") if path.is_file()]

    def boot(self) -> None:
        words = ("boot", self.point, "--name", "vm", "--memory", "32", "--timeout", "120")
        self.holdfast(*words, expect=0)

    def said(self) -> bytes:
        """What the guest sent after its login prompt."""
        log = (self.holdfast.state / "vms/vm/serial.log").read_bytes()
        return log.partition(b"login:")[2]

    def await_said(self, condition: Callable[[bytes], bool]) -> bytes:
        assert poll(lambda: condition(self.said()), PATIENCE_S), self.said()[-200:]
        return self.said()

    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.holdfast("--json", "status").json()["findings"]
        return found


@pytest.fixture
def box(holdfast: Holdfast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    yield Box(holdfast, tmp_path)
    holdfast("stop", "vm", "--discard")


def test_without_a_vault_only_that_read_fails_and_the_finding_says_where(box: Box) -> None:
    path = box.damage()
    box.boot()
    said = box.await_said(lambda text: text.count(b"!") >= 4 and text.count(b".") >= 60)
    # Some of the 16 places, the same ones in every round.
    assert b"!" in said[-64:]
    (vm,) = box.holdfast("--json", "vms").json()["vms"]
    assert vm["state"] == "running"
    assert poll(lambda: any(one["hurts"] for one in box.findings()), PATIENCE_S)
    (finding,) = box.findings()
    assert (finding["severity"], finding["what"]) == ("critical", f"container {path.name}")
    (hurt,) = finding["hurts"]
    assert hurt["name"] == box.point
    read = {number * MIB + READS_FIRST_SECTOR * 512 for number in range(DISK_MIB)}
    for place in hurt["ranges"]:
        within = range(place["offset"], place["offset"] + place["length"])
        assert place["disk"] == 0
        assert any(at in within for at in read), place
    text = box.holdfast("status").out
    assert f"hurts {box.point}: " in text
    assert f"at disk0 {hurt['ranges'][0]['offset']}+" in text
    # A scrub takes the container away; the next backup reads everything and stores it anew.
    box.holdfast("scrub", "--all", expect=4)
    made = box.holdfast("--json", "backup", box.folder / "disk.raw", "--machine", "web1", expect=0)
    assert made.json()["read_bytes"] == DISK_MIB * MIB
    box.holdfast("scrub", "--all", expect=0)
    assert not [one for one in box.findings() if one["severity"] == "critical"]


def test_with_a_vault_every_read_is_answered_and_the_container_is_repaired(box: Box) -> None:
    box.holdfast("vault", "add", f"file://{box.folder / 'vault'}", expect=0)
    box.holdfast("vault", "sync", expect=0)
    path = box.damage()
    spoiled = path.read_bytes()
    box.boot()
    said = box.await_said(lambda text: text.count(b".") >= 100)
    assert b"!" not in said
    # In between it is away: in quarantine, and the sound one not yet in its place.
    assert poll(lambda: content_of(path) not in (b"", spoiled), PATIENCE_S)
    box.holdfast("verify", expect=0)
    # The sound one is in its place a moment before that is noted.
    assert poll(lambda: {one["severity"] for one in box.findings()} == {"notice"}, PATIENCE_S), (
        box.findings()
    )
    assert box.findings()[0]["repaired"]


def content_of(path: Path) -> bytes:
    """What is in a file, nothing of one that is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
