"""What udev knows, and changes of disks and arrays as they happen.

Owns pyudev: properties of block devices, and the wait for the next event. One wait covers disks
and the kernel's own supplies (uevents), arrays (the kernel marks /proc/mdstat), media errors (the
kernel's log) and the links of ports (rtnetlink), so nobody has to poll. Never judges.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

import pyudev

from appliance.base.errors import Cancelled
from appliance.health.kernel_tree import KernelTree

Action = Literal["add", "remove", "change", "array", "log", "power", "port"]
_ACTIONS: dict[str, Action] = {"add": "add", "remove": "remove"}
_LOG_LINE_BYTES = 8192
_LOG_LINES_MAX = 1000
# Levels of syslog: 0 emergency to 4 warning; below that the log is chatter.
_LEVEL_MAX = 4
_RTMGRP_LINK = 1
_LINK_BYTES = 1 << 16


@dataclass(frozen=True)
class Change:
    """Something happened.

    Attributes:
        action: a disk came, went or changed; an array changed; the kernel wrote a warning; a supply
            that the kernel knows changed; the link of a network port did.
        name: kernel name of the disk or the supply, "" for arrays and ports; the line for the log.
    """

    action: Action
    name: str


# libudev counts references without locks, and a watch asks it in two threads.
_LOCK = threading.Lock()


@cache
def _context() -> pyudev.Context:
    # To find libudev takes longer than all that is asked of it.
    return pyudev.Context()


def read_properties(name: str) -> Mapping[str, str]:
    """What udev's database has of block device `name`; nothing where udev does not run."""
    with _LOCK:
        return _read_properties(name)


def _read_properties(name: str) -> Mapping[str, str]:
    try:
        device = pyudev.Devices.from_name(_context(), "block", name)
        return dict(device.properties)
    except pyudev.DeviceNotFoundError:
        return {}


class Changes:
    """The stream of changes from the moment it is made. Close it when done.

    One thread waits.
    """

    def __init__(self, tree: KernelTree, listener: int | None = None) -> None:
        """`listener` is a descriptor to which the changes go in the end: a wait ends with it."""
        # Where udev runs its own events come after its database is right; else the kernel's.
        source = "udev" if (tree.run / "udev/control").exists() else "kernel"
        self._monitor = pyudev.Monitor.from_netlink(_context(), source=source)
        self._monitor.filter_by("block")
        self._monitor.filter_by("power_supply")
        self._monitor.start()
        self._poll = select.poll()
        self._poll.register(self._monitor.fileno(), select.POLLIN)
        self._arrays = _open(tree.proc / "mdstat")
        if self._arrays is not None:
            os.pread(self._arrays, 1, 0)
            self._poll.register(self._arrays, select.POLLPRI)
        self._log = _open(tree.dev / "kmsg")
        if self._log is not None:
            os.lseek(self._log, 0, os.SEEK_END)
            self._poll.register(self._log, select.POLLIN)
        self._ports = _open_links()
        if self._ports is not None:
            self._poll.register(self._ports, select.POLLIN)
        self._ringing = threading.Lock()
        self._bell: int | None = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.POLLIN)
        self._listener = listener
        if listener is not None:
            self._poll.register(listener, 0)  # that its other end is gone is reported all the same

    def wake(self) -> None:
        """End a wait now. Any thread may call it, also when nobody waits any more."""
        with self._ringing:
            if self._bell is not None:
                os.eventfd_write(self._bell, 1)

    def wait(self, timeout_s: float) -> list[Change]:
        """What changed; nothing when `timeout_s` passed quietly, or somebody called `wake`.

        Raises Cancelled when nobody listens any more.
        """
        changes: list[Change] = []
        for descriptor, _ in self._poll.poll(timeout_s * 1000):
            if descriptor == self._listener:
                raise Cancelled
            if descriptor == self._monitor.fileno():
                with _LOCK:
                    changes += self._read_disks()
            elif descriptor == self._bell:
                os.eventfd_read(descriptor)
            elif descriptor == self._arrays:
                os.pread(descriptor, 1, 0)  # until it is read again it stays marked
                changes.append(Change("array", ""))
            elif self._ports is not None and descriptor == self._ports.fileno():
                _drain(self._ports)
                changes.append(Change("port", ""))
            else:
                changes += self._read_log(descriptor)
        return list(dict.fromkeys(changes))

    def _read_disks(self) -> list[Change]:
        changes: list[Change] = []
        while (device := self._monitor.poll(timeout=0)) is not None:
            action = _ACTIONS.get(device.action or "", "change")
            if device.subsystem == "power_supply":
                action = "power"
            changes.append(Change(action, device.sys_name))
        return changes

    @staticmethod
    def _read_log(descriptor: int) -> list[Change]:
        changes = []
        for _ in range(_LOG_LINES_MAX):
            try:
                record = os.read(descriptor, _LOG_LINE_BYTES).decode("utf-8", "replace")
            except BlockingIOError:
                break
            except OSError:
                continue  # overwritten before we read it: the next one is there
            head, _, text = record.partition(";")
            priority = head.split(",")[0]
            if priority.isdecimal() and int(priority) % 8 <= _LEVEL_MAX:
                changes.append(Change("log", text.splitlines()[0] if text else ""))
        return changes

    def close(self) -> None:
        """Stop listening."""
        if self._ports is not None:
            self._ports.close()
        with self._ringing:
            bell, self._bell = self._bell, None
        for descriptor in (self._arrays, self._log, bell):
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: os.PathLike[str]) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None


def _open_links() -> socket.socket | None:
    """Messages about links (rtnetlink(7)); None where the kernel gives none."""
    try:
        links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        links.bind((0, _RTMGRP_LINK))
    except OSError:
        return None
    return links


def _drain(links: socket.socket) -> None:
    """What they say is read from sysfs: here only that there was something."""
    with suppress(BlockingIOError):
        while True:
            with suppress(InterruptedError):
                try:
                    links.recv(_LINK_BYTES)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:  # more than fits: some were lost, no matter
                        raise
