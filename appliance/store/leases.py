"""Leases: how processes that share a store know of each other.

A lease is a file that its owner keeps locked; the lock dies with the process. Its text says what
the owner does and which points it must keep although they may be forgotten meanwhile:

- A *writer* lease is taken before the first look-up in the index and given back after the point is
  written. While one is held that is older than a condemnation, nothing condemned is unlinked.
- A *reader* lease pins points: collection marks them as if they were not forgotten. It does not
  keep everything else in the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.base import durable
from appliance.base.clock import SystemClock
from appliance.base.durable import named_os_errors
from appliance.base.errors import BusyError, NoSpaceError
from appliance.base.locks import FileLock, lock_descriptor, try_lock_descriptor
from appliance.store.layout import Layout

_LEASE_MAX_BYTES = 4 << 20
_READ_ATTEMPTS = 200
Kind = Literal["writer", "reader"]


@dataclass(frozen=True)
class LeaseView:
    """What a living lease says. `pins` are paths of points relative to the points folder."""

    kind: Kind
    pid: int
    pins: frozenset[str]


class Lease:
    """A lease of this process, from construction to `release`."""

    def __init__(self, layout: Layout, kind: Kind) -> None:
        """Raises NoSpaceError when the disk is full and the reserve used up."""
        self._layout = layout
        self._path = layout.leases / f"{kind}-{os.getpid()}-{secrets.token_hex(6)}"
        self._kind = kind
        self._pins: list[str] = []
        self._lock = threading.Lock()
        with named_os_errors(self._path):
            self._descriptor = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            lock_descriptor(self._descriptor)
        try:
            self._write()
        except BaseException:
            self.release()  # nobody must wait for a lease that says nothing
            raise

    def _write(self) -> None:
        text = json.dumps({"kind": self._kind, "pid": os.getpid(), "pins": self._pins}).encode()
        data = text.ljust(os.fstat(self._descriptor).st_size)
        try:
            with named_os_errors(self._path):
                done = 0
                while done < len(data):
                    done += os.pwrite(self._descriptor, data[done:], done)
        except NoSpaceError:
            # Reading and forgetting must go on when the disk is full.
            if not self._layout.take_from_reserve():
                raise
            self._write()

    def pin(self, point: str) -> None:
        """Keep `point` until `unpin`. Pin first, then check that the point is still there."""
        with self._lock:
            self._pins.append(point)
            self._write()

    def unpin(self, point: str) -> None:
        """Let go of one `pin` of the point."""
        with self._lock:
            self._pins.remove(point)
            self._write()

    def release(self) -> None:
        """Give the lease back."""
        if self._descriptor >= 0:
            # What cannot be unlinked now is a dead lease: whoever looks next removes it.
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def writer_lease(layout: Layout) -> Lease:
    """A writer's lease. If nobody else writes, what killed writers left half-made is removed."""
    with FileLock(layout.locks / "start"):
        lease = Lease(layout, "writer")
        writers = [view for _, view in living(layout.leases) if view.kind == "writer"]
        if len(writers) == 1:
            durable.remove_temporaries(layout.incoming)
        return lease


def _is_alive(descriptor: int) -> bool:
    return not try_lock_descriptor(descriptor)


def _read(descriptor: int, path: Path) -> LeaseView | None:
    """What a lease says; None if its owner died while this waited for it to be written."""
    for _ in range(_READ_ATTEMPTS):
        try:
            raw = json.loads(os.pread(descriptor, _LEASE_MAX_BYTES, 0))
            pins = frozenset(str(pin) for pin in raw["pins"])
            return LeaseView(raw["kind"], int(raw["pid"]), pins)
        except (ValueError, KeyError, TypeError):
            SystemClock().sleep_s(0.01)  # its owner is writing it at this moment
            if not _is_alive(descriptor):
                return None
    raise BusyError(f"{path} cannot be read although its process is alive: try again")


def living(folder: Path) -> Iterator[tuple[str, LeaseView]]:
    """(file name, lease) of every process that is alive; removes what dead ones left."""
    for path in sorted(folder.glob("*-*")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, IsADirectoryError):
            continue
        try:
            if _is_alive(descriptor):
                lease = _read(descriptor, path)
                if lease is not None:
                    yield path.name, lease
            elif _is_complete(descriptor):
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _is_complete(descriptor: int) -> bool:
    # Between creating and locking, a new lease is an empty file: not ours to remove.
    return os.fstat(descriptor).st_size > 0
