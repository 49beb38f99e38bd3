"""LVM and ZFS as they are, read-only: names, sizes, and the state where the kernel says one.

Owns the view. Never changes a pool or a volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from appliance.formats.finding import Evidence, Finding
from appliance.health.inventory import SECTOR_BYTES
from appliance.health.kernel_tree import KernelTree, list_names, read_number, read_text

_ZFS_GOOD = ("ONLINE", "")
_ZFS_GONE = ("FAULTED", "UNAVAIL", "SUSPENDED", "REMOVED")


@dataclass(frozen=True)
class Pool:
    """A logical volume or a ZFS pool.

    Attributes:
        kind: lvm or zfs.
        state: ZFS only: ONLINE, DEGRADED, FAULTED, ...
        size_bytes: None where the kernel does not say.
        devices: kernel names of what it lies on directly.
    """

    kind: str
    name: str
    state: str
    size_bytes: int | None
    devices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def list_pools(tree: KernelTree) -> list[Pool]:
    """All logical volumes and all ZFS pools."""
    volumes = []
    for name in list_names(tree.sys / "block"):
        folder = tree.block(name)
        if read_text(folder / "dm/uuid").startswith("LVM-"):
            volumes.append(
                Pool(
                    kind="lvm",
                    name=read_text(folder / "dm/name"),
                    state="",
                    size_bytes=(read_number(folder / "size") or 0) * SECTOR_BYTES,
                    devices=tuple(list_names(folder / "slaves")),
                )
            )
    top = tree.proc / "spl/kstat/zfs"
    pools = [
        Pool("zfs", name, read_text(top / name / "state"), None, ())
        for name in list_names(top)
        if (top / name / "state").exists()
    ]
    return [*volumes, *pools]


def judge_pools(pools: list[Pool], now: datetime) -> Iterator[Finding]:
    """ZFS pools that are not as they should be."""
    for pool in pools:
        if pool.kind != "zfs" or pool.state in _ZFS_GOOD:
            continue
        yield Finding(
            subject=f"pool {pool.name}",
            rule="pool.state",
            severity="critical" if pool.state in _ZFS_GONE else "warning",
            summary=f"the ZFS pool {pool.name} is {pool.state}",
            evidence=(Evidence("state", ((now, pool.state),), "", "ONLINE"),),
            consequence="What lies on it is lost, or is with the next disk that fails.",
            action=f"'zpool status -x {pool.name}' names the device and what to do.",
        )
