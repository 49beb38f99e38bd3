"""Thin pools of the device mapper, LVM's above all: how full, until when, and whether they work.

Owns asking the kernel for it, and the rules. A pool promises more than it has, so what lies on it
sees nothing of its end in `df`. Never changes a pool, and does not make it write.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from appliance.base.errors import IntegrityError
from appliance.base.text import size
from appliance.formats.device_mapper import (
    METADATA_BLOCK_BYTES,
    TABLE_STATUS,
    ThinPoolStatus,
    make_status_request,
    parse_thin_pool,
)
from appliance.formats.finding import Evidence, Finding
from appliance.health.kernel_tree import KernelTree, list_names, read_text
from appliance.health.space import Samples, describe_end, forecast_full, rate_fill, thin_out

_NUMBER = re.compile(r"([0-9]{1,4}):([0-9]{1,7})")
_LVM = "LVM-"
_LVM_POOL = "-tpool"

AskStatus = Callable[[int], bytes]
"""The answer to TABLE_STATUS for a device number. Raises OSError."""
Recall = Callable[[str, str, float], Samples]
"""Note what is used now of (subject, what), and give all that was noted."""


@dataclass(frozen=True)
class _Part:
    """What of a pool can be full by itself: its `data` or its `metadata`."""

    what: str
    rule: str
    used_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class ThinPool:
    """One pool. `name`: as its owner calls it, for LVM VG/POOL."""

    name: str
    is_lvm: bool
    status: ThinPoolStatus

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {"name": self.name, "lvm": self.is_lvm, **asdict(self.status)}

    def parts(self) -> list[_Part]:
        """How full it is; nothing where it has failed."""
        status = self.status
        if not status.blocks:
            return []
        unit, least = status.size_bytes // status.blocks, METADATA_BLOCK_BYTES
        return [
            _Part(
                what="data",
                rule="pool.data",
                used_bytes=status.used * unit,
                size_bytes=status.blocks * unit,
            ),
            _Part(
                what="metadata",
                rule="pool.metadata",
                used_bytes=status.metadata_used * least,
                size_bytes=status.metadata_blocks * least,
            ),
        ]


def ask_kernel(tree: KernelTree) -> AskStatus:
    """Asks by the kernel's control node. Only root may."""

    def ask(device: int) -> bytes:
        request = make_status_request(device)
        control = os.open(tree.dev / "mapper/control", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(control, TABLE_STATUS, request)
        finally:
            os.close(control)
        return bytes(request)

    return ask


def list_thin_pools(tree: KernelTree, ask: AskStatus) -> list[ThinPool]:
    """All thin pools; what cannot be asked, or says what nobody knows, is left out."""
    found = []
    for name in list_names(tree.sys / "block"):
        folder = tree.block(name)
        number = _NUMBER.fullmatch(read_text(folder / "dev"))
        if number is None or not (folder / "dm").is_dir():
            continue
        try:
            status = parse_thin_pool(ask(os.makedev(int(number[1]), int(number[2]))))
        except (OSError, IntegrityError):
            continue
        if status is not None:
            is_lvm = read_text(folder / "dm/uuid").startswith(_LVM)
            shown = read_text(folder / "dm/name")
            found.append(ThinPool(_name_lvm(shown) if is_lvm else shown, is_lvm, status))
    return found


def _name_lvm(name: str) -> str:
    """VG/POOL of a name such as `my--vg-pool-tpool`: in its parts a hyphen is doubled."""
    parts = re.split("(?<!-)-(?!-)", name.removesuffix(_LVM_POOL))
    return "/".join(part.replace("--", "-") for part in parts)


def judge_thin_pools(pools: list[ThinPool], recall: Recall, now: datetime) -> Iterator[Finding]:
    """Every finding about them."""
    for pool in pools:
        yield from _judge_mode(pool, now)
        for part in pool.parts():
            used = float(part.used_bytes)
            samples = recall(f"pool {pool.name}", f"used {part.what} bytes", used)
            yield from _judge_fill(pool, part, samples, now)


def _judge_mode(pool: ThinPool, now: datetime) -> Iterator[Finding]:
    status = pool.status
    if status.mode == "rw" and not status.needs_check:
        return
    said = f"{status.mode}, needs_check" if status.needs_check else status.mode
    is_full = status.mode == "out_of_data_space" and not status.needs_check
    repair = f"'lvconvert --repair {pool.name}'" if pool.is_lvm else "'thin_check' and its kin"
    yield Finding(
        subject=f"pool {pool.name}",
        rule="pool.thin-state",
        severity="critical",
        summary=f"the thin pool {pool.name} takes no writes ({said})",
        evidence=(Evidence("mode", ((now, said),), "", "rw"),),
        consequence="Writes to its volumes fail or wait; filesystems on them become damaged or"
        " read-only.",
        action=f"Give it room: {_grow(pool, 'data')}."
        if is_full
        else f"Stop what uses it, then {repair} with all its volumes inactive.",
    )


def _judge_fill(pool: ThinPool, part: _Part, samples: Samples, now: datetime) -> Iterator[Finding]:
    what = part.what
    percent = 100.0 * part.used_bytes / part.size_bytes
    days = forecast_full(samples, part.size_bytes)
    severity = rate_fill(percent, days)
    if severity is None:
        return
    free = size(max(part.size_bytes - part.used_bytes, 0))
    waits = "fail at once" if pool.status.fails_at_once else "wait, a minute by default, then fail"
    yield Finding(
        subject=f"pool {pool.name}",
        rule=part.rule,
        severity=severity,
        summary=f"the {what} of the thin pool {pool.name} is {percent:.0f} % full, {free} free"
        f"{describe_end(days, now)}",
        evidence=(
            Evidence(
                f"used {what}",
                tuple((at, float(used)) for at, used in thin_out(samples)),
                "bytes",
                f"{part.size_bytes} bytes",
            ),
        ),
        consequence=f"When it is full writes to its volumes {waits}, whatever 'df' says there."
        if what == "data"
        else "When it is full the pool takes no writes before it was repaired offline.",
        action=f"Give it room: {_grow(pool, what)}; or remove snapshots that nobody needs.",
        measure=percent // 1 if days is None else -(days // 10),
    )


def _grow(pool: ThinPool, what: str) -> str:
    if not pool.is_lvm:
        return f"enlarge the device that holds its {what}"
    option = "--size" if what == "data" else "--poolmetadatasize"
    return f"'lvextend {option} +SIZE {pool.name}'"
