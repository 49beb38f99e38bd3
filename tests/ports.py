"""Ports of loopback for servers of others, which cannot say which one they took.

Owns only the choice: from below those that the kernel gives to connections, so that nobody takes
one by chance before its server has it, or while that is killed and started again.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

HOST = "127.0.0.1"
_LOWEST = 10_240
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CHANCE = random.SystemRandom()  # other runs of the tests choose beside this one


def free_ports(count: int) -> list[int]:
    """So many ports, different ones, that nobody has now."""
    above = int(_RANGE.read_text().split()[0])
    candidates = range(_LOWEST, above) if above > _LOWEST + 1000 else range(_LOWEST, 1 << 16)
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            port = _CHANCE.choice(candidates)
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(socket.socket(type=kind)).bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    return ports


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
