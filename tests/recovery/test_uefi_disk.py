"""A machine that boots by UEFI from GPT, with its root on LVM, and the judgement over disks."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from appliance.recovery.boot_disk import Needs, judge_disk
from tests.command import Holdfast
from tests.recovery.uefi_disk import is_login, provide_uefi_disk

ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
RESERVED = UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")


@pytest.fixture
def opened(holdfast: Holdfast, tmp_path: Path) -> Iterator[Holdfast]:
    """A box that has nothing but a vault and its recovery key; the one that filled it is gone."""
    key, url = tmp_path / "recovery.txt", f"file://{tmp_path / 'vault'}"
    holdfast("init", "--recovery-out", key, expect=0)
    holdfast("backup", provide_uefi_disk(), "--machine", "uefi1", expect=0)
    holdfast("vault", "add", url, expect=0)
    holdfast("vault", "sync", expect=0)
    shutil.rmtree(holdfast.state)
    other = Holdfast(tmp_path / "other")
    other("vault", "open", url, "--recovery-key", key, expect=0)
    yield other
    other.close()


def test_a_disk_with_uefi_and_lvm_boots_as_its_partitions_say_from_a_vault_alone(
    opened: Holdfast,
) -> None:
    words = ("boot", "uefi1@latest", "--name", "vm", "--memory", "512", "--timeout", "280")
    try:
        vm = opened("--json", *words, expect=0, timeout_s=300).json()
        assert (vm["firmware"], vm["bus"]) == ("uefi", "virtio")
        assert is_login(Path(vm["serial_log"]).read_text(errors="replace"))
    finally:
        opened("stop", "vm", "--discard")
    found = (opened.state / "store" / "containers").rglob("*")
    assert not [path for path in found if path.is_file()], "ranges came, no containers"


def gpt(*kinds: UUID, attributes: int = 0) -> bytes:
    header = b"EFI PART".ljust(72, b"\0") + struct.pack("<QII", 2, 128, 128)
    entries = b"".join(
        kind.bytes_le + bytes(32) + struct.pack("<Q", attributes) + bytes(72) for kind in kinds
    )
    return bytes(512) + header.ljust(512, b"\0") + entries.ljust(128 * 128, b"\0")


def mbr(kind: int, flag: int = 0x80) -> bytes:
    entry = bytes([flag, 0, 0, 0, kind]).ljust(16, b"\0")
    return (bytes(446) + entry).ljust(510, b"\0") + b"\x55\xaa" + bytes(512)


@pytest.mark.parametrize(
    ("disk", "firmware", "bus"),
    [
        (b"", "bios", "virtio"),
        (bytes(4096), "bios", "virtio"),
        (gpt(ESP, LINUX), "uefi", "virtio"),
        (gpt(ESP, RESERVED, LINUX), "uefi", "sata"),
        (gpt(ESP, BIOS_BOOT, LINUX), "bios", "virtio"),
        (gpt(ESP, LINUX, attributes=4), "bios", "virtio"),
        (gpt(LINUX), "bios", "virtio"),
        (mbr(0x83), "bios", "virtio"),
        (mbr(0x07), "bios", "sata"),
        (mbr(0xEF, flag=0), "uefi", "virtio"),
        (gpt(ESP)[:1536], "bios", "virtio"),
        (gpt(ESP).replace(struct.pack("<QII", 2, 128, 128), b"\xff" * 16), "bios", "virtio"),
    ],
)
def test_a_disk_says_what_it_needs(disk: bytes, firmware: str, bus: str) -> None:
    def read(offset: int, length: int) -> bytes:
        assert offset + length <= len(disk)
        return disk[offset : offset + length]

    needs = judge_disk(read, len(disk))
    assert needs == Needs(firmware, bus)  # type: ignore[arg-type]
