"""What people and programs see: results on standard output, all else on standard error."""

from __future__ import annotations

import errno
import json
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Never

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError, NoSpaceError
from appliance.base.progress import Progress, Snapshot
from appliance.base.text import duration, size

if TYPE_CHECKING:
    from tqdm import tqdm

    from appliance.jobs.reporting import Reporter

_REDRAW_S = 0.1
_LINE_EVERY_S = 10.0


class Console:
    """Prints for one command."""

    def __init__(self, *, is_json: bool, reporter: Reporter | None = None) -> None:
        """`reporter` is where a job tells how it fares, instead of a person."""
        self.is_json = is_json
        self._reporter = reporter
        self._bar: tqdm[Never] | None = None
        self._phase = ""
        self._drawn_s = 0.0
        self._cancelled_by = 0
        self._lock = threading.Lock()
        self._clock = SystemClock()
        self.progress = Progress(self.show)

    @property
    def is_alone(self) -> bool:
        """Whether a person or a program called the command, not a daemon."""
        return self._reporter is None

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled_by != 0

    @property
    def cancelled_code(self) -> int:
        """The exit code of what was cancelled."""
        return 128 + self._cancelled_by

    def cancel(self, signal_number: int) -> None:
        """Ask the running operation to stop."""
        self._cancelled_by = signal_number
        self.progress.cancel(signal_number)

    def result(self, value: dict[str, Any], text: str) -> None:
        """The one result of the command: an object for programs, or text for people."""
        self.finish()
        if self._reporter is not None:
            self._reporter.result(value, text)
        elif self.is_json:
            _print_result(json.dumps(value, ensure_ascii=True))
        elif text:
            _print_result(text)

    def note(self, text: str) -> None:
        """A message beside the result."""
        self.finish()
        if self._reporter is not None:
            text = self._reporter.note(text)
        _print_note(text)

    def fail(self, error: str, code: str) -> None:
        """Why the command ends without having done what it should; programs get the code too."""
        if self._reporter is not None:
            self._reporter.fail(error, code)
        elif self.is_json:
            error = f"[{code}] {error}"
        self.note(f"holdfast: {error}")

    def note_bottleneck(self) -> None:
        """Where the time of the operation went, if that was measured."""
        shares = self.progress.snapshot().bottleneck
        if shares is not None:
            self.note(describe_bottleneck(shares))

    def finish(self) -> None:
        """Take the progress bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._phase = ""

    # ---- progress: a bar on a terminal, a line now and then in a log ----

    def show(self, snapshot: Snapshot) -> None:
        """Where the work stands."""
        if self._reporter is not None:
            self._reporter.show(snapshot)
            return
        with self._lock:
            self._show_alone(snapshot)

    def _show_alone(self, snapshot: Snapshot) -> None:
        now_s = self._clock.monotonic_s()
        is_new = snapshot.title != self._phase
        every_s = _REDRAW_S if sys.stderr.isatty() else _LINE_EVERY_S
        if not is_new and now_s - self._drawn_s < every_s:
            return
        if is_new and not sys.stderr.isatty():
            # The first line of a phase comes only if the phase takes long.
            self._phase, self._drawn_s = snapshot.title, now_s
            return
        self._phase, self._drawn_s = snapshot.title, now_s
        if sys.stderr.isatty():
            with suppress(OSError):  # the terminal is gone: the work is not
                self._draw(snapshot, is_new=is_new)
        else:
            _print_note(describe(snapshot))

    def _draw(self, snapshot: Snapshot, *, is_new: bool) -> None:
        if is_new and self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._bar is None:
            self._bar = _make_bar(snapshot)
        self._bar.n = snapshot.done
        self._bar.refresh()


def _print_result(text: str) -> None:
    """Raises HoldfastError if nobody could have read it, and BrokenPipeError as it is."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = NoSpaceError if error.errno == errno.ENOSPC else HoldfastError
        raise kind(f"standard output: {error.strerror}") from error


def _print_note(text: str) -> None:
    """What is done does not fail because a log is full, or because nobody reads it any more."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _make_bar(snapshot: Snapshot) -> tqdm[Never]:
    from tqdm import tqdm  # slow to import, and needed on terminals only

    is_bytes = snapshot.unit == "bytes"
    return tqdm(
        desc=snapshot.title,
        total=snapshot.total,
        unit="B" if is_bytes else "",
        unit_scale=is_bytes,
        unit_divisor=1024,
        leave=False,
        file=sys.stderr,
    )


def describe_bottleneck(shares: Mapping[Any, int]) -> str:
    """Where the time of an operation went, the most first."""
    words = sorted(shares.items(), key=lambda item: -item[1])
    return "time spent: " + ", ".join(f"{name} {share} %" for name, share in words if share)


def describe(snapshot: Snapshot) -> str:
    """A progress line for logs."""
    if snapshot.unit == "items":
        total = f" of {snapshot.total}" if snapshot.total else ""
        return f"{snapshot.title}: {snapshot.done}{total}, {duration(snapshot.elapsed_s)}"
    total = f" of {size(snapshot.total)}" if snapshot.total else ""
    rate = size(snapshot.rate_per_s)
    return f"{snapshot.title}: {size(snapshot.done)}{total}, {rate}/s"
