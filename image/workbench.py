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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

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
        status = _run_group(argv, given.encode(), sink)
    if status != 0:
        with log.open("rb") as said:
            said.seek(began)
            lines = said.read().decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit status {status}"
        raise HoldfastError(f"{argv[0]} failed: {last} (all it said: {log})")


def _run_group(argv: Sequence[str | Path], given: bytes, sink: IO[bytes]) -> int:
    """Run `argv`; when we are stopped meanwhile, everything it started is stopped too."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=sink, stderr=sink, process_group=0
    ) as process:
        try:
            process.communicate(given)
        except BaseException:
            # A survivor would keep the disk mounted: dpkg below debootstrap, for example.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode


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
    options = f"loop,offset={offset_bytes},nobarrier"
    run(["mount", "-t", "ext4", "-o", options, disk, target], log=log)
    try:
        yield target
    except BaseException:
        # Killed tools may still be dying in there; the disk is given up anyway.
        run(["umount", "--recursive", "--lazy", target], log=log)
        raise
    else:
        run(["umount", "--recursive", target], log=log)
    finally:
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
            run(["umount", "--lazy", path], log=log)


def run_privately(module: str, main: Callable[[list[str]], int]) -> NoReturn:
    """Run `main` of `python -m module` in a mount namespace of its own, and exit with its status.

    The program starts itself again, once, to get there; errors become one line, and SIGINT and
    SIGTERM unwind everything that is mounted.
    """
    if os.environ.get(_NAMESPACE_MARK) != "1" and os.geteuid() == 0:
        os.environ[_NAMESPACE_MARK] = "1"
        again = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *again])  # noqa: S606, S607 - fixed vector
    os.environ.pop(_NAMESPACE_MARK, None)
    signal.signal(signal.SIGTERM, _raise_cancelled)
    signal.signal(signal.SIGINT, _raise_cancelled)
    try:
        sys.exit(main(sys.argv[1:]))
    except Cancelled as error:
        say("cancelled; nothing half-made remains")
        sys.exit(128 + error.signal_number)
    except HoldfastError as error:
        say(f"error: {error}")
        sys.exit(1)


def _raise_cancelled(signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise Cancelled(signal_number)
