"""An initial ramdisk: the interpreter, some files under their own names, and modules.

Owns the archive's format and what an interpreter needs to start. Never runs a guest.
"""

from __future__ import annotations

import os
import py_compile
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.base.process import run
from tests.guest.kernel import CACHE

PYTHON = os.path.realpath(sys.executable)
_PYTHON_SUFFIX = ".py"


def list_libraries(program: str) -> list[str]:
    """The shared libraries of a program or a library."""
    return re.findall(r"(/\S+) \(0x", run(["ldd", program]))


def gather(files: Iterable[str], modules: Sequence[Path]) -> dict[str, bytes]:
    """Name -> content of `files`, of the interpreter, of what they link to, and of `modules`.

    Modules lie in `/modules`, and `/modules/order` has their names in the order of `modules`.
    """
    content = {f"/modules/{path.name}": path.read_bytes() for path in modules}
    content["/modules/order"] = "\n".join(path.name for path in modules).encode()
    # Under the names by which they are looked for, which are links here.
    wanted = {*files, PYTHON}
    linked = {name for name in wanted if name == PYTHON or _is_program(name)}
    libraries = {name for file in linked for name in list_libraries(file)}
    for name in wanted | libraries:
        content[name] = Path(name).read_bytes()
        if name.endswith(_PYTHON_SUFFIX):
            content |= _compile(Path(name))
    return content


def _is_program(name: str) -> bool:
    return ".so" in Path(name).suffixes or name.startswith(("/usr/sbin/", "/usr/bin/", "/sbin/"))


def _compile(source: Path) -> dict[str, bytes]:
    """The byte code beside its source, never compared with it: compiling takes the guest long."""
    CACHE.mkdir(parents=True, exist_ok=True)
    name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="code-") as folder:
        place = Path(folder, name)
        py_compile.compile(str(source), cfile=str(place), invalidation_mode=mode, doraise=True)
        return {str(source.parent / "__pycache__" / name): place.read_bytes()}


def pack(content: dict[str, bytes]) -> bytes:
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
