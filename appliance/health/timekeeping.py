"""The box's clock: whether somebody keeps it, and whether it was set.

Owns the rule. The kernel's time of the boot moves when the clock is set, so two looks in one boot
say whether that happened. Never sets a clock.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psutil

from appliance.base.clock import boot_id
from appliance.base.errors import HoldfastError
from appliance.base.process import run
from appliance.base.text import duration
from appliance.formats.finding import Evidence, Finding

_TIMEOUT_S = 10.0
# Slewing moves the time of the boot by less; NTP daemons step beyond a fraction of a second.
_JUMP_MIN_S = 30.0


@dataclass(frozen=True)
class ClockState:
    """The clock as it is.

    Attributes:
        is_synchronised: None where nobody can be asked.
        boot: id of this boot.
        booted_s: when this boot began, by today's clock; moves only when the clock is set.
    """

    is_synchronised: bool | None
    boot: str
    booted_s: float

    @property
    def series(self) -> str:
        """Under which name `booted_s` is remembered: one series per boot."""
        return f"booted {self.boot}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def read_clock() -> ClockState:
    """Ask the kernel, and systemd where it runs."""
    return ClockState(_ask_synchronised(), boot_id(), psutil.boot_time())


def _ask_synchronised() -> bool | None:
    for name, arguments, yes in (
        ("timedatectl", ["show", "--property=NTPSynchronized", "--value"], "yes"),
        ("chronyc", ["-c", "waitsync", "1", "0", "0", "0.1"], ""),
    ):
        program = shutil.which(name)
        if program is None:
            continue
        try:
            said = run([program, *arguments], timeout_s=_TIMEOUT_S).strip()
        except HoldfastError:
            continue
        return said == yes if yes else True
    return None


def judge_clock(
    clock: ClockState, earlier: Sequence[tuple[datetime, float]], now: datetime
) -> Iterator[Finding]:
    """What is wrong with the clock; `earlier` are values of `booted_s` in this boot."""
    if earlier:
        jump_s = clock.booted_s - earlier[0][1]
        if abs(jump_s) >= _JUMP_MIN_S:
            way = "forward" if jump_s > 0 else "back"
            yield Finding(
                subject="box",
                rule="clock.jump",
                severity="warning",
                summary=f"the clock was set {way} by {duration(abs(jump_s))} since the box started",
                evidence=(Evidence("boot time", (*earlier[:1], (now, clock.booted_s)), "s"),),
                consequence="Dates of points and the ends of holds may be wrong. Nothing is "
                "deleted by date until the clock is trusted.",
                action="Compare the time with another clock. If it is right now: "
                "'holdfast prune --trust-clock', and acknowledge this.",
                measure=abs(jump_s) // 60,
            )
    if clock.is_synchronised is False:
        yield Finding(
            subject="box",
            rule="clock.not-synchronised",
            severity="warning",
            summary="nobody keeps the clock: it is not synchronised",
            evidence=(Evidence("NTPSynchronized", ((now, "no"),)),),
            consequence="Dates of points drift; certificates and the vault are refused one day.",
            action="Configure a time server; 'timedatectl timesync-status' says what is tried.",
        )
