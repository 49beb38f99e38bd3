"""What commands cost: time, CPU, memory and the disk's bytes, measured from outside.

Owns: running one measured command, or several at once. Never does: know which program it is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import HoldfastError

_SECTOR_BYTES = 512  # the unit of ru_inblock and ru_oublock, see getrusage(2)
Argv = Sequence[str | Path]


@dataclass(frozen=True)
class Cost:
    """What one command cost, its children included. Bytes read and written are the disk's."""

    seconds: float
    user_s: float
    system_s: float
    max_rss_bytes: int
    read_bytes: int
    written_bytes: int

    @property
    def cpu_s(self) -> float:
        """User and system time together."""
        return self.user_s + self.system_s


class Running:
    """One command on its way. Its standard output goes to `out`, or nowhere."""

    def __init__(
        self, argv: Argv, environment: Mapping[str, str], log: Path, out: Path | None = None
    ) -> None:
        self._argv = argv
        self._log = log
        self._began_s = time.monotonic()
        with log.open("ab") as complaints, (out or Path(os.devnull)).open("wb") as said:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complaints,
                env={**os.environ, **environment},
            )

    def wait(self) -> Cost:
        """Its cost from start to end. Raises HoldfastError if it fails."""
        try:
            _, status, usage = os.wait4(self.process.pid, 0)
        except BaseException:
            # Its files are about to be removed.
            self.process.kill()
            self.process.wait()
            raise
        seconds = time.monotonic() - self._began_s
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            shown = " ".join(str(word) for word in self._argv)
            raise HoldfastError(f"{shown}: exit code {self.process.returncode} (see {self._log})")
        return Cost(
            seconds,
            usage.ru_utime,
            usage.ru_stime,
            usage.ru_maxrss << 10,
            usage.ru_inblock * _SECTOR_BYTES,
            usage.ru_oublock * _SECTOR_BYTES,
        )

    def stop(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def measure(argv: Argv, environment: Mapping[str, str], log: Path, out: Path | None = None) -> Cost:
    """Run `argv` from start to end; what it complains goes to `log`.

    Raises HoldfastError if it fails.
    """
    return Running(argv, environment, log, out).wait()


def peak_memory_bytes(pid: int) -> int:
    """The largest resident size of a running process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) << 10
    raise HoldfastError(f"process {pid} has ended")
