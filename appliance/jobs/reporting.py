"""The worker's side: what a command that runs as a job tells, and leaves behind.

The environment says that it is one, and nothing that it starts learns of that.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.base.process import yield_to_others
from appliance.base.progress import Snapshot
from appliance.formats.names import format_time
from appliance.jobs.workroom import Outcome, Workroom

ROOM = "HOLDFAST_JOB_ROOM"
"""The folder that is shared with the daemon."""
LOCK = "HOLDFAST_JOB_LOCK"
"""The descriptor of its lock."""
NICE = "HOLDFAST_JOB_NICE"
"""Set where everybody else goes first."""
_EVERY_S = 0.2
_SPARED_LAST = 200
"""Of -1000 to 1000: who goes first when memory runs out (proc(5), oom_score_adj)."""
_SHOWN_MAX = 1 << 20


class Reporter:
    """Tells a daemon how its job fares."""

    def __init__(self, room: Workroom, lock: int, clock: Clock) -> None:
        self._room = room
        self._clock = clock
        self._guard = threading.Lock()
        self._phase: str | None = None  # with what it is about
        self._told_s = 0.0
        self._outcome = Outcome(1)
        self._error: str | None = None
        self._error_code: str | None = None
        os.set_inheritable(lock, False)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        # Opened for both, so that it stays open whether or not somebody reads.
        self._pipe = os.open(room.progress, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    @classmethod
    def of_environment(cls, clock: Clock) -> Reporter | None:
        """Where this process is a job's worker."""
        path, lock = os.environ.pop(ROOM, None), os.environ.pop(LOCK, None)
        is_nice = os.environ.pop(NICE, None)
        if path is None or lock is None:
            return None
        with contextlib.suppress(OSError):
            # The daemon may be spared when memory runs out: what it starts is not.
            Path("/proc/self/oom_score_adj").write_text(str(_SPARED_LAST))
        if is_nice:
            yield_to_others()
        return cls(Workroom(Path(path)), int(lock), clock)

    def show(self, snapshot: Snapshot) -> None:
        """Tell where the work stands, now and then."""
        with self._guard:
            now_s = self._clock.monotonic_s()
            if snapshot.title == self._phase and now_s - self._told_s < _EVERY_S:
                return
            self._phase, self._told_s = snapshot.title, now_s
            line = json.dumps(describe(snapshot)) + "\n"
            with contextlib.suppress(BlockingIOError):  # nobody reads: the next one tells more
                os.write(self._pipe, line.encode())

    def note(self, text: str) -> str:
        """The same, with the time before each line, as it stands in the log."""
        now = format_time(self._clock.now().replace(microsecond=0))
        return "\n".join(f"{now} {line}" for line in text.splitlines())

    def fail(self, error: str, code: str | None) -> None:
        """Why it will end badly; `code` as in the error tree."""
        self._error, self._error_code = error, code

    def result(self, value: dict[str, Any], shown: str) -> None:
        """What it gives."""
        self._outcome = Outcome(0, None, json.dumps(value), shown[:_SHOWN_MAX])

    def end(self, exit_code: int) -> None:
        """Leave how it ended; durable on return. The last thing that a worker does."""
        with contextlib.suppress(HoldfastError):  # the exit code still says it
            self._room.write_outcome(
                Outcome(
                    *(exit_code, self._error, self._outcome.result, self._outcome.shown),
                    error_code=self._error_code,
                )
            )


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """The members of a job that tell where it stands."""
    return {
        "phase": snapshot.phase,
        "about": snapshot.about,
        "done": snapshot.done,
        "total": snapshot.total,
        "unit": snapshot.unit,
        "rate_per_s": round(snapshot.rate_per_s, 3),
        "eta_s": snapshot.eta_s,
        "bottleneck": snapshot.bottleneck,
    }
