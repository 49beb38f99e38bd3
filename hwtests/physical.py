"""A bench of real machines, described by a TOML file; see `hwtests/bench.example.toml`.

Owns the way there and the list of disks that may be overwritten: those whose serial numbers stand
in the file, and no others.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

from hwtests.bench import PATIENCE_S, Said, await_true, succeed


class Physical:
    """The machine that a file describes."""

    can: frozenset[str] = frozenset()

    def __init__(self, path: Path) -> None:
        described = tomllib.loads(path.read_text())
        bench = described["bench"]
        self._way = [str(word) for word in bench.get("command", [])]
        self._holdfast = [str(word) for word in bench["holdfast"]]
        self._state = str(bench["state"])
        self._serials: dict[str, list[str]] = {}
        for disk in described.get("disk", []):
            self._serials.setdefault(str(disk["role"]), []).append(str(disk["serial"]))
        self._started: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}

    def _argv(self, argv: tuple[str, ...]) -> list[str]:
        return [*self._way, shlex.join(argv)] if self._way else list(argv)

    def run(self, *argv: str, stdin: str = "", timeout_s: float = PATIENCE_S) -> Said:
        """Run a program there."""
        began_s = time.monotonic()
        done = subprocess.run(
            self._argv(argv),
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        seconds = time.monotonic() - began_s
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        return Said(done.returncode, out, err, seconds)

    def holdfast(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Said:
        """Run the product there."""
        return self.run(*self._holdfast, "--state", self._state, *arguments, timeout_s=timeout_s)

    def start(self, *arguments: str) -> int:
        """Start the product there and leave it running."""
        descriptor, name = tempfile.mkstemp(prefix="hwtest-")
        argv = self._argv((*self._holdfast, "--state", self._state, *arguments))
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=descriptor, start_new_session=True
        )
        os.close(descriptor)
        self._started[process.pid] = (process, Path(name))
        return process.pid

    def output(self, number: int) -> str:
        """What it has printed so far."""
        return self._started[number][1].read_text(errors="replace")

    def time_until(
        self, number: int, text: str, *argv: str, timeout_s: float = PATIENCE_S
    ) -> float:
        """Run a program there; gives the seconds until the started product says `text`."""
        before = len(self.output(number))
        began_s = time.monotonic()
        succeed(self.run(*argv))
        await_true(lambda: text in self.output(number)[before:], text, timeout_s=timeout_s)
        return time.monotonic() - began_s

    def end_all(self) -> None:
        """End whatever was started and still runs."""
        for number in list(self._started):
            self.end(number)

    def end(self, number: int) -> None:
        """End it, and wait until it is gone."""
        process, path = self._started.pop(number)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_S)
        path.unlink()

    def offers(self, role: str) -> int:
        """How many disks stand in the file for `role`."""
        return len(self._serials.get(role, []))

    def disks(self, role: str, count: int) -> list[str]:
        """Kernel names of `count` disks whose serial numbers stand in the file for `role`."""
        listed = self.holdfast("disks", "--json").json()["disks"]
        known = {disk["serial"]: disk["name"] for disk in listed}
        names = [known[serial] for serial in self._serials.get(role, []) if serial in known]
        assert len(names) >= count, f"the file names {len(names)} disks for {role}, not {count}"
        return names[:count]
