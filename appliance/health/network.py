"""Network ports: whether there is a link, and whether it is as fast as it should be.

Owns the reading and the rules. Never configures anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from appliance.formats.finding import Evidence, Finding
from appliance.health.kernel_tree import KernelTree, list_names, read_number, read_text

_IFF_UP = 1
_SLOW_MBIT_S = 100


@dataclass(frozen=True)
class Port:
    """One physical port.

    Attributes:
        is_wanted: somebody configured it.
        speed_mbit_s: None where the port does not say.
    """

    name: str
    is_wanted: bool
    has_link: bool
    speed_mbit_s: int | None
    duplex: str
    link_changes: int

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def list_ports(tree: KernelTree) -> list[Port]:
    """All ports with hardware behind them."""
    ports = []
    top = tree.sys / "class/net"
    for name in list_names(top):
        folder = top / name
        if not (folder / "device").exists():
            continue
        flags = read_text(folder / "flags")
        speed = read_number(folder / "speed")
        ports.append(
            Port(
                name=name,
                is_wanted=bool(int(flags, 16) & _IFF_UP) if flags.startswith("0x") else False,
                has_link=read_text(folder / "carrier") == "1",
                speed_mbit_s=speed if speed is not None and speed > 0 else None,
                duplex=read_text(folder / "duplex"),
                link_changes=read_number(folder / "carrier_changes") or 0,
            )
        )
    return ports


def judge_ports(ports: list[Port], now: datetime) -> Iterator[Finding]:
    """Ports without a link, and links that came up slower than the cable should allow."""
    wanted = [port for port in ports if port.is_wanted]
    has_any = any(port.has_link for port in wanted)
    for port in wanted:
        if not port.has_link:
            yield Finding(
                subject=f"port {port.name}",
                rule="network.link",
                severity="notice" if has_any else "critical",
                summary=f"{port.name} has no link",
                evidence=(Evidence("carrier", ((now, 0.0),)),),
                consequence="Another port still works."
                if has_any
                else "No machine can be protected, and nothing reaches the vault.",
                action="Look at the cable and at the switch.",
            )
        elif port.duplex == "half" or (port.speed_mbit_s or _SLOW_MBIT_S + 1) <= _SLOW_MBIT_S:
            yield Finding(
                subject=f"port {port.name}",
                rule="network.slow",
                severity="warning",
                summary=f"{port.name} runs at {port.speed_mbit_s or '?'} Mbit/s, {port.duplex} "
                "duplex",
                evidence=(Evidence("speed", ((now, float(port.speed_mbit_s or 0)),), "Mbit/s"),),
                consequence="Backups take ten times as long as over a gigabit.",
                action="Replace the cable: a broken pair does this.",
            )
