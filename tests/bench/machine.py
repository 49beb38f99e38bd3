"""What the bench ran on, as far as it explains the figures."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

# What decides how fast cutting, hashing and sealing can be.
_TELLING_FLAGS = (
    "aes", "avx2", "avx512bw", "avx512f", "bmi2", "gfni", "pclmulqdq", "sha_ni", "vaes",
    "vpclmulqdq",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """CPU model, its telling flags, usable cores, memory, kernel."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", "unknown"),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in _TELLING_FLAGS if flag in flags],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
    }
