"""The handle of long operations: what it tells, and how it cancels."""

from __future__ import annotations

import signal
import threading

import pytest

from appliance.base.errors import Cancelled
from appliance.base.progress import Progress, Snapshot


def test_a_listener_hears_phase_done_and_total() -> None:
    heard: list[Snapshot] = []
    progress = Progress(heard.append)
    progress.phase("reading", total=10)
    progress.advance(4)
    progress.advance(6)
    progress.phase("sealing", unit="items")
    told = [(one.phase, one.done, one.total, one.unit) for one in heard]
    assert told == [
        ("reading", 0, 10, "bytes"),
        ("reading", 4, 10, "bytes"),
        ("reading", 10, 10, "bytes"),
        ("sealing", 0, None, "items"),
    ]


def test_without_a_listener_it_still_counts() -> None:
    progress = Progress()
    progress.phase("reading", total=3)
    progress.advance(2)
    assert (progress.snapshot().done, progress.snapshot().total) == (2, 3)


def test_the_rate_is_units_per_second_and_never_divides_by_zero() -> None:
    assert Snapshot("reading", 10, None, "bytes", 4.0).rate_per_s == 2.5
    assert Snapshot("reading", 10, None, "bytes", 0.0).rate_per_s == 0.0


def test_time_counts_from_the_beginning_of_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    progress = Progress()
    now_s[0] = 130.0
    progress.phase("reading")
    now_s[0] = 134.0
    assert progress.snapshot().elapsed_s == 4.0


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_operation_learns_it_at_its_next_report(signal_number: int) -> None:
    progress = Progress()
    progress.phase("reading")
    progress.check()
    progress.cancel(signal_number)
    with pytest.raises(Cancelled) as caught:
        progress.advance(1)
    assert caught.value.signal_number == signal_number
    with pytest.raises(Cancelled):
        progress.phase("sealing")
    with pytest.raises(Cancelled):
        progress.check()
    assert (progress.snapshot().phase, progress.snapshot().done) == ("reading", 0)


def test_what_many_threads_report_adds_up() -> None:
    progress = Progress(lambda _: None)
    progress.phase("reading", total=8000)

    def work() -> None:
        for _ in range(1000):
            progress.advance(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.snapshot().done == 8000


def test_a_listener_may_ask_where_things_stand() -> None:
    seen: list[int] = []
    progress = Progress(lambda _: seen.append(progress.snapshot().done))
    progress.advance(3)
    assert seen == [3]


def test_shares_of_time_and_the_rest_of_it_are_told_once_they_are_known() -> None:
    progress = Progress()
    assert progress.snapshot().bottleneck is None
    progress.spend("source", 3_000)
    progress.spend("line", 1_000)
    assert progress.snapshot().bottleneck == {"source": 75, "cpu": 0, "disk": 0, "line": 25}
    with progress.spending("disk"):
        pass
    assert progress.snapshot().spent_ns["disk"] > 0
    assert Snapshot("reading", 10, 30, "bytes", 4.0).eta_s == 8.0
    assert Snapshot("reading", 10, None, "bytes", 4.0).eta_s is None
    assert Snapshot("reading", 0, 30, "bytes", 4.0).eta_s is None
