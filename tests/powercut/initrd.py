"""The guest's initial ramdisk: the files its steps need, and an init that takes them.

Owns what is special to power cuts; the kernel and the archive are those of `tests.guest`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.base.process import find_program
from tests.guest.archive import PYTHON, gather, pack
from tests.guest.kernel import ROOT

MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "xfs", "dm-log-writes", "dm-flakey")
_DMSETUP = "/usr/sbin/dmsetup"


def write_initrd(
    target: Path, files: Iterable[str], modules: Sequence[Path], marks: int, *, flakey: bool
) -> None:
    """Pack `files` under their own names, `modules` in order, and an init that calls `guest`."""
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    init = (
        f"#!{PYTHON} -IS\nimport sys\nsys.path[:0] = {paths!r}\n"
        f"from tests.powercut.guest import main\nmain({marks}, {flakey})\n"
    )
    dmsetup = find_program("dmsetup", "dmsetup")
    content = gather([*files, dmsetup], modules)
    content |= {"/init": init.encode(), _DMSETUP: content[dmsetup]}
    target.write_bytes(pack(content))
