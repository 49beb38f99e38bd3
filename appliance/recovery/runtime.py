"""Where running things are noted below STATE, and how a process is named so that it stays named.

Owns the paths, the notes (small JSON files) and the identity of processes. Nothing here is needed
to restore: everything may be deleted when nothing runs.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from appliance.base import durable
from appliance.base.clock import Clock, SystemClock, boot_id
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.progress import Progress

_NOTE_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Runtime:
    """The paths of running things under a state directory, all absolute."""

    state: Path

    def __post_init__(self) -> None:
        # Programs are started with other working directories, and mounts are compared by path.
        object.__setattr__(self, "state", self.state.resolve())

    @property
    def run(self) -> Path:
        """Notes and locks that mean nothing when nothing runs."""
        return self.state / "run"

    @property
    def mounts(self) -> Path:
        """One note per mount."""
        return self.run / "mounts"

    @property
    def mount_log(self) -> Path:
        """What mount processes in the background say."""
        return self.run / "mount.log"

    @property
    def vm_locks(self) -> Path:
        """One lock file per VM name."""
        return self.run / "vm-locks"

    @property
    def vms(self) -> Path:
        """One folder per VM: its note, its overlays, its sockets."""
        return self.state / "vms"

    @property
    def presets(self) -> Path:
        """One file per machine: the hardware its VMs get unless told otherwise."""
        return self.state / "presets"

    @property
    def accelerator(self) -> Path:
        """What was found out about QEMU's accelerators."""
        return self.state / "accelerator.json"


@dataclass(frozen=True)
class ProcessId:
    """A process for ever: pids are used again, and the wall clock may jump, so ticks name it.

    `started_ticks` is field 22 of /proc/PID/stat (proc(5)): clock ticks since the boot `boot`.
    """

    pid: int
    started_ticks: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now, or None if there is none (or only its zombie).

        While it ends its first thread may be a zombie before others have closed what all hold open.
        """
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The name of the program stands in brackets and may itself hold brackets and spaces.
        fields = stat[stat.rindex(b")") + 2 :].split()
        state, threads, started_ticks = fields[0], int(fields[17]), int(fields[19])
        if state in (b"Z", b"X") and threads <= 1:
            return None
        return cls(pid, started_ticks, boot_id())

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ProcessId:
        """The process that `to_json` described. Raises KeyError, TypeError or ValueError."""
        return cls(int(value["pid"]), int(value["process_started"]), str(value["boot"]))

    def to_json(self) -> dict[str, Any]:
        """Members for a note."""
        return {"pid": self.pid, "process_started": self.started_ticks, "boot": self.boot}

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return ProcessId.of(self.pid) == self

    def send(self, signal_number: signal.Signals) -> None:
        """Signal it; one that has ended is fine."""
        if self.is_alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return


class Child(Protocol):
    """A process that `base.process.spawn` started."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""

    def wait(self) -> int:
        """Wait for its end."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


def find_process(folder: Path, pid_file: str) -> ProcessId | None:
    """The process that works in `folder` and wrote its number to `pid_file` there, or None."""
    try:
        identity = ProcessId.of(int((folder / pid_file).read_text()))
        if identity is None or Path(f"/proc/{identity.pid}/cwd").resolve() != folder.resolve():
            return None
    except (OSError, ValueError):
        return None
    return identity


def disown(process: Child) -> ProcessId | None:
    """Let `process` outlive us, reaped if it ends before; None if it has ended already."""
    identity = ProcessId.of(process.pid)
    threading.Thread(target=process.wait, daemon=True).start()
    return identity


def poll(
    condition: Callable[[], bool],
    timeout_s: float,
    *,
    interval_s: float = 0.02,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> bool:
    """Ask `condition` until it holds (True) or `timeout_s` is over (False).

    Raises Cancelled when `progress` was asked to stop.
    """
    clock = clock or SystemClock()
    deadline_s = clock.monotonic_s() + timeout_s
    while not condition():
        if progress is not None:
            progress.check()
        if clock.monotonic_s() >= deadline_s:
            return False
        clock.sleep_s(interval_s)
    return True


def read_note(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises NotFoundError, or IntegrityError if it is none."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_NOTE_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{path} does not exist") from error
    except (ValueError, RecursionError, OSError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{path} cannot be read: not a JSON object")
    return value


def write_note(path: Path, value: dict[str, Any]) -> None:
    """Make `path` hold `value`, readable by its owner only, durably on return."""
    durable.write_file(path, json.dumps(value, indent=1, ensure_ascii=False).encode())


def last_line(log: Path, offset: int = 0) -> str:
    """The last line with text in `log` behind `offset` bytes, or an empty text."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
