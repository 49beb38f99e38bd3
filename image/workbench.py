"""Running the tools that build disks, and the mounts they need.

Owns: subprocesses of `image`, offset mounts, chroots, the visible steps. Never leaves a mount:
the builder runs in a mount namespace of its own, so that even SIGKILL frees mounts and loop
devices; on ordinary failure and Ctrl-C they are unmounted here, innermost first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from appliance.base.errors import Cancelled, HoldfastError

_NAMESPACE_MARK = "HOLDFAST_PRIVATE_MOUNTS"
_STARTED_S = time.monotonic()
_CHROOT_ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)


def say(text: str) -> None:
    """Show a step, with the seconds since the program started, on standard error."""
    sys.stderr.write(f"[{time.monotonic() - _STARTED_S:6.1f} s] {text}\n")
    sys.stderr.flush()


def run(argv: Sequence[str | Path], *, log: Path, given: str = "") -> None:
    """Run `argv` with `given` as its input; what it says goes to the end of `log`.

    Raises HoldfastError with its last line if it fails.
    """
    with log.open("ab") as sink:
        began = sink.tell()
        done = subprocess.run(argv, input=given.encode(), stdout=sink, stderr=sink, check=False)
    if done.returncode != 0:
        with log.open("rb") as said:
            said.seek(began)
            lines = said.read().decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {done.returncode}"
        raise HoldfastError(f"{argv[0]} failed: {last} (all it said: {log})")


def run_in(root: Path, argv: Sequence[str], *, log: Path, given: str = "") -> None:
    """Run `argv` inside the system at `root`, seeing nothing of the host's environment."""
    run(["chroot", root, "/usr/bin/env", "-i", *_CHROOT_ENVIRONMENT, *argv], log=log, given=given)


@contextmanager
def mount_partition(disk: Path, offset_bytes: int, target: Path, *, log: Path) -> Iterator[Path]:
    """Mount the ext4 filesystem at `offset_bytes` of the raw file `disk` on `target`.

    Everything mounted below `target` meanwhile is unmounted with it. On return the file `disk`
    holds all that was written (in the page cache: nothing here is durable).
    """
    target.mkdir(parents=True, exist_ok=True)
    # The disk is thrown away if the build dies, so barriers would only cost time.
    options = f"loop,offset={offset_bytes},nobarrier,discard"
    run(["mount", "-t", "ext4", "-o", options, disk, target], log=log)
    try:
        yield target
    finally:
        run(["umount", "--recursive", target], log=log)
        target.rmdir()


@contextmanager
def mount_kernel_views(root: Path, *, log: Path) -> Iterator[None]:
    """Give the system at `root` /proc and /sys for as long as the block runs.

    Not the host's /dev: its nodes are one for all, and debootstrap made the few that matter.
    """
    mounted: list[Path] = []
    try:
        for kind, name in (("proc", "proc"), ("sysfs", "sys")):
            run(["mount", "-t", kind, kind, root / name], log=log)
            mounted.append(root / name)
        yield
    finally:
        for path in reversed(mounted):
            run(["umount", path], log=log)


def enter_private_mounts(module: str, arguments: Sequence[str]) -> None:
    """Start `python -m module arguments` again in its own mount namespace, once; needs root.

    On return this process is the one inside, and SIGTERM unwinds it like Ctrl-C.
    """
    if os.geteuid() != 0:
        raise HoldfastError("making a disk mounts filesystems: run it as root")
    if os.environ.get(_NAMESPACE_MARK) != "1":
        os.environ[_NAMESPACE_MARK] = "1"
        python = [sys.executable, "-m", module, *arguments]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *python])  # noqa: S606, S607 - fixed vector
    signal.signal(signal.SIGTERM, _raise_cancelled)
    signal.signal(signal.SIGINT, _raise_cancelled)


def _raise_cancelled(signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise Cancelled(signal_number)
