"""A second bootable disk, as unlike the demo's as can be: UEFI, GPT, kernel and ramdisk on the EFI
system partition behind systemd-boot, and the root on LVM.

Owns the disk, cached under `build/uefi-disk/`. The LVM is made in a guest: the host may have no
device mapper.

    /dev/vda1   64 MiB    FAT: systemd-boot, its entry, kernel, ramdisk
    /dev/vda2   the rest  LVM: volume group `office`, logical volume `root` with ext4
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from appliance.base.process import find_program, run
from image.disk_cache import DiskCache, hash_recipe
from tests.guest.kernel import CLOUD, LATE_CLOCKS, ROOT, provide_kernel
from tests.recovery import small_linux
from tests.recovery.small_linux import find_busybox, pack_linux, run_linux

CACHE = ROOT / "build" / "uefi-disk"
SIZE_BYTES = 256 << 20
HOSTNAME = "uefi1"
_ESP_START, _ESP_SECTORS = 2048, 64 << 11
_LVM_START = _ESP_START + _ESP_SECTORS
_ROOT_MIB = 96
_LVM = "/usr/sbin/lvm"
_BOOT_PACKAGE = "systemd-boot-efi"
_BUILD_TIMEOUT_S = 240
_LVM_QUIET = "--config 'devices{use_devicesfile=0} global{locking_dir=\"/run\"}' -qq"

_MAKE_LVM = f"""
lvm pvcreate {_LVM_QUIET} -ff -y /dev/vda2
lvm vgcreate {_LVM_QUIET} office /dev/vda2
lvm lvcreate {_LVM_QUIET} -y -Zn -Wn --noudevsync -L {_ROOT_MIB}M -n root office
lvm vgchange {_LVM_QUIET} --noudevsync --sysinit -ay office; lvm vgmknodes {_LVM_QUIET}
dd if=/dev/vdb of=/dev/mapper/office-root bs=1M && sync && echo LVM MADE
lvm vgchange {_LVM_QUIET} --noudevsync -an office
poweroff -f
"""

_START = f"""
for turn in $(seq 100); do test -e /dev/vda2 && break; sleep 0.1; done
lvm vgchange {_LVM_QUIET} --noudevsync --sysinit -ay office; lvm vgmknodes {_LVM_QUIET}
mount -t ext4 /dev/mapper/office-root /mnt && mount -t devtmpfs dev /mnt/dev
exec switch_root /mnt /sbin/init
echo "the root was not found"; poweroff -f
"""

_INITTAB = """\
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/mount -o remount,rw /
::sysinit:/bin/hostname uefi1
ttyS0::respawn:/bin/getty -L ttyS0 115200 vt100
::ctrlaltdel:/bin/poweroff
"""


def provide_uefi_disk() -> Path:
    """The disk. Read it, never write it. Raises HoldfastError when a tool is missing or fails."""
    recipe = hash_recipe([small_linux, sys.modules[__name__]])
    return DiskCache(CACHE, recipe).provide("uefi", lambda disk, _: _build(disk))


def _build(disk: Path) -> None:
    place = disk.parent.parent / "parts"
    place.mkdir(exist_ok=True)
    with disk.open("wb") as file:
        file.truncate(SIZE_BYTES)
    table = place / "table"
    table.write_text(
        f"label: gpt\nstart={_ESP_START}, size={_ESP_SECTORS}, type=U\nstart={_LVM_START}, type=V\n"
    )
    with table.open() as given:
        _partition(disk, given.read())
    _put(disk, _make_esp(place), _ESP_START)
    root = _make_root(place)
    console = run_linux(
        place,
        pack_linux(_MAKE_LVM, [_LVM]),
        [disk, root],
        network=False,
        timeout_s=_BUILD_TIMEOUT_S,
    )
    assert "LVM MADE" in console, console[-3000:]


def _partition(disk: Path, table: str) -> None:
    from image.workbench import run as run_given

    run_given(["sfdisk", "--quiet", disk], log=CACHE / "build.log", given=table)


def _put(disk: Path, part: Path, sector: int) -> None:
    words = [f"if={part}", f"of={disk}", "bs=1M", f"seek={sector // 2048}", "conv=notrunc,sparse"]
    run([find_program("dd", "coreutils"), *words])


def _make_esp(place: Path) -> Path:
    kernel, _ = provide_kernel(CLOUD)
    initrd, entry, loader = place / "initrd.img", place / "entry.conf", place / "loader.conf"
    initrd.write_bytes(pack_linux(_START, [_LVM]))
    options = f"console=ttyS0 quiet random.trust_cpu=on {LATE_CLOCKS} rdinit=/init"
    entry.write_text(f"title {HOSTNAME}\nlinux /vmlinuz\ninitrd /initrd.img\noptions {options}\n")
    loader.write_text("timeout 0\ndefault entry.conf\n")
    esp = place / "esp.img"
    esp.unlink(missing_ok=True)
    with esp.open("wb") as file:
        file.truncate(_ESP_SECTORS * 512)
    run([find_program("mformat", "mtools"), "-i", str(esp), "-F", "::"])
    folders = ["EFI", "EFI/BOOT", "loader", "loader/entries"]
    run([find_program("mmd", "mtools"), "-i", str(esp), *(f"::{name}" for name in folders)])
    for source, name in (
        (_provide_loader(), "EFI/BOOT/BOOTX64.EFI"),
        (entry, "loader/entries/entry.conf"),
        (loader, "loader/loader.conf"),
        (kernel, "vmlinuz"),
        (initrd, "initrd.img"),
    ):
        run([find_program("mcopy", "mtools"), "-i", str(esp), str(source), f"::{name}"])
    return esp


def _provide_loader() -> Path:
    unpacked = CACHE / "loader"
    if not unpacked.is_dir():
        apt = ["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "download", _BOOT_PACKAGE]
        run(apt, cwd=CACHE, timeout_s=300)
        (archive,) = CACHE.glob(f"{_BOOT_PACKAGE}_*.deb")
        run(["dpkg-deb", "-x", str(archive), str(unpacked)])
    return unpacked / "usr/lib/systemd/boot/efi/systemd-bootx64.efi"


def _make_root(place: Path) -> Path:
    """An ext4 with busybox as its init, and a login on the serial line."""
    tree, image = place / "root", place / "root.img"
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "root", "tmp", "run"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    busybox = tree / "bin/busybox"
    busybox.write_bytes(find_busybox().read_bytes())
    busybox.chmod(0o755)
    applets = run([str(find_busybox()), "--list"]).split()
    for name in applets:
        link = tree / "bin" / name
        if name != "busybox" and not link.is_symlink():
            link.symlink_to("busybox")
    if not (tree / "sbin/init").is_symlink():
        (tree / "sbin/init").symlink_to("../bin/busybox")
    (tree / "etc/inittab").write_text(_INITTAB)
    (tree / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    image.unlink(missing_ok=True)
    argv = ["mkfs.ext4", "-q", "-F", "-O", "^metadata_csum_seed,^orphan_file", "-d", str(tree)]
    run([*argv, str(image), f"{_ROOT_MIB - 8}M"])
    return image


def is_login(text: str) -> bool:
    """Whether the console of this machine asks for a login."""
    return re.search(rf"{HOSTNAME} login:", text) is not None
