"""The figures of a bench as one JSON object.

Owns: medians, ratios and sums over the samples. Never does: measure, lay out a table.

    machine     cpu, cores, flags (those that matter here), memory_bytes, kernel
    corpus      name, disk_bytes, first_used_bytes, second_used_bytes, changed_bytes
    versions    program -> what it says
    runs        how many; `complete` is false while the bench still runs
    facts       what is known beside the samples: the library's kernels, collections counted, ...
    rows        row -> program -> figures (medians): seconds, user_s, system_s, cpu_s,
                max_rss_bytes, read_bytes, written_bytes; stored_bytes: what the command added
                (after an idle pass: all of it); reads_s: reads a second; `stage NAME`: seconds in
                a stage, summed over threads
    samples     the same with a list of all runs instead of the medians
    ratios      row -> peer -> how many times better we are: its seconds / ours, our reads / its
    bytes       program -> {first, second, both}: stored bytes; "holdfast, idle" after the pass
    stages      [stage, seconds, share] of the first full
    targets     [{row, left, left_reached, aim, aim_reached, value}]
"""

from __future__ import annotations

from typing import Any

from tests.bench import disk_rows
from tests.bench.machine import describe_machine
from tests.bench.programs import Holdfast
from tests.bench.targets import judge
from tests.bench.trial import STAGE, Rows, Sample, Trial

OURS = Holdfast.name
IDLE = f"{OURS}, idle"


def build_report(trial: Trial, done: int, versions: dict[str, str]) -> dict[str, Any]:
    """The report as this module's head describes it."""
    rows = trial.take_medians()
    first, second = trial.corpus.first.stat(), trial.corpus.second.stat()
    report = {
        "machine": describe_machine(),
        "corpus": {
            "name": trial.corpus.name,
            "disk_bytes": second.st_size,
            "first_used_bytes": first.st_blocks * 512,
            "second_used_bytes": second.st_blocks * 512,
            "changed_bytes": trial.changed_bytes,
        },
        "versions": versions,
        "runs": trial.runs,
        "complete": done == trial.runs,
        "facts": trial.facts,
        "rows": rows,
        "samples": trial.samples,
        "ratios": _compare(rows),
        "bytes": _sum_bytes(rows),
        "stages": _list_stages(rows.get(disk_rows.FIRST, {}).get(OURS, {})),
    }
    return {**report, "targets": judge(report)}


def _compare(rows: Rows) -> dict[str, dict[str, float]]:
    """How many times better than each peer; a changed list competes with the full scan."""
    ratios: dict[str, dict[str, float]] = {}
    for row, programs in rows.items():
        if OURS not in programs:
            continue
        peers = rows.get(disk_rows.SECOND, {}) if row == disk_rows.CHANGED else programs
        ours = programs[OURS]
        ratios[row] = {
            name: round(
                ours["reads_s"] / sample["reads_s"]
                if "reads_s" in ours
                else sample["seconds"] / ours["seconds"],
                2,
            )
            for name, sample in peers.items()
            if name != OURS
        }
    return {row: found for row, found in ratios.items() if found}


def _sum_bytes(rows: Rows) -> dict[str, dict[str, float]]:
    first, second = rows.get(disk_rows.FIRST, {}), rows.get(disk_rows.SECOND, {})
    found = {
        name: _add_up(first[name]["stored_bytes"], second[name]["stored_bytes"]) for name in first
    }
    before, after = (rows.get(row, {}).get(OURS) for row in (disk_rows.IDLE_FIRST, disk_rows.IDLE))
    if before and after:
        grown_bytes = after["stored_bytes"] - before["stored_bytes"]
        found[IDLE] = _add_up(before["stored_bytes"], grown_bytes)
    return found


def _add_up(first_bytes: float, second_bytes: float) -> dict[str, float]:
    return {"first": first_bytes, "second": second_bytes, "both": first_bytes + second_bytes}


def _list_stages(sample: Sample) -> list[tuple[str, float, float]]:
    """Where the time of a first full goes, and each part's share of all but waiting.

    Stages are times of threads, not of CPUs: other work on the machine makes them longer, and
    then nothing can be said about what is left of the CPU time for the rest.
    """
    stages = {
        key.removeprefix(STAGE): seconds for key, seconds in sample.items() if key.startswith(STAGE)
    }
    if not stages:
        return []
    # Writing waits for the disk; its CPU time is the kernel's.
    waited = {f"({name} + fsync, waiting)": stages.pop(name) for name in _WAITING & stages.keys()}
    rest = {
        "kernel: read, write, fsync, memory": sample["system_s"],
        "Python and other": max(0.0, sample["user_s"] - sum(stages.values())),
    }
    parts = stages | rest
    total_s = sum(parts.values())
    listed = [(name, seconds, seconds / total_s) for name, seconds in parts.items()]
    listed += [(name, seconds, 0.0) for name, seconds in waited.items()]
    return [*listed, ("(CPU seconds of the command)", sample["cpu_s"], 0.0)]


_WAITING = {"write"}
