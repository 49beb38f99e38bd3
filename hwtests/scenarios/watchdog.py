"""The hardware watchdog restarts a box whose watch hangs, and only then."""

from __future__ import annotations

import time

from hwtests.bench import await_true
from hwtests.guest import Guest
from hwtests.scenario import Scenario

_WATCHDOG_S = 10
_SIGSTOP, _SIGCONT = 19, 18


def bite(guest: Guest) -> str:
    """A watch that runs keeps the box up; one that hangs is bitten."""
    guest.load("i6300esb", f"heartbeat={_WATCHDOG_S}")
    number = guest.start("--json", "health", "--watch", "--watchdog", "/dev/watchdog")
    await_true(lambda: guest.output(number), "the first look of the watch")
    until_s = time.monotonic() + 2 * _WATCHDOG_S
    while time.monotonic() < until_s:
        assert guest.ask_qemu("query-status")["status"] == "running", "bitten although it ran"
        time.sleep(1)
    guest.signal(number, _SIGSTOP)
    began_s = time.monotonic()
    try:
        await_true(
            lambda: guest.ask_qemu("query-status")["status"] == "watchdog", "the watchdog's bite"
        )
        seconds = time.monotonic() - began_s
    finally:
        guest.ask_qemu("cont")
        guest.signal(number, _SIGCONT)
    guest.end(number)
    return f"fed for {2 * _WATCHDOG_S} s; bit {seconds:.0f} s after the watch hung"


SCENARIOS = (
    Scenario(
        "watchdog",
        "bites when the watch hangs, not before",
        bite,
        needs=frozenset(("qemu", "modules")),
    ),
)
