"""The bench's report for people: aligned lines.

Owns: the layout. Never does: calculate more than units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.base.text import size
from tests.bench import disk_rows
from tests.bench.growth_rows import USED
from tests.bench.stream_rows import RATE

_MIB = 1 << 20
_GIB = 1 << 30
_REFERENCE_BOXES = "the reference boxes: 0.5 and 1.5 TB/h"


def write_table(report: dict[str, Any]) -> str:
    """The report of `tests.bench.report` as text."""
    machine, corpus = report["machine"], report["corpus"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores ({' '.join(machine['flags'])}), "
        f"{size(machine['memory_bytes'])}, Linux {machine['kernel']}",
        *report["versions"].values(),
        f"corpus {corpus['name']}: {size(corpus['disk_bytes'])} disk, "
        f"{size(corpus['first_used_bytes'])} then {size(corpus['second_used_bytes'])} used, "
        f"{size(corpus['changed_bytes'])} on the list of changes; page cache warm, medians of "
        f"{report['runs']}; RSS of commands side by side is their sum",
        *(f"{name}: {value}" for name, value in report["facts"].items()),
    ]
    blocks = (
        ("", _HEAD, _list_costs(report)),
        ("", ("stored MiB", "first", "second", "both"), _list_bytes(report)),
        ("", ("where a first full's time goes", "seconds", "share"), _list_stages(report)),
        ("", ("random reads", "program", "reads/s", "RSS MiB", "we: x"), _list_reads(report)),
        (f"of used bytes; {_REFERENCE_BOXES}", ("speed", "MB/s", "TB/h"), _list_speeds(report)),
        ("", ("growth", "GiB to read", "seconds", "s/GiB", "RSS MiB", "new MiB"),
         _list_growth(report)),
        ("", ("target", "reached", "bound", "yes/no", "aim", "yes/no"), _list_targets(report)),
    )  # fmt: skip
    for title, head, rows in blocks:
        if rows:
            lines += ["", *([title] if title else []), *align([head, *rows])]
    return "\n".join(lines) + "\n"


_HEAD = (
    "", "program", "seconds", "CPU s", "RSS MiB", "read MiB", "written MiB", "new MiB",
    "we are faster by",
)  # fmt: skip


def _list_costs(report: dict[str, Any]) -> list[tuple[str, ...]]:
    listed: list[tuple[str, ...]] = []
    for row, programs in report["rows"].items():
        ratios = report["ratios"].get(row, {})
        for name, cost in programs.items():
            if "seconds" not in cost:
                continue
            stored, ratio = cost.get("stored_bytes"), ratios.get(name)
            listed.append(
                (
                    row,
                    name,
                    f"{cost['seconds']:.2f}",
                    f"{cost['cpu_s']:.2f}",
                    f"{cost['max_rss_bytes'] / _MIB:.0f}",
                    f"{cost['read_bytes'] / _MIB:.0f}",
                    f"{cost['written_bytes'] / _MIB:.0f}",
                    "" if stored is None else f"{stored / _MIB:.1f}",
                    "" if ratio is None else f"{ratio:.2f} x",
                )
            )
        listed += [
            (row, f"({name}, full scan)", "", "", "", "", "", "", f"{ratio:.2f} x")
            for name, ratio in ratios.items()
            if name not in programs
        ]
    return listed


def _list_bytes(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, *(f"{stored[key] / _MIB:.1f}" for key in ("first", "second", "both")))
        for name, stored in report["bytes"].items()
    ]


def _list_stages(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{seconds:.2f}", f"{share:.0%}" if share else "")
        for name, seconds, share in report["stages"]
    ]


def _list_reads(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            row,
            name,
            f"{sample['reads_s']:.0f}",
            f"{sample['max_rss_bytes'] / _MIB:.0f}",
            f"{ratio:.2f}" if (ratio := report["ratios"].get(row, {}).get(name)) else "",
        )
        for row, programs in report["rows"].items()
        for name, sample in programs.items()
        if "reads_s" in sample
    ]


def _list_speeds(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Ours, in used bytes a second: what a box protects or gives back in an hour."""
    corpus, rates = report["corpus"], {}
    for row, key in (
        (disk_rows.FIRST, "first_used_bytes"),
        (disk_rows.SECOND, "second_used_bytes"),
        (disk_rows.RESTORE, "second_used_bytes"),
    ):
        if "holdfast" in report["rows"].get(row, {}):
            rates[row] = corpus[key] / report["rows"][row]["holdfast"]["seconds"]
    for row, programs in report["rows"].items():
        if RATE in programs.get("holdfast", {}):
            rates[row] = programs["holdfast"][RATE]
    return [(row, f"{rate / 1e6:.0f}", f"{rate * 3600 / 1e12:.2f}") for row, rate in rates.items()]


def _list_growth(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            row,
            f"{sample[USED] / _GIB:.3f}",
            f"{sample['seconds']:.2f}",
            f"{sample['seconds'] * _GIB / sample[USED]:.2f}" if sample[USED] else "",
            f"{sample['max_rss_bytes'] / _MIB:.0f}",
            f"{sample['stored_bytes'] / _MIB:.1f}",
        )
        for row, programs in report["rows"].items()
        for sample in programs.values()
        if USED in sample
    ]


def _list_targets(report: dict[str, Any]) -> list[tuple[str, ...]]:
    answers = {True: "yes", False: "NO", None: ""}
    return [
        (
            target["what"],
            "not measured" if target["value"] is None else f"{target['value']:.2f}",
            "" if target["left"] is None else f"{target['left']:g}",
            answers[target["left_reached"]],
            "" if target["aim"] is None else f"{target['aim']:g}",
            answers[target["aim_reached"]],
        )
        for target in report["targets"]
    ]


def align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines: what a row is called to the left, figures to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    left = 2 if rows[0][1] == "program" else 1
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
