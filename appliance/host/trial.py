"""New addresses on trial: until somebody who reached the box by them says keep, they go back.

Owns one trial at a time. While it lasts everything of it lies below /run, so that a host that
restarts has its old addresses again; only what was kept is written below /etc. A trial that is
over and not kept is undone by whoever looks next: the command that began it, the daemon, or the
next command.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.durable import make_directory, named_os_errors, remove_file, write_file
from appliance.base.errors import BusyError, HoldfastError, NotFoundError, UsageError
from appliance.base.locks import FileLock
from appliance.host.addressing import Addressing, format_network_file
from appliance.host.host import Host, require
from appliance.host.ports import FILE_PREFIX, FILES, Port, Ports

WITHIN_MIN_S, WITHIN_MAX_S = 1, 600
_TRIAL_FILES, _TRIAL_PREFIX = "run/systemd/network", "00-holdfast-"
_NOTES = "run/holdfast"
_HEADING = "Written by 'holdfast box network': change it there."
_ON_TRIAL = "On trial by 'holdfast box network'; gone unless it is kept."
_TAKEN_UP_S = 10.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class Trial:
    """Addresses on trial.

    Attributes:
        until_s: when they go back, by the clock that only runs while the host does.
        text: the file that is kept if somebody says so.
    """

    id: str
    port: str
    until_s: float
    text: str


class Trials:
    """The one trial that there may be. Any process of the host may ask."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._ports = Ports(host)
        self._note = host.path(f"{_NOTES}/network-trial.json")

    def current(self) -> Trial | None:
        """The trial that is under way."""
        try:
            said = json.loads(self._note.read_text("utf-8"))
            return Trial(
                str(said["id"]), str(said["port"]), float(said["until_s"]), str(said["text"])
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            # Nobody can say any more what is on trial: everything that is goes back.
            return Trial("", "", -math.inf, "")

    def left_s(self, trial: Trial) -> float:
        """How long it may still be kept, in seconds; negative when it is over."""
        return trial.until_s - self._clock.monotonic_s()

    def begin(self, port: Port, addressing: Addressing, within_s: float) -> Trial:
        """Let networkd give `port` these addresses now, for so long.

        Raises UsageError, AccessError where the port cannot be set, BusyError beside another
        trial, and HoldfastError if networkd does not take it up; then all is as it was.
        """
        if not WITHIN_MIN_S <= within_s <= WITHIN_MAX_S:
            raise UsageError(f"a trial lasts {WITHIN_MIN_S} to {WITHIN_MAX_S} seconds")
        require(port.obstacle)
        if addressing.dns and not self._ports.has_resolver():
            raise UsageError(
                "systemd-resolved does not run here, so a port's name servers are not asked: "
                "leave them out, and name them in /etc/resolv.conf"
            )
        with self._lock():
            if self.current() is not None:
                raise BusyError(
                    "other addresses are on trial: 'holdfast box keep' or 'holdfast box undo' first"
                )
            trial = Trial(
                secrets.token_hex(8),
                port.name,
                self._clock.monotonic_s() + within_s,
                format_network_file(port.name, addressing, _HEADING),
            )
            self._write_note(trial)
            try:
                self._put_on(trial, format_network_file(port.name, addressing, _ON_TRIAL))
            except BaseException:
                self._take_off()
                raise
        return trial

    def keep(self) -> Trial:
        """Keep what is on trial, durably. Raises NotFoundError where nothing is."""
        with self._lock():
            trial = self.current()
            if trial is None or self.left_s(trial) <= 0:
                raise NotFoundError("no addresses are on trial: they went back, or were kept")
            path = self._kept(trial.port)
            make_directory(path.parent, 0o755)
            _write_public(path, trial.text)
            self._take_off()
        return trial

    def undo(self, wanted: Trial | None = None) -> Trial:
        """Let the port be as it was. `wanted`: only if it is this one that is on trial.

        Raises NotFoundError where nothing, or another one, is.
        """
        with self._lock():
            trial = self.current()
            if trial is None or (wanted is not None and wanted.id != trial.id):
                raise NotFoundError("no addresses are on trial")
            self._take_off()
        return trial

    def undo_late(self) -> Trial | None:
        """Undo a trial that is over; gives it. Costs one look at a file where there is none."""
        if not self._note.exists():
            return None
        with self._lock():
            trial = self.current()
            if trial is None or self.left_s(trial) > 0:
                return None
            self._take_off()
        return trial

    def was_kept(self, trial: Trial) -> bool:
        """Whether the port has, also after a restart, what was on trial."""
        try:
            return self._kept(trial.port).read_text("utf-8") == trial.text
        except OSError:
            return False

    # ---- files ----

    def _lock(self) -> FileLock:
        make_directory(self._note.parent)
        return FileLock(self._note.with_suffix(".lock"))

    def _kept(self, port: str) -> Path:
        return self._host.path(f"{FILES}/{FILE_PREFIX}{port}.network")

    def _write_note(self, trial: Trial) -> None:
        write_file(self._note, json.dumps(vars(trial)).encode())

    def _put_on(self, trial: Trial, text: str) -> None:
        path = self._host.path(f"{_TRIAL_FILES}/{_TRIAL_PREFIX}{trial.port}.network")
        make_directory(path.parent, 0o755)
        _write_public(path, text)
        self._host.run("networkctl", "reload")
        deadline_s = self._clock.monotonic_s() + _TAKEN_UP_S
        while (file := self._ports.file_in_force(trial.port)) != self._shown(path):
            if self._clock.monotonic_s() > deadline_s:
                raise HoldfastError(
                    f"networkd does not take the new addresses of {trial.port}: it follows "
                    f"{file or 'no file'}; 'networkctl status {trial.port}' says more"
                )
            self._clock.sleep_s(_LOOK_S)

    def _shown(self, path: Path) -> str:
        return f"/{path.relative_to(self._host.root)}"

    def _take_off(self) -> None:
        """The note goes last: until then whoever looks next does this again."""
        for path in self._host.path(_TRIAL_FILES).glob(f"{_TRIAL_PREFIX}*.network"):
            remove_file(path)
        self._host.run("networkctl", "reload")
        remove_file(self._note)


def _write_public(path: Path, text: str) -> None:
    """For a service that is another user, whatever our umask is."""
    write_file(path, text.encode(), 0o644)
    with named_os_errors(path):
        path.chmod(0o644)
