"""A small /sys and /proc of a test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.health.kernel_tree import KernelTree

MIB = 1 << 20


class KernelFiles:
    """Makes the files that the kernel would show."""

    def __init__(self, root: Path) -> None:
        self.tree = KernelTree(root)
        for folder in ("sys/block", "sys/class/block", "proc/self", "dev"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self._mounts: list[str] = []

    def write(self, path: str, content: str | bytes) -> Path:
        """A file below the root."""
        file = self.tree.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else f"{content}\n".encode())
        return file

    def block(
        self, name: str, way: str = "", size_bytes: int = 64 * MIB, number: str = "8:0"
    ) -> Path:
        """A block device whose way from the top of the devices is `way`."""
        folder = self.tree.sys / "devices" / (way or "virtual") / "block" / name
        (folder / "holders").mkdir(parents=True)
        (folder / "slaves").mkdir()
        shown = folder.relative_to(self.tree.root)
        self.write(f"{shown}/size", str(size_bytes // 512))
        self.write(f"{shown}/dev", number)
        self.write(f"{shown}/queue/rotational", "1")
        if way:
            (folder / "device").symlink_to(folder.parent.parent)
        for top in ("sys/block", "sys/class/block"):
            (self.tree.root / top / name).symlink_to(folder)
        device = self.tree.dev / name
        device.write_bytes(b"")
        with device.open("r+b") as file:
            file.truncate(min(size_bytes, 64 * MIB))
        return folder

    def disk(
        self,
        name: str,
        *,
        serial: str = "",
        model: str = "DISK",
        size_bytes: int = 64 * MIB,
        number: str = "8:0",
        host: int = 2,
    ) -> Path:
        """A SCSI disk."""
        way = f"pci0000:00/0000:00:1f.2/host{host}/target{host}:0:0/{host}:0:0:0"
        folder = self.block(name, way, size_bytes, number)
        for file, text in (("model", model), ("vendor", "MAKER"), ("rev", "1.0")):
            (folder / "device" / file).write_text(f"{text}\n")
        page = b"\0\x80" + len(serial).to_bytes(2, "big") + serial.encode()
        (folder / "device/vpd_pg80").write_bytes(page)
        return folder

    def partition(self, disk: Path, name: str, number: str = "8:1") -> Path:
        """A partition of `disk`."""
        folder = disk / name
        (folder / "holders").mkdir(parents=True)
        (folder / "partition").write_text("1\n")
        (folder / "dev").write_text(f"{number}\n")
        (self.tree.sys / "class/block" / name).symlink_to(folder)
        return folder

    def array(
        self,
        name: str,
        level: str,
        members: Mapping[str, str],
        *,
        slots: int | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """An array; `members` are name -> states, in the order of their slots."""
        folder = self.block(name, number="9:0")
        working = [states for states in members.values() if states.startswith("in_sync")]
        count = slots if slots is not None else len(members)
        values = {
            "level": level,
            "raid_disks": str(count),
            "degraded": str(count - len(working)),
            "array_state": "clean",
            "sync_action": "idle",
            "sync_completed": "none",
            "mismatch_cnt": "0",
            "bitmap/location": "+8",
            "component_size": str(60 * 1024),
            **(files or {}),
        }
        md = folder / "md"
        for file, text in values.items():
            (md / file).parent.mkdir(parents=True, exist_ok=True)
            (md / file).write_text(f"{text}\n")
        slot = 0
        for member, states in members.items():
            place = md / f"dev-{member}"
            place.mkdir()
            is_in_sync = states.startswith("in_sync")
            (place / "state").write_text(f"{states}\n")
            (place / "slot").write_text(f"{slot}\n" if is_in_sync else "none\n")
            (place / "errors").write_text("0\n")
            (place / "size").write_text(f"{60 * 1024}\n")
            slot += is_in_sync
            holder = self.tree.block(member) / "holders" / name
            holder.symlink_to(folder)
        return folder

    def mount(self, number: str, source: str, target: str, options: str = "rw") -> None:
        """A mounted ext4."""
        self._mounts.append(f"36 35 {number} / {target} {options} shared:1 - ext4 {source} rw")
        self.write("proc/self/mountinfo", "\n".join(self._mounts))

    def slot(self, enclosure: str, name: str, disk: Path | None) -> Path:
        """A bay of an enclosure; gives the file of its light."""
        place = f"sys/class/enclosure/{enclosure}/{name}"
        self.write(f"{place}/status", "OK")
        if disk is not None:
            (self.tree.root / place / "device").symlink_to((disk / "device").resolve())
        return self.write(f"{place}/locate", "0")


def names(items: Sequence[object]) -> list[str]:
    """Their rules or names."""
    return [str(getattr(item, "rule", getattr(item, "name", item))) for item in items]
