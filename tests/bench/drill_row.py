"""The time of a drill: `drill run` of a protected machine, through the command."""

from __future__ import annotations

from typing import Any

from tests.command import Holdfast


def measure_drill(holdfast: Holdfast, machine: str, memory_mib: int = 1024) -> dict[str, Any]:
    """Seconds of one drill: `rto_s`, each phase, and `whole_s` with clearing up and the record.

    Raises AssertionError if the drill does not pass.
    """
    ran = holdfast(
        "--json", "drill", "run", machine, "--memory", str(memory_mib), expect=0, timeout_s=900
    )
    result = ran.json()["machines"][0]
    phases = {phase["name"]: phase["at_s"] for phase in result["phases"]}
    return {"rto_s": result["rto_s"], "whole_s": ran.seconds, "phases_s": phases}
