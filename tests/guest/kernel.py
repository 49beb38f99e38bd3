"""A Debian kernel for guests, and its modules in the order in which they load.

Owns the download of a kernel's package (not installed, only unpacked) under `build/guest/`. Never
runs a guest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import run

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "guest"
CLOUD = "linux-image-cloud-amd64"
"""For virtual machines: small, and it has the targets of the device mapper."""
FULL = "linux-image-amd64"
"""With AHCI, NVMe, SES, 9P, IPMI, watchdogs."""

LATE_CLOCKS = "no_timer_check tsc=reliable"
"""Where the host is busy the guest's clocks look broken; they are not, they are late."""
COMMAND_LINE = f"console=ttyS0 quiet panic=-1 random.trust_cpu=on {LATE_CLOCKS} rdinit=/init"


def provide_kernel(meta_package: str) -> tuple[Path, Path]:
    """(kernel image, directory of its modules), downloaded by apt unless they are there.

    Raises HoldfastError when apt does not offer it.
    """
    unpacked = CACHE / meta_package
    if not (unpacked / "boot").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        said = run(["apt-cache", "depends", meta_package])
        found = re.search(r"Depends: (linux-image-\d\S+-amd64)", said)
        if found is None:
            raise HoldfastError(f"apt offers no {meta_package}: apt-get update")
        apt = ["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "download", found[1]]
        run(apt, cwd=CACHE, timeout_s=600)
        (archive,) = CACHE.glob(f"{found[1]}_*.deb")
        fresh = CACHE / f"unpacking-{os.getpid()}"
        run(["dpkg-deb", "-x", str(archive), str(fresh)], timeout_s=300)
        archive.unlink()
        fresh.rename(unpacked)
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    (modules,) = (unpacked / "lib/modules").iterdir()
    return kernel, modules


def order_modules(modules: Path, names: Iterable[str]) -> list[Path]:
    """The modules `names`, each after those it depends on; what is built in is left out."""
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
