"""The folder that a job and its worker share while it runs, below STATE/run/jobs.

    worker    locked while the worker lives, however the daemon fares; holds its pid
    progress  a pipe with a name: JSON lines about where it stands, dropped when nobody reads
    log       what the worker says on standard error
    outcome   how it ended: written durably as its last act, all at once

A daemon that starts again finds here what became of workers that it did not see end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base import durable, locks

_LOG_READ_BYTES = 1 << 20
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (.*)", re.DOTALL)


@dataclass(frozen=True)
class LogLine:
    """A line of a log. `place` is where it ends, in bytes: what a reader goes on behind."""

    place: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """With the time apart, where the line has one."""
        found = _TIME.fullmatch(self.text)
        at, text = (found[1], found[2]) if found else (None, self.text)
        return {"id": self.place, "at": at, "text": text}


@dataclass(frozen=True)
class Outcome:
    """How a worker ended. `result` is JSON text, `shown` what people are shown.

    `error_code` is that of the error tree; None where a worker of before left it.
    """

    exit_code: int
    error: str | None = None
    result: str | None = None
    shown: str = ""
    error_code: str | None = None


class Workroom:
    """One such folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lock(self) -> Path:
        """Held by the worker; holds its pid."""
        return self.path / "worker"

    @property
    def progress(self) -> Path:
        """The pipe."""
        return self.path / "progress"

    @property
    def log_file(self) -> Path:
        """What the worker says."""
        return self.path / "log"

    def prepare(self) -> int:
        """Make it, empty; gives the lock, held, for the worker to inherit."""
        self.remove()
        durable.make_directory(self.path)
        with durable.named_os_errors(self.path):
            os.mkfifo(self.progress, 0o600)
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            locks.lock_descriptor(descriptor)
        return descriptor

    def is_taken(self) -> bool:
        """Whether a worker lives, or is being started."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not locks.try_lock_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def worker_pid(self) -> int | None:
        """The pid that the worker wrote as its first act, if it came so far."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.lock.read_text())
        return None

    def write_outcome(self, outcome: Outcome) -> None:
        """Durable on return."""
        durable.write_file(self.path / "outcome", json.dumps(vars(outcome)).encode())

    def read_outcome(self) -> Outcome | None:
        """What the worker left; None if it did not come to an end."""
        try:
            value = json.loads((self.path / "outcome").read_bytes())
            return Outcome(
                *(int(value["exit_code"]), value["error"], value["result"], str(value["shown"])),
                error_code=value.get("error_code"),
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def read_log(self, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """Whole lines behind byte `after`; a last line without an end once nobody writes it."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(after)
                data = file.read(_LOG_READ_BYTES)
        except OSError:
            return []
        lines, place = [], after
        for piece in data.splitlines(keepends=True)[:limit]:
            is_whole = piece.endswith((b"\n", b"\r")) or len(piece) == _LOG_READ_BYTES
            if not is_whole and self.is_taken():
                break
            place += len(piece)
            text = piece.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                lines.append(LogLine(place, text))
        return lines

    def remove(self) -> None:
        """Take it away; a missing one is fine."""
        shutil.rmtree(self.path, ignore_errors=True)
