"""The list of a machine's boot set: docs/format/boots.md. Owns its bytes; it never seals."""

from __future__ import annotations

import json
from dataclasses import dataclass

from appliance.formats.fields import Fields

LIST_MAX_BYTES = 1 << 20
CONTAINERS_MAX = 1024
_FORMAT = 1
_NAME_BYTES = 32
_CONTAINER_MAX_BYTES = 32 << 20


@dataclass(frozen=True)
class BootSet:
    """The containers below `boots/` that hold what a machine reads when it boots, in order.

    `machine` is its folder, `point` the time in the name of the point's file.
    """

    machine: str
    point: str
    containers: tuple[tuple[bytes, int], ...]
    """(name, size in bytes)."""

    @property
    def place(self) -> str:
        """What the list is sealed to."""
        return f"boots/{self.machine}"


def encode_boot_set(boot_set: BootSet) -> bytes:
    """The plaintext of the list."""
    containers = [{"name": name.hex(), "size_bytes": size} for name, size in boot_set.containers]
    members = {
        "format": _FORMAT,
        "machine": boot_set.machine,
        "point": boot_set.point,
        "containers": containers,
    }
    return json.dumps(members, separators=(",", ":")).encode()


def decode_boot_set(data: bytes, machine: str) -> BootSet:
    """Read what `encode_boot_set` wrote for a machine. Raises IntegrityError."""
    fields = Fields.parse(data, "boot set", LIST_MAX_BYTES)
    fields.integer("format", _FORMAT, _FORMAT)
    fields.choice("machine", (machine,))
    items = fields.items("containers")
    if len(items) > CONTAINERS_MAX:
        raise fields.fault("containers", f"at most {CONTAINERS_MAX}")
    inner = [Fields(item, "boot set's container") for item in items]
    containers = (
        (one.hex("name", _NAME_BYTES), one.integer("size_bytes", 1, _CONTAINER_MAX_BYTES))
        for one in inner
    )
    return BootSet(machine, fields.text("point"), tuple(containers))
