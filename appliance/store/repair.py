"""Repairing damaged containers from the second copy, whole and by name.

Owns the exchange: the damaged file goes to `quarantine/`, one whose SHA-256 is the name takes its
place, and a finding says so. What a reader stumbles over is repaired in the background, once; what
nobody could give it becomes a finding too.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from appliance.base.clock import Clock, SystemClock
from appliance.base.durable import move_file
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats.names import format_time
from appliance.store.condemned import commit_lock
from appliance.store.containers import check_file, store_container
from appliance.store.findings import (
    CONTAINER,
    Finding,
    Loss,
    Record,
    note_loss,
    read_findings,
    write_findings,
)
from appliance.store.layout import Layout
from appliance.store.second_copy import SecondCopy

# More of them are one damage, and a scrub tells what it is.
_LOSSES_MAX = 1000


class Repair:
    """Repairs containers of one store. Thread-safe."""

    def __init__(
        self,
        layout: Layout,
        second_copy: SecondCopy,
        drop: Callable[[bytes], None],
        clock: Clock | None = None,
    ) -> None:
        """`drop` is told of each container whose file was exchanged."""
        self._layout = layout
        self._second_copy = second_copy
        self._drop = drop
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._noted: set[bytes] = set()
        self._losses: set[Loss] = set()

    def note(self, name: bytes, reason: str) -> None:
        """Repair container `name` in the background, unless this process tried before."""
        with self._lock:
            if name in self._noted:
                return
            self._noted.add(name)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="repair")
            self._pool.submit(self._try, name, reason)

    def note_loss(self, name: bytes, reason: str, loss: Loss) -> None:
        """Tell, in the background, that nobody could give what a reader asked for."""
        with self._lock:
            if loss in self._losses or len(self._losses) >= _LOSSES_MAX:
                return
            self._losses.add(loss)
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="repair")
            self._pool.submit(self._tell_loss, name, reason, loss)

    def _tell_loss(self, name: bytes, reason: str, loss: Loss) -> None:
        now = format_time(self._clock.now().replace(microsecond=0))
        with contextlib.suppress(HoldfastError):  # the reader was told
            note_loss(self._layout, CONTAINER + name.hex(), reason, now, loss)

    def _try(self, name: bytes, reason: str) -> None:
        try:
            self.repair(name, reason)
        except HoldfastError:
            return  # the reader was served; the next scrub tries again, and tells

    def finish(self) -> None:
        """Wait until what was noted is repaired, or cannot be."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    def repair(self, name: bytes, reason: str) -> bool:
        """Put a sound copy in the place of a damaged or missing container; durable on return.

        False where the second copy has none, or the file here is sound after all. Raises
        HoldfastError when the second copy cannot be reached, NoSpaceError.
        """
        data = self._second_copy.fetch(name)
        if data is None or hashlib.sha256(data).digest() != name:
            return False
        path = self._layout.container(name)
        with commit_lock(self._layout):
            if path.is_file():
                try:
                    check_file(path, name)
                except IntegrityError:
                    move_file(path, self._layout.quarantine / name.hex())
                else:
                    return False
            store_container(self._layout, name, memoryview(data))
            self._tell(name, reason)
        self._drop(name)
        return True

    def _tell(self, name: bytes, reason: str) -> None:
        now = format_time(self._clock.now().replace(microsecond=0))
        what = CONTAINER + name.hex()
        record = read_findings(self._layout)
        before = {finding.what: finding for finding in record.findings}
        finding = before.pop(what, Finding(what, reason, now))
        is_quarantined = (self._layout.quarantine / name.hex()).exists()
        repaired = replace(
            finding, is_quarantined=is_quarantined, repaired=now, hurt_points=0, hurts=()
        )
        write_findings(self._layout, Record((*before.values(), repaired), record.hurt))
