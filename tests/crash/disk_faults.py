"""Every disk fault at every call that the program makes: run with `faulty_disk.c` preloaded.

    LD_PRELOAD=faulty_disk.so python -m tests.crash.disk_faults FOLDER SEED COUNT PART PARTS [KIND]

Commands run in this process, one after the other, each on a fresh copy of a store. A first run
counts its calls; then one of them fails, or all from there on. The command has to end with the
right error in one line, or well and with the right result; the store has to keep its promises when
the disk is sound again. Prints what went wrong, and last what was run, as JSON.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tests.crash.recording import read_tree
from tests.crash.story import (
    IGNORED,
    Answer,
    Promise,
    Scene,
    check,
    do,
    fingerprint,
    one_thread,
    run,
)

KINDS = ("open", "read", "write", "sync", "name", "list", "stat", "map")
FAIL, SHORT, TORN, FLIP, MISDIRECT, STALE, WAIT = range(7)
FAILED, DAMAGED, MISSING, BUSY, FULL, NO_ACCESS = 1, 4, 5, 6, 7, 8


class Fault(NamedTuple):
    """One way in which a disk lets us down, and the exit codes that may come of it."""

    name: str
    kinds: tuple[str, ...]
    how: int
    error: int
    codes: frozenset[int]


_READS_FAIL = frozenset({FAILED, DAMAGED})
FAULTS = (
    Fault("EIO", KINDS, FAIL, errno.EIO, _READS_FAIL),
    Fault("ENOSPC", ("open", "write", "sync", "name"), FAIL, errno.ENOSPC, frozenset({FULL})),
    Fault("EROFS", ("open", "name"), FAIL, errno.EROFS, frozenset({NO_ACCESS})),
    Fault("short", ("read", "write"), SHORT, errno.EIO, _READS_FAIL),
    Fault("torn", ("write",), TORN, errno.EIO, _READS_FAIL),
    Fault("flip", ("read",), FLIP, errno.EIO, _READS_FAIL | {MISSING, BUSY, NO_ACCESS}),
    Fault("misdirected", ("read",), MISDIRECT, errno.EIO, _READS_FAIL | {MISSING, BUSY, NO_ACCESS}),
    Fault("stale", ("read",), STALE, errno.EIO, _READS_FAIL | {MISSING, BUSY, NO_ACCESS}),
    Fault("slow", ("read", "write", "sync"), WAIT, 0, frozenset()),
)
SLOW_MS = 1
LIES = frozenset({SHORT, FLIP, MISDIRECT, STALE})


class Disk:
    """The faulty disk, which must be preloaded."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.fault_watch.argtypes = [ctypes.c_char_p]
        self._library.fault_count.restype = ctypes.c_long
        self._library.fault_struck.restype = ctypes.c_long
        self._library.fault_repeated_syncs.restype = ctypes.c_long
        self._library.fault_plan.argtypes = [ctypes.c_int, ctypes.c_long] + [ctypes.c_int] * 4

    def watch(self, folder: Path | None) -> None:
        """Count, and fail as planned, what concerns `folder`."""
        self._library.fault_watch(os.fsencode(folder) if folder else b"")

    def plan(self, kind: str, at: int, fault: Fault, *, for_ever: bool) -> None:
        """Let call number `at` of a kind fail, and all later ones with `for_ever`."""
        number = KINDS.index(kind)
        self._library.fault_plan(number, at, fault.how, fault.error, for_ever, SLOW_MS)

    def clear(self) -> None:
        """Let nothing fail, and count from nought."""
        self._library.fault_plan(-1, 0, 0, 0, 0, 0)

    def counts(self) -> dict[str, int]:
        """Calls by kind since the plan was made."""
        return {kind: self._library.fault_count(i) for i, kind in enumerate(KINDS)}

    @property
    def has_struck(self) -> bool:
        """Whether the planned fault happened."""
        return bool(self._library.fault_struck() > 0)

    @property
    def repeated_syncs(self) -> int:
        """How often a descriptor was synced again after that had failed."""
        return int(self._library.fault_repeated_syncs())


class Case(NamedTuple):
    """One run."""

    command: str
    kind: str
    at: int
    fault: Fault
    for_ever: bool

    def __str__(self) -> str:
        often = "for ever" if self.for_ever else "once"
        return f"{self.command}: {self.fault.name} {often} at {self.kind} {self.at}"


def places(kind: str, count: int) -> range:
    """Which calls fail: all, but of the many that ask for a file's status in a row only some."""
    return range(0, count, 9 if kind == "stat" and count > 100 else 1)


class Laboratory:
    """A store to begin with, and what commands do to it on a faulty disk."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._scene = scene = Scene(folder, seed)
        first = scene.back_up(scene.state, "first", "m")
        garbage = scene.back_up(scene.state, "third", "g")
        do(scene.state, "forget", garbage, "--now")
        do(scene.state, "points")
        required = {**scene.promise.required, first: scene.generations["first"]}
        self._promise = Promise(required)
        self._oldest = next(iter(required))
        self.commands: dict[str, Callable[[Path], tuple[Answer, Promise]]] = {
            "backup": self._back_up,
            "fresh": self._back_up_fresh,
            "forget": self._forget,
            "collect": lambda state: (run(state, "collect"), self._promise),
            "restore": self._restore,
            "points": self._list,
            "verify": self._verify,
            "look": lambda state: self._verify(state, "--look-only"),
        }
        self._disk = Disk()
        self._checked: set[bytes] = set()

    # ---- commands ----

    def _back_up(self, state: Path, machine: str = "m") -> tuple[Answer, Promise]:
        disks = [self._folder / f"second{number}.raw" for number in range(2)]
        answer = run(state, "--json", "backup", *disks, "--machine", machine)
        contents = self._scene.generations["second"]
        if answer.code:
            return answer, replace(self._promise, making=contents)
        required = {**self._promise.required, str(answer.json()["name"]): contents}
        return answer, Promise(required)

    def _back_up_fresh(self, state: Path) -> tuple[Answer, Promise]:
        return self._back_up(state, "fresh")

    def _forget(self, state: Path) -> tuple[Answer, Promise]:
        answer = run(state, "forget", self._oldest, "--now")
        rest = dict(self._promise.required)
        optional = {self._oldest: rest.pop(self._oldest)}
        return answer, Promise(rest, optional if answer.code else {})

    def _restore(self, state: Path) -> tuple[Answer, Promise]:
        target = self._folder / "restored"
        answer = run(state, "restore", self._oldest, target, "--force")
        if answer.code == 0:
            assert target.read_bytes() == self._promise.required[self._oldest][0]
        target.unlink(missing_ok=True)
        return answer, self._promise

    def _list(self, state: Path) -> tuple[Answer, Promise]:
        answer = run(state, "--json", "points")
        if answer.code == 0:
            names = {point["name"] for point in answer.json()["points"]}
            assert names == self._promise.required.keys(), "a list without what is there"
        return answer, self._promise

    def _verify(self, state: Path, *options: str) -> tuple[Answer, Promise]:
        return run(state, "verify", "--depth", "full", *options), self._promise

    # ---- cases ----

    def cases(self) -> Iterator[Case]:
        """Every fault at every call of every command, once and for ever."""
        for command in self.commands:
            counts = self._count(command)
            for fault in FAULTS:
                for kind in fault.kinds:
                    for at in places(kind, counts[kind]):
                        yield Case(command, kind, at, fault, for_ever=False)
                        yield Case(command, kind, at, fault, for_ever=True)

    def _count(self, command: str) -> dict[str, int]:
        state = self._scene.copy_state(self._folder / "try")
        self._disk.watch(state)
        self._disk.clear()
        self.commands[command](state)
        counts = self._disk.counts()
        self._disk.watch(None)
        shutil.rmtree(state)
        return counts

    def run(self, case: Case) -> None:
        """Raises AssertionError for a broken promise, and whatever else goes wrong."""
        state = self._scene.copy_state(self._folder / "try")
        try:
            self._disk.watch(state)
            self._disk.plan(case.kind, case.at, case.fault, for_ever=case.for_ever)
            try:
                answer, promise = self.commands[case.command](state)
            finally:
                repeated = self._disk.repeated_syncs
                self._disk.clear()
                self._disk.watch(None)
            said = [line for line in answer.err.splitlines() if line.startswith("holdfast:")]
            codes = case.fault.codes | {0}
            if "is held, although" in answer.err:
                codes |= {BUSY}  # a hold that cannot be read holds
            assert answer.code in codes, f"exit {answer.code}: {answer.err}"
            assert "unexpected" not in answer.err, answer.err
            assert answer.code in (0, DAMAGED) or len(said) == 1, answer.err
            assert repeated == 0, "a descriptor was synced again after a failed fsync"
            if case.command == "verify" and case.fault.how in LIES:
                # What was set aside, though sound, the next look at a disk that is sound returns.
                self.commands["verify"](state)
            self._check(state, promise)
        finally:
            shutil.rmtree(state)

    def _check(self, state: Path, promise: Promise) -> None:
        """Look at what is left, unless the like was looked at before: many commands only read."""
        left = fingerprint(read_tree(state, IGNORED), promise)
        if left not in self._checked:
            check(self._scene, state, promise)
            self._checked.add(left)


def main(arguments: Sequence[str]) -> int:
    """Run every PARTS-th case, or COUNT of those if it is not 0; gives the failures.

    With KIND only calls of that kind fail.
    """
    seed, count, part, parts = map(int, arguments[1:5])
    kind = "".join(arguments[5:])
    began_s = time.monotonic()
    failures = 0
    with one_thread():
        laboratory = Laboratory(Path(arguments[0]), seed)
        cases = [case for case in laboratory.cases() if kind in ("", case.kind)][part::parts]
        chosen = random.Random(seed).sample(cases, count) if 0 < count < len(cases) else cases
        for case in chosen:
            try:
                laboratory.run(case)
            except Exception as error:
                failures += 1
                print(f"{case}: {type(error).__name__}: {error}".splitlines()[0], flush=True)
    faults = Counter(case.fault.name for case in chosen)
    seconds = round(time.monotonic() - began_s)
    print(json.dumps({"run": len(chosen), "of": len(cases), "seconds": seconds, **faults}))
    return failures


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
