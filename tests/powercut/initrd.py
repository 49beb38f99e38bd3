"""The guest's kernel and its initial ramdisk: a Debian kernel, and the files one program needs.

Owns: the download of the kernel's package (not installed, only unpacked) under `build/powercut/`,
the order of its modules, the archive. Never does: run a guest.
"""

from __future__ import annotations

import os
import py_compile
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import find_program, run

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "powercut"
# The kernel for virtual machines: small, and it has both targets of the device mapper.
_META_PACKAGE = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "xfs", "dm-log-writes", "dm-flakey")
_PYTHON_SUFFIX = ".py"


def provide_kernel() -> tuple[Path, Path]:
    """(kernel image, directory of its modules), downloaded by apt unless they are there.

    Raises HoldfastError when apt does not offer it.
    """
    unpacked = CACHE / "kernel"
    if not (unpacked / "boot").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        said = run(["apt-cache", "depends", _META_PACKAGE])
        found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", said)
        if found is None:
            raise HoldfastError(f"apt offers no {_META_PACKAGE}: apt-get update")
        apt = ["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "download", found[1]]
        run(apt, cwd=CACHE, timeout_s=300)
        (archive,) = CACHE.glob(f"{found[1]}_*.deb")
        fresh = CACHE / f"unpacking-{os.getpid()}"
        run(["dpkg-deb", "-x", str(archive), str(fresh)])
        fresh.rename(unpacked)
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    (modules,) = (unpacked / "lib/modules").iterdir()
    return kernel, modules


def order_modules(modules: Path, names: Sequence[str] = _MODULES) -> list[Path]:
    """The modules a guest loads, each after those it depends on."""
    known = {_plain(path.stem): path for path in modules.rglob("*.ko")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        path = known.get(_plain(name))
        if path is None or path in ordered:
            return  # built in, or there already
        needed = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for other in needed[1].decode().split(",") if needed else ():
            if other:
                add(other)
        ordered.append(path)

    for name in names:
        add(name)
    return ordered


def _plain(name: str) -> str:
    return name.replace("-", "_")


def list_libraries(program: str) -> list[str]:
    """The shared libraries of a program or a library."""
    return re.findall(r"(/\S+) \(0x", run(["ldd", program]))


def write_initrd(
    target: Path, files: Iterable[str], modules: Sequence[Path], marks: int, *, flakey: bool
) -> None:
    """Pack `files` under their own names, `modules` in order, and an init that calls `guest`."""
    python = os.path.realpath(sys.executable)
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    init = (
        f"#!{python} -IS\nimport sys\nsys.path[:0] = {paths!r}\n"
        f"from tests.powercut.guest import main\nmain({marks}, {flakey})\n"
    )
    dmsetup = find_program("dmsetup", "dmsetup")
    content = {"/init": init.encode(), "/modules/order": _list_names(modules)}
    content |= {f"/modules/{path.name}": path.read_bytes() for path in modules}
    content["/usr/sbin/dmsetup"] = Path(dmsetup).read_bytes()
    # Under the names by which they are looked for, which are links here.
    shared = {name for name in files if ".so" in Path(name).suffixes}
    libraries = {name for file in (dmsetup, python, *shared) for name in list_libraries(file)}
    for name in {*files, python} | libraries:
        content[name] = Path(name).read_bytes()
        if name.endswith(_PYTHON_SUFFIX):
            content |= _compile(Path(name))
    with target.open("wb") as file:
        file.write(pack_archive(content))


def _list_names(modules: Sequence[Path]) -> bytes:
    return "\n".join(path.name for path in modules).encode()


def _compile(source: Path) -> dict[str, bytes]:
    """The byte code beside its source, never compared with it: compiling takes the guest long."""
    place = CACHE / "code.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), cfile=str(place), invalidation_mode=mode, doraise=True)
    name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    return {str(source.parent / "__pycache__" / name): place.read_bytes()}


def pack_archive(content: dict[str, bytes]) -> bytes:
    """A cpio archive in the `newc` format (kernel: driver-api/early-userspace/buffer-format)."""
    directories = {str(parent) for name in content for parent in Path(name).parents} - {"/"}
    members = [(name, stat.S_IFDIR | 0o755, b"") for name in sorted(directories)]
    members += [(name, stat.S_IFREG | 0o755, data) for name, data in content.items()]
    members.append(("TRAILER!!!", 0, b""))
    return b"".join(_member(number, *member) for number, member in enumerate(members, start=1))


def _member(number: int, name: str, mode: int, data: bytes) -> bytes:
    path = name.lstrip("/").encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _pad(head) + _pad(data)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
