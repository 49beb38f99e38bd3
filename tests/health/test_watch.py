"""The watch looks once more when something changed, and at arrays whatever a disk does."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
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
from tests.clocks import HandClock

PATIENCE_S = 60
ARRAY, DISK = Change("array", ""), Change("change", "sda")


@dataclass
class Script:
    """Changes in the order of a test, time that goes by where it is waited, and what was done."""

    clock: HandClock = field(default_factory=HandClock)
    progress: Progress = field(default_factory=Progress)
    changes: queue.Queue[list[Change]] = field(default_factory=queue.Queue)
    said: queue.Queue[str] = field(default_factory=queue.Queue)
    powers: queue.Queue[str] = field(default_factory=queue.Queue)
    may_look: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self, timeout_s: float) -> list[Change]:
        try:
            changes = self.changes.get(timeout=0.02)
        except queue.Empty:
            self.clock.go_by(timedelta(seconds=timeout_s))
            return []
        return changes

    def wake(self) -> None:
        self.changes.put([])

    def look(self, seen: list[Change]) -> None:
        self.said.put(f"looks {[change.name for change in seen]}")
        assert self.may_look.acquire(timeout=PATIENCE_S)

    def expect(self, said: str) -> None:
        assert self.said.get(timeout=PATIENCE_S) == said

    def watch(self, look: Callable[[list[Change]], None] | None = None) -> Watch:
        return Watch(
            self,
            self.clock,
            self.progress,
            look=look or self.look,
            glance=self.glance,
        )

    def glance(self, at: Glance) -> None:
        if at == "power":
            self.powers.put(at)
        else:
            self.said.put(f"glances at {at}")

    def start(self) -> threading.Thread:
        def run() -> None:
            with pytest.raises(Cancelled):
                self.watch().run()
            self.said.put("ends")

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def end(self, thread: threading.Thread) -> None:
        self.progress.cancel()
        for _ in range(10):
            self.may_look.release()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_disk_that_hangs_holds_up_no_news_of_arrays() -> None:
    script = Script()
    thread = script.start()
    script.expect("looks []")
    script.changes.put([ARRAY])  # while that look waits for a disk
    script.expect("glances at array")
    script.changes.put([DISK])
    script.may_look.release()
    script.expect("looks ['', 'sda']")
    script.end(thread)
    script.expect("ends")


def test_a_link_that_changes_is_glanced_at_and_no_reason_to_ask_disks() -> None:
    script = Script()
    thread = script.start()
    script.expect("looks []")
    script.changes.put([Change("port", "")])
    script.expect("glances at port")
    script.changes.put([DISK])
    script.may_look.release()
    script.expect("looks ['sda']")
    script.end(thread)


def test_a_burst_of_the_kernels_log_is_one_glance() -> None:
    script = Script()
    thread = script.start()
    script.expect("looks []")
    for number in range(20):
        script.changes.put([Change("log", f"critical medium error {number}")])
    script.expect("glances at log")
    script.may_look.release()
    script.expect("looks ['']")
    script.end(thread)
    script.expect("ends")


def test_without_a_change_it_looks_seldom() -> None:
    script = Script()
    began_s = script.clock.monotonic_s()
    thread = script.start()
    script.expect("looks []")
    script.may_look.release()
    script.expect("looks []")
    assert script.clock.monotonic_s() - began_s >= LOOK_AGAIN_S
    script.end(thread)


def test_the_power_is_looked_at_while_a_disk_hangs() -> None:
    script = Script()
    thread = script.start()
    script.expect("looks []")  # and that look does not end
    for _ in range(3):
        script.powers.get(timeout=PATIENCE_S)
    began_s = script.clock.monotonic_s()
    script.powers.get(timeout=PATIENCE_S)
    assert script.clock.monotonic_s() - began_s < LOOK_AGAIN_S
    script.changes.put([Change("power", "rack")])
    script.powers.get(timeout=PATIENCE_S)
    script.end(thread)


def test_what_a_look_raises_ends_the_watch() -> None:
    def fail(_: list[Change]) -> None:
        raise HoldfastError("no more")

    with pytest.raises(HoldfastError, match="no more"):
        Script().watch(fail).run()


def test_the_watchdog_is_fed_while_a_look_is_under_way_but_not_for_ever(tmp_path: Path) -> None:
    script = Script()
    device = tmp_path / "watchdog"
    device.touch()
    watchdog = Watchdog(device)
    watch = Watch(
        script,
        script.clock,
        script.progress,
        look=script.look,
        glance=lambda _: None,
        watchdog=watchdog,
    )

    def run() -> None:
        with pytest.raises(Cancelled):
            watch.run()

    thread = threading.Thread(target=run)
    thread.start()
    until_s = script.clock.monotonic_s() + 2 * LOOK_AGAIN_S
    turn = threading.Event()
    while script.clock.monotonic_s() < until_s:
        turn.wait(0.01)
    script.end(thread)
    fed = device.stat().st_size
    turns = LOOK_AGAIN_S / FEED_EVERY_S
    assert turns - 2 <= fed <= turns + LOOK_AGAIN_S / POWER_AGAIN_S + 2
    watchdog.close()
    assert device.read_bytes()[fed:] == b"V"


def test_a_link_that_changes_ends_a_wait(tmp_path: Path) -> None:
    ip = find_program("ip", "iproute2")
    with Changes(KernelTree(tmp_path)) as changes:
        name = f"hf{os.getpid() % 10**7}"
        run([ip, "tuntap", "add", name, "mode", "tap"])
        try:
            assert Change("port", "") in changes.wait(PATIENCE_S)
        finally:
            run([ip, "link", "delete", name])


def test_a_wait_ends_with_who_listened(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    with Changes(KernelTree(tmp_path), theirs) as changes:
        assert changes.wait(0.0) == []
        os.close(ours)
        with pytest.raises(Cancelled):
            changes.wait(PATIENCE_S)
    os.close(theirs)


def test_a_wait_ends_when_somebody_rings(tmp_path: Path) -> None:
    with Changes(KernelTree(tmp_path)) as changes:
        changes.wake()
        assert changes.wait(PATIENCE_S) == []
        assert changes.wait(0.0) == []
