"""The guest's first process, from its ramdisk: modules, this machine's files, then the agent.

Owns the way from the kernel to `hwtests.agent`. It runs as `/init`, alone, so it imports nothing of
the project. What it is to do stands in `/plan.json`.
"""

import ctypes
import json
import os
from pathlib import Path

_SYS_FINIT_MODULE = 313  # x86-64
_MS_RDONLY = 1
_POWER_OFF = 0x4321FEDC  # reboot(2)
_LIBC = ctypes.CDLL(None, use_errno=True)
_HOST = "/host"


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount, or end with the reason."""
    if _LIBC.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def load_modules() -> None:
    """Load what the ramdisk brought, in its order."""
    for name in Path("/modules/order").read_text().split():
        with Path("/modules", name).open("rb") as module:
            if _LIBC.syscall(_SYS_FINIT_MODULE, module.fileno(), b"", 0) != 0:
                print(f"{name}: {os.strerror(ctypes.get_errno())}", flush=True)


def main() -> None:
    """Become the agent, in the files of the machine that runs QEMU."""
    for folder in ("/proc", "/sys", "/dev", _HOST):
        Path(folder).mkdir(exist_ok=True)
    mount("devtmpfs", "/dev", "devtmpfs")
    load_modules()
    plan = json.loads(Path("/plan.json").read_text())
    options = "trans=virtio,version=9p2000.L,msize=262144,cache=loose"
    mount("host", _HOST, "9p", _MS_RDONLY, options)
    for kind, target in (
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        *(("tmpfs", folder) for folder in ("/tmp", "/run", "/mnt", "/media", "/srv")),
    ):
        mount(kind, _HOST + target, kind)
    os.chroot(_HOST)
    os.chdir(plan["folder"])
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        print(f"FAILED {type(error).__name__}: {error}", flush=True)
        _LIBC.reboot(ctypes.c_uint(_POWER_OFF))
