"""The ports of a SAS disk and the errors on their links: log page 18h (SPL-4 10.2.8.1).

Owns the layout of a port's part of the page, and its names under the keys of `smartctl --json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.formats.page_bytes import read_be

SAS = 6
_PHY_BYTES, _HEAD_BYTES = 48, 4
_PHYS_MAX = 256
_ATTACHED = (
    *("no device attached", "SAS or SATA device", "expander device"),
    "expander device (fanout)",
)
_REASONS = (
    *("unknown", "power on", "hard reset", "SMP phy control function"),
    *("loss of dword synchronization", "mux mix up", "I_T nexus loss timeout for STP/SATA"),
    *("break timeout timer expired", "phy test function stopped"),
    "expander device reduced functionality",
)
_RATES = {
    0: "phy enabled; unknown",
    1: "phy disabled",
    2: "phy enabled; speed negotiation failed",
    3: "phy enabled; SATA spinup hold state",
    4: "phy enabled; port selector",
    5: "phy enabled; reset in progress",
    6: "phy enabled; unsupported phy attached",
    8: "phy enabled; 1.5 Gbps",
    9: "phy enabled; 3 Gbps",
    10: "phy enabled; 6 Gbps",
    11: "phy enabled; 12 Gbps",
}


@dataclass(frozen=True)
class SasPhy:
    """One link. `errors`: invalid words, disparity errors, lost synchronisation, failed resets."""

    identifier: int
    attached: int
    attached_reason: int
    reason: int
    rate: int
    initiator: int
    target: int
    address: int
    attached_address: int
    attached_phy: int
    errors: tuple[int, int, int, int]


@dataclass(frozen=True)
class SasPort:
    """One port and its links."""

    port: int
    generation: int
    phy_count: int
    phys: tuple[SasPhy, ...]


def parse_port(code: int, value: bytes) -> SasPort | None:
    """A parameter of log page 18h; None for one of another transport."""
    if len(value) < _HEAD_BYTES or value[0] & 0xF != SAS:
        return None
    phys: list[SasPhy] = []
    at = _HEAD_BYTES
    while at + _PHY_BYTES <= len(value) and len(phys) < _PHYS_MAX:
        phys.append(_parse_phy(value[at : at + _PHY_BYTES]))
        length = value[at + 3]  # 0 in disks of the first standards
        at += _PHY_BYTES if length < _PHY_BYTES - _HEAD_BYTES else _HEAD_BYTES + length
    return SasPort(code, value[2], value[3], tuple(phys))


def _parse_phy(phy: bytes) -> SasPhy:
    errors = [read_be(phy, 32 + 4 * index, 4) for index in range(4)]
    return SasPhy(
        identifier=phy[1],
        attached=phy[4] >> 4 & 7,
        attached_reason=phy[4] & 0xF,
        reason=phy[5] >> 4,
        rate=phy[5] & 0xF,
        initiator=phy[6],
        target=phy[7],
        address=read_be(phy, 8, 8),
        attached_address=read_be(phy, 16, 8),
        attached_phy=phy[24],
        errors=(errors[0], errors[1], errors[2], errors[3]),
    )


def port_to_json(port: SasPort) -> dict[str, Any]:
    """The port, by key."""
    return {
        "relative_target_port_id": port.port,
        "generation_code": port.generation,
        "number_of_phys": port.phy_count,
        **{f"phy_{index}": _show_phy(phy) for index, phy in enumerate(port.phys)},
    }


def _show_phy(phy: SasPhy) -> dict[str, Any]:
    invalid, disparity, lost, resets = phy.errors
    attached = phy.attached
    return {
        "identifier": phy.identifier,
        "attached_device_type": _ATTACHED[attached]
        if attached < len(_ATTACHED)
        else f"reserved [{attached}]",
        "attached_reason": _name_reason(phy.attached_reason),
        "reason": _name_reason(phy.reason),
        "negotiated_logical_link_rate": _RATES.get(phy.rate, f"reserved [{phy.rate}]"),
        "attached_initiator_port": {"ssp_stp_smp": _show_protocols(phy.initiator)},
        "attached_target_port": {"ssp_stp_smp": _show_protocols(phy.target)},
        "sas_address": f"0x{phy.address:x}",
        "attached_sas_address": f"0x{phy.attached_address:x}",
        "attached_phy_identifier": phy.attached_phy,
        "invalid_dword_count": invalid,
        "running_disparity_error_count": disparity,
        "loss_of_dword_synchronization_count": lost,
        "phy_reset_problem_count": resets,
    }


def _name_reason(reason: int) -> str:
    return _REASONS[reason] if reason < len(_REASONS) else f"reserved [0x{reason:x}]"


def _show_protocols(bits: int) -> str:
    return "".join("1" if bits & bit else "0" for bit in (8, 4, 2))
