"""A Linux of one archive: Debian's kernel, busybox, and the programs a scene needs.

Owns the archive and the run of such a guest from outside, by QEMU's direct kernel boot. Never does:
anything with Holdfast; the scenes do.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import find_program
from tests.guest.archive import list_libraries, pack
from tests.guest.kernel import CLOUD, COMMAND_LINE, order_modules, provide_kernel

MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "dm_mod", "crc32c_generic", "ext4", "nbd")
_APPLETS = (
    *("sh", "mount", "umount", "insmod", "cat", "echo", "sleep", "dd", "ifconfig", "ls", "mkdir"),
    *("switch_root", "poweroff", "sync", "mdev", "seq", "test", "ln", "getty", "init", "login"),
)


def find_busybox() -> Path:
    """A busybox that needs no libraries."""
    busybox = Path(find_program("busybox", "busybox-static"))
    if list_libraries_or_none(busybox):
        raise HoldfastError("busybox needs libraries: apt-get install busybox-static")
    return busybox


def list_libraries_or_none(program: Path) -> list[str]:
    """Libraries of a program; none of a static one, of which ldd says that it fails."""
    try:
        return list_libraries(str(program))
    except HoldfastError:
        return []


def pack_linux(script: str, programs: Sequence[str] = (), more: Mapping[str, bytes] = {}) -> bytes:
    """An initial ramdisk whose init is `script`, run by busybox with all modules loaded."""
    _, folder = provide_kernel(CLOUD)
    modules = order_modules(folder, MODULES)
    content = {f"/modules/{path.name}": path.read_bytes() for path in modules}
    content["/bin/busybox"] = find_busybox().read_bytes()
    for program in programs:
        content[program] = Path(os.path.realpath(program)).read_bytes()
        content |= {name: Path(name).read_bytes() for name in list_libraries(program)}
    content |= dict(more)
    loads = "".join(f"insmod /modules/{path.name}\n" for path in modules)
    init = (
        "#!/bin/busybox sh\n"
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"for applet in {' '.join(_APPLETS)}; do /bin/busybox ln -s busybox /bin/$applet; done\n"
        "mkdir -p /proc /sys /dev /run /tmp /mnt\n"
        "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n"
        f"{loads}{script}\n"
    )
    content["/init"] = init.encode()
    return pack(content)


def run_linux(
    place: Path, archive: bytes, drives: Sequence[Path], *, network: bool, timeout_s: float
) -> str:
    """Run such a guest until it switches itself off; gives its console."""
    kernel, _ = provide_kernel(CLOUD)
    initrd, console = place / "initrd", place / "console.txt"
    initrd.write_bytes(archive)
    argv = [find_program("qemu-system-x86_64", "qemu-system-x86"), "-nodefaults"]
    argv += ["-no-user-config", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max"]
    argv += ["-smp", "2", "-m", "512M", "-display", "none", "-no-reboot"]
    argv += ["-kernel", str(kernel), "-initrd", str(initrd)]
    argv += ["-append", COMMAND_LINE]
    argv += ["-serial", f"file:{console}"]
    for drive in drives:
        argv += ["-drive", f"file={drive},format=raw,if=virtio,cache=unsafe"]
    if network:
        argv += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
    try:
        subprocess.run(argv, check=True, timeout=timeout_s, capture_output=True)
    except subprocess.SubprocessError as error:
        said = console.read_text(errors="replace")[-4000:] if console.exists() else ""
        raise AssertionError(f"{error}\n{said}") from error
    return console.read_text(errors="replace")
