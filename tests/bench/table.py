"""The bench's report for people: aligned lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.base.text import size

_MIB = 1 << 20


def write_table(report: dict[str, Any]) -> str:
    """The report of `tests.bench.bench` as text."""
    machine, corpus = report["machine"], report["corpus"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores ({' '.join(machine['flags'])}), "
        f"{size(machine['memory_bytes'])}, Linux {machine['kernel']}",
        *report["versions"].values(),
        f"corpus {corpus['name']}: {size(corpus['disk_bytes'])} disk, "
        f"{size(corpus['first_used_bytes'])} then {size(corpus['second_used_bytes'])} used, "
        f"{size(corpus['changed_bytes'])} changed; page cache warm, medians of {report['runs']}",
        "",
        *_align([_HEAD, *_list_costs(report)]),
        "",
        *_align([("stored MiB", "first", "second", "both"), *_list_bytes(report)]),
    ]
    return "\n".join(lines) + "\n"


_HEAD = ("", "program", "seconds", "MB/s", "CPU s", "RSS MiB", "new MiB", "we are faster by")


def _list_costs(report: dict[str, Any]) -> list[tuple[str, ...]]:
    listed: list[tuple[str, ...]] = []
    disk_bytes = report["corpus"]["disk_bytes"]
    for row, programs in report["rows"].items():
        for name, cost in programs.items():
            stored = cost.get("stored_bytes")
            ratio = report["ratios"].get(row, {}).get(name)
            listed.append(
                (
                    row,
                    name,
                    f"{cost['seconds']:.2f}",
                    f"{disk_bytes / cost['seconds'] / 1e6:.0f}",
                    f"{cost['cpu_s']:.2f}",
                    f"{cost['max_rss_bytes'] / _MIB:.0f}",
                    "" if stored is None else f"{stored / _MIB:.1f}",
                    "" if ratio is None else f"{ratio:.2f} x",
                )
            )
        others = report["ratios"].get(row, {}).items()
        listed += [
            (row, f"({name}, full scan)", "", "", "", "", "", f"{ratio:.2f} x")
            for name, ratio in others
            if name not in programs
        ]
    return listed


def _list_bytes(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, *(f"{stored[key] / _MIB:.1f}" for key in ("first", "second", "both")))
        for name, stored in report["bytes"].items()
    ]


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    left = 2 if len(widths) > 4 else 1
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
