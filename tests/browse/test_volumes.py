"""Disks with several filesystems: which is the root, and where the others are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.browse.lvm import parse_text
from appliance.browse.tree import VolumeInfo, choose_root
from tests.browse.disks import open_images
from tests.browse.images import MIB, make_image, mounted
from tests.browse.lvm_disks import SEEDS, make_pattern, provide_lvm_disks
from tests.browse.test_windows_filesystems import content_of

MBR = """label: dos
start=1MiB, size=16MiB, type=c
start=17MiB, size=100MiB, type=5
start=18MiB, size=32MiB, type=83
start=60MiB, size=32MiB, type=83
start=118MiB, size=16MiB, type=82
"""
GPT = """label: gpt
start=1MiB, size=16MiB, type=uefi
start=18MiB, size=32MiB, type=linux
start=60MiB, size=32MiB, type=linux
start=118MiB, size=16MiB, type=swap
"""


def make_disk(folder: Path, layout: str) -> Path:
    """A disk with a FAT, a filesystem of data, one of a system, and a swap area."""
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(140 * MIB)
    subprocess.run(
        ["sfdisk", "--quiet", disk], input=layout, text=True, check=True, capture_output=True
    )
    data = make_image(folder / "data", 32, "mkfs.ext4", "-q", "-F", "-L", "data")
    with mounted(data, folder / "mnt") as root:
        (root / "report").write_bytes(b"of the data disk")
    system = make_image(folder / "system", 32, "mkfs.ext4", "-q", "-F")
    with mounted(system, folder / "mnt") as root:
        (root / "etc").mkdir()
        (root / "etc" / "fstab").write_bytes(b"none\n")
        (root / "etc" / "mtab").symlink_to("../../../etc/fstab")
        (root / "absolute").symlink_to("/etc/fstab")
    esp = make_image(folder / "esp", 16, "mkfs.vfat", "-n", "ESP")
    swap = make_image(folder / "swap", 16, "mkswap", "--quiet")
    with disk.open("r+b") as file:
        for part, start_mib in ((esp, 1), (data, 18), (system, 60), (swap, 118)):
            file.seek(start_mib * MIB)
            file.write(part.read_bytes())
    return disk


@pytest.mark.parametrize(
    ("layout", "names"),
    [(MBR, ("disk0p1", "disk0p5", "disk0p6")), (GPT, ("disk0p1", "disk0p2", "disk0p3"))],
    ids=("MBR with logical partitions", "GPT"),
)
def test_the_root_is_found_and_the_others_are_beside_it(
    layout: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    with open_images(make_disk(tmp_path, layout)) as tree:
        esp, data, system = names
        assert tree.root is not None
        assert tree.root.name == system
        assert [(other.name, other.label) for other in tree.others()] == [
            (esp, "ESP"),
            (data, "data"),
        ]
        assert content_of(tree, tree.find("/etc/mtab")[1]) == b"none\n"
        assert content_of(tree, tree.find("/absolute")[1]) == b"none\n"
        assert content_of(tree, tree.find(f"/@{data}/report")[1]) == b"of the data disk"
        assert tree.find(f"/@{data}/report")[0] == f"/@{data}/report"
        assert content_of(tree, tree.find(f"/@{system}/etc/fstab")[1]) == b"none\n"
        with pytest.raises(HoldfastError, match="there is no /@disk7"):
            tree.find("/@disk7/x")


def test_the_backup_of_a_gpt_serves_when_the_first_is_damaged(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, GPT)
    with disk.open("r+b") as file:
        file.seek(512 + 60)
        file.write(b"garbage" * 20)
    with open_images(disk) as tree:
        assert tree.root is not None
        assert tree.root.name == "disk0p3"


@pytest.fixture(scope="module")
def lvm() -> tuple[Path, Path]:
    return provide_lvm_disks()


def test_volumes_of_lvm_are_filesystems_of_their_own(lvm: tuple[Path, Path]) -> None:
    with open_images(*lvm) as tree:
        assert tree.root is not None
        assert tree.root.name == "disk0-system-vg-root"
        assert tree.remarks == []
        others = [other.name for other in tree.others()]
        assert others[:2] == ["disk0p1", "disk0p2"]
        assert sorted(others[2:]) == ["disk0-system-vg-mirrored", "disk0-system-vg-striped"]
        assert content_of(tree, tree.find("/@disk0p2/vmlinuz")[1]) == b"kernel\n"
        assert tree.find("/@disk0p1/EFI")[1].node is not None
        paths = {"root": "/pattern"}
        for name in ("striped", "mirrored"):
            paths[name] = f"/@disk0-system-vg-{name}/pattern"
        for name, path in paths.items():
            assert content_of(tree, tree.find(path)[1]) == make_pattern(SEEDS[name]), name


def test_a_missing_disk_of_a_group_is_named(lvm: tuple[Path, Path]) -> None:
    with open_images(lvm[0]) as tree:
        assert any("a disk of volume group system-vg is missing" in why for why in tree.remarks)
        assert content_of(tree, tree.find("/@disk0p2/vmlinuz")[1]) == b"kernel\n"


@pytest.mark.parametrize(
    ("at", "magic", "kind"),
    [
        (0, b"LUKS\xba\xbe\0\2", "LUKS, encrypted"),
        (3, b"-FVE-FS-", "BitLocker, encrypted"),
        (0x10040, b"_BHRfS_M", "btrfs"),
        (0, b"\0\0\0ReFS\0\0\0\0", "ReFS"),
        (4096, b"\xfc\x4e\x2b\xa9", "md array"),
        (32, b"NXSB", "APFS"),
    ],
)
def test_what_is_not_read_is_named_with_the_way_to_its_files(
    tmp_path: Path, at: int, magic: bytes, kind: str
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes((bytes(at) + magic).ljust(MIB, b"\0"))
    with open_images(disk) as tree, pytest.raises(HoldfastError, match="holdfast boot") as error:
        tree.find("/")
    assert f"disk0: {kind}" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_root_is_what_looks_most_like_one() -> None:
    def volume(number: int, score: int, size: int, *, is_open: bool = True) -> VolumeInfo:
        return VolumeInfo(number, f"disk0p{number}", "ext4", "", size, score, is_open)

    assert choose_root([]) is None
    assert choose_root([volume(1, 0, 9, is_open=False)]) is None
    assert choose_root([volume(1, 0, 9), volume(2, 12, 1), volume(3, 3, 99)]) == volume(2, 12, 1)
    assert choose_root([volume(1, 0, 9), volume(2, 0, 10)]) == volume(2, 0, 10)


def test_the_text_of_lvm_is_read_and_garbage_is_refused() -> None:
    text = 'vg { id = "a-b"\n# remark\nseqno = 3\nstatus = ["READ", "WRITE"]\npv { n = [] } }'
    assert parse_text(text) == {
        "vg": {"id": "a-b", "seqno": 3, "status": ["READ", "WRITE"], "pv": {"n": []}}
    }
    for garbage in ("a", "a =", "a { b", "\x00", "a { " * 100):
        try:
            found = parse_text(garbage)
        except HoldfastError:
            continue
        assert isinstance(found, dict)
