"""The watch looks once more when something changed, and at arrays whatever a disk does."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.process import find_program, run
from appliance.base.progress import Progress
from appliance.health.kernel_tree import KernelTree
from appliance.health.udev import Change, Changes
from appliance.health.watch import (
    FEED_EVERY_S,
    LOOK_AGAIN_S,
    POWER_AGAIN_S,
    Glance,
    Watch,
    Watchdog,
)
from appliance.recovery.runtime import poll
from tests.clocks import HandClock

PATIENCE_S = 60
ARRAY, DISK = Change("array", ""), Change("change", "sda")


@dataclass
class Script:
    """Changes in the order of a test, time that goes by where it is waited, and what was done.

    No time goes by while the power is looked at: how long that takes on a busy machine is no news.
    """

    clock: HandClock = field(default_factory=HandClock)
    progress: Progress = field(default_factory=Progress)
    changes: queue.Queue[list[Change]] = field(default_factory=queue.Queue)
    said: queue.Queue[str] = field(default_factory=queue.Queue)
    powers_s: queue.Queue[float] = field(default_factory=queue.Queue)
    may_look: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _telling: threading.Lock = field(default_factory=threading.Lock)
    _has_taken: bool = True

    def wait(self, timeout_s: float) -> list[Change]:
        if not self._has_taken:
            self.changes.task_done()  # whoever waits again has taken what it was given
            self._has_taken = True
        while True:
            with self._telling:
                pass
            is_looking = any(thread.name == "power" for thread in threading.enumerate())
            try:
                changes = self.changes.get(timeout=0.005)
            except queue.Empty:
                if is_looking:
                    continue
                self.clock.go_by(timedelta(seconds=timeout_s))
                return []
            self._has_taken = False
            return changes

    def wake(self) -> None:
        with self._telling:
            self.changes.put([])

    def tell(self, *changes: Change) -> None:
        """Have the watch take each of these, one right after the other."""
        with self._telling:
            for change in changes:
                self.changes.put([change])
        self.changes.join()

    def look(self, seen: list[Change]) -> None:
        self.said.put(f"looks {[change.name for change in seen]}")
        assert self.may_look.acquire(timeout=PATIENCE_S)

    def expect(self, said: str) -> None:
        assert self.said.get(timeout=PATIENCE_S) == said

    def expect_none(self) -> None:
        assert self.said.empty(), self.said.get()

    def await_time(self, seconds: float) -> None:
        """Until the clock has gone so far."""
        until_s = self.clock.monotonic_s() + seconds
        assert poll(lambda: self.clock.monotonic_s() >= until_s, PATIENCE_S)

    def watch(
        self,
        look: Callable[[list[Change]], None] | None = None,
        watchdog: Watchdog | None = None,
    ) -> Watch:
        return Watch(
            self,
            self.clock,
            self.progress,
            look=look or self.look,
            glance=self.glance,
            watchdog=watchdog,
        )

    def glance(self, at: Glance) -> None:
        if at == "power":
            self.powers_s.put(self.clock.monotonic_s())
        else:
            self.said.put(f"glances at {at}")

    @contextmanager
    def watching(self, watchdog: Watchdog | None = None) -> Iterator[None]:
        """A watch whose first look is under way, until it is cancelled at the end."""
        ended: list[bool] = []

        def run() -> None:
            with pytest.raises(Cancelled):
                self.watch(watchdog=watchdog).run()
            ended.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            self.expect("looks []")
            yield
        finally:
            self.progress.cancel()
            for _ in range(10):
                self.may_look.release()
            thread.join(PATIENCE_S)
        assert ended


def test_a_disk_that_hangs_holds_up_no_news_of_arrays() -> None:
    script = Script()
    with script.watching():
        script.tell(ARRAY)  # while that look waits for a disk
        script.expect("glances at array")
        script.tell(DISK)
        script.may_look.release()
        script.expect("looks ['', 'sda']")


def test_a_link_that_changes_is_glanced_at_and_no_reason_to_ask_disks() -> None:
    script = Script()
    with script.watching():
        script.tell(Change("port", ""))
        script.expect("glances at port")
        script.tell(DISK)
        script.may_look.release()
        script.expect("looks ['sda']")


def test_a_burst_of_the_kernels_log_is_one_glance() -> None:
    script = Script()
    with script.watching():
        lines = [Change("log", f"critical medium error {number}") for number in range(20)]
        script.tell(*lines)
        script.expect("glances at log")
        script.may_look.release()
        script.expect("looks ['']")


def test_without_a_change_it_looks_seldom() -> None:
    script = Script()
    began_s = script.clock.monotonic_s()
    with script.watching():
        script.may_look.release()
        script.expect("looks []")
        assert script.clock.monotonic_s() - began_s >= LOOK_AGAIN_S


def test_no_look_begins_beside_one_that_hangs_be_it_the_first_or_a_later_one() -> None:
    script = Script()
    with script.watching():
        for _ in range(2):
            script.tell(DISK)
            script.await_time(LOOK_AGAIN_S + FEED_EVERY_S)
            script.expect_none()
            script.may_look.release()
            script.expect("looks ['sda']")


def test_the_power_is_looked_at_while_a_disk_hangs() -> None:
    script = Script()
    with script.watching():  # and that look does not end
        before_s = script.powers_s.get(timeout=PATIENCE_S)
        for _ in range(5):
            now_s = script.powers_s.get(timeout=PATIENCE_S)
            assert now_s - before_s <= POWER_AGAIN_S + FEED_EVERY_S
            before_s = now_s
        script.tell(Change("power", "rack"))
        script.powers_s.get(timeout=PATIENCE_S)


def test_what_a_look_raises_ends_the_watch() -> None:
    def fail(_: list[Change]) -> None:
        raise HoldfastError("no more")

    with pytest.raises(HoldfastError, match="no more"):
        Script().watch(fail).run()


@pytest.mark.parametrize("looks_before", [0, 1])
def test_the_watchdog_is_fed_while_a_look_is_under_way_but_not_for_ever(
    tmp_path: Path, looks_before: int
) -> None:
    script = Script()
    device = tmp_path / "watchdog"
    device.touch()
    watchdog = Watchdog(device)
    with script.watching(watchdog):
        for _ in range(looks_before):
            script.may_look.release()
            script.expect("looks []")
        script.await_time(2 * LOOK_AGAIN_S)
        fed = device.stat().st_size
    # Each look feeds it as long as it may take; with the glance at the power it wakes up, too.
    looks, turns = looks_before + 1, LOOK_AGAIN_S / FEED_EVERY_S
    assert looks * (turns - 2) <= fed <= looks * (turns + LOOK_AGAIN_S / POWER_AGAIN_S + 3)
    watchdog.close()
    assert device.read_bytes()[-1:] == b"V"


def await_change(changes: Changes, wanted: Change) -> None:
    """Others may come first: the kernel speaks of all that goes on here."""
    assert poll(lambda: wanted in changes.wait(1.0), PATIENCE_S)


def test_a_link_that_changes_ends_a_wait(tmp_path: Path) -> None:
    ip = find_program("ip", "iproute2")
    with Changes(KernelTree(tmp_path)) as changes:
        name = f"hf{os.getpid() % 10**7}"
        run([ip, "tuntap", "add", name, "mode", "tap"])
        try:
            await_change(changes, Change("port", ""))
        finally:
            run([ip, "link", "delete", name])


def is_cancelled(changes: Changes) -> bool:
    try:
        changes.wait(PATIENCE_S)
    except Cancelled:
        return True
    return False


def test_a_wait_ends_with_who_listened(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with Changes(KernelTree(tmp_path), theirs) as changes:
        changes.wait(0.0)
        os.close(ours)
        assert poll(lambda: is_cancelled(changes), PATIENCE_S)
    os.close(theirs)


def test_a_wait_ends_when_somebody_rings(tmp_path: Path) -> None:
    with Changes(KernelTree(tmp_path)) as changes:

        def is_woken() -> bool:
            changes.wake()
            return changes.wait(PATIENCE_S) == []  # else something happened, too

        began_s = time.monotonic()
        assert poll(is_woken, PATIENCE_S)
        assert time.monotonic() - began_s < PATIENCE_S
        assert poll(lambda: changes.wait(0.0) == [], PATIENCE_S)
