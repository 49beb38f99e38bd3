"""Two disks with LVM, made by its own tools in a guest: the host has no device mapper.

Owns the guest's script and the cache of the disks in `build/browse`. Disk 0 has a GPT with an ESP,
a boot filesystem and a physical volume; disk 1 is a physical volume as a whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from appliance.base.process import find_program
from tests.browse.images import MIB, run
from tests.guest.archive import list_libraries, pack
from tests.guest.kernel import CLOUD, COMMAND_LINE, ROOT, order_modules, provide_kernel

CACHE = ROOT / "build" / "browse"
_INIT = Path(__file__).with_name("guest_init.c")
_MODULES = (
    *("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "xfs"),
    *("dm-mod", "dm-raid", "raid1"),
)
_LAYOUT = """label: gpt
start=1MiB, size=16MiB, type=uefi
start=17MiB, size=32MiB, type=linux
start=49MiB, size=500MiB, type=lvm
"""
PATTERN_BYTES = 3 * MIB + 5
SEEDS = {"root": 1, "striped": 2, "mirrored": 3}
_CONFIGURATION = """devices { use_devicesfile = 0 }
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
backup { backup = 0 archive = 0 }
"""
_SCRIPT = """/usr/sbin/lvm pvcreate /dev/vda3 /dev/vdb
/usr/sbin/lvm vgcreate -s 1m system-vg /dev/vda3 /dev/vdb
/usr/sbin/lvm lvcreate -y -Zn -Wn -n root -L 40m system-vg /dev/vda3
/usr/sbin/lvm lvcreate -y -Zn -Wn -n striped -i 2 -I 64k -L 40m system-vg
/usr/sbin/lvm lvcreate -y -Zn -Wn -n mirrored --type raid1 -m 1 -L 320m system-vg
/usr/sbin/lvm lvextend -L +20m system-vg/root /dev/vdb
/usr/sbin/mkfs.ext4 -q /dev/vda2
/usr/sbin/mkfs.ext4 -q /dev/mapper/system--vg-root
/usr/sbin/mkfs.ext4 -q -b 1024 /dev/mapper/system--vg-striped
/usr/sbin/mkfs.xfs -q /dev/mapper/system--vg-mirrored
mount /dev/vda2 /boot ext4
text /boot/vmlinuz kernel
unmount /boot
mount /dev/mapper/system--vg-root /system ext4
directory /system/etc
text /system/etc/fstab /dev/system-vg/root / ext4
pattern /system/pattern {bytes} 1
unmount /system
mount /dev/mapper/system--vg-striped /striped ext4
pattern /striped/pattern {bytes} 2
unmount /striped
mount /dev/mapper/system--vg-mirrored /mirrored xfs
pattern /mirrored/pattern {bytes} 3
unmount /mirrored
/usr/sbin/lvm vgchange -an system-vg
"""


def make_pattern(seed: int) -> bytes:
    """What the guest's `pattern` writes."""
    data = bytearray(PATTERN_BYTES)
    for at in range(PATTERN_BYTES):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        data[at] = seed >> 24
    return bytes(data)


def provide_lvm_disks(timeout_s: float = 400.0) -> tuple[Path, Path]:
    """The two disks, from the cache where they were made from the same sources."""
    sources = Path(__file__).read_bytes() + _INIT.read_bytes()
    place = CACHE / f"lvm-{hashlib.sha256(sources).hexdigest()[:16]}"
    if not place.is_dir():
        fresh = CACHE / f"making-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _make(fresh, timeout_s)
        fresh.rename(place)
    return place / "disk0.raw", place / "disk1.raw"


def _make(place: Path, timeout_s: float) -> None:
    first, second = place / "disk0.raw", place / "disk1.raw"
    for disk, size_mib in ((first, 550), (second, 500)):
        with disk.open("wb") as file:
            file.truncate(size_mib * MIB)
    subprocess.run(
        ["sfdisk", "--quiet", first], input=_LAYOUT, text=True, check=True, capture_output=True
    )
    esp = place / "esp"
    with esp.open("wb") as file:
        file.truncate(16 * MIB)
    run("mkfs.vfat", "-n", "ESP", esp)
    run("mmd", "-i", esp, "::/EFI")
    with first.open("r+b") as file:
        file.seek(MIB)
        file.write(esp.read_bytes())
    esp.unlink()
    kernel, modules = provide_kernel(CLOUD)
    initrd = place / "initrd"
    initrd.write_bytes(_pack(place, order_modules(modules, _MODULES)))
    console = _run_guest(kernel, initrd, [first, second], timeout_s)
    assert "\nDONE" in console.replace("\r", ""), console[-4000:]
    initrd.unlink()


def _pack(place: Path, modules: list[Path]) -> bytes:
    init = place / "init"
    run("gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", init, _INIT)
    loads = "".join(f"load {path.name}\n" for path in modules)
    content = {
        "/init": init.read_bytes(),
        "/script": (loads + _SCRIPT.format(bytes=PATTERN_BYTES)).encode(),
        "/etc/lvm/lvm.conf": _CONFIGURATION.encode(),
        "/etc/mke2fs.conf": Path("/etc/mke2fs.conf").read_bytes(),
    }
    init.unlink()
    content |= {f"/modules/{path.name}": path.read_bytes() for path in modules}
    packages = {"lvm": "lvm2", "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs"}
    for name, package in packages.items():
        program = find_program(name, package)
        content[f"/usr/sbin/{name}"] = Path(program).read_bytes()
        content |= {library: Path(library).read_bytes() for library in list_libraries(program)}
    return pack(content)


def _run_guest(kernel: Path, initrd: Path, disks: list[Path], timeout_s: float) -> str:
    argv = [
        *("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-m", "512", "-display", "none"),
        *("-nodefaults", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", COMMAND_LINE),
    ]
    for disk in disks:
        argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
    )
    return done.stdout.decode(errors="replace")
