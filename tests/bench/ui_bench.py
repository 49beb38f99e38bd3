"""The box as pages meet it: answers while it works hard, and with years of records.

    python -m tests.bench.ui_bench [--rows wizard,page,load,scale] [--disk-mib 2048]

Rows: `wizard` (`make run` to the wizard), `page` (weight, time to usable), `load` (p99 of GETs
while two backups and an upload run), `scale` (1,000 machines, 100,000 points, 1,000,000 jobs). Each
row prints what was measured beside its target.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.catalog.job_table import JobTable
from appliance.catalog.listing import FILE_NAME, Listing
from tests.api.box import PASSWORD, Box, Client
from tests.bench.page_rows import measure_page
from tests.bench.wizard_row import measure_wizard

LOAD_TARGET_MS = 100.0
SCALE_TARGET_MS = 300.0
MACHINES, POINTS, JOBS = 1_000, 100_000, 1_000_000
_PAGES: tuple[str, ...] = ("/box", "/machines", "/machines/{m}", "/machines/{m}/points", "/jobs")
_PAGES += (
    "/jobs/1",
    "/jobs?state=failed",
    "/disks",
    "/findings",
    "/vaults",
    "/vms",
    "/drills",
    "/session",
)
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Stopwatch:
    """Asks on one connection, as a browser does, and remembers how long each answer took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connection = client.connect()
        self.times_ms: dict[str, list[float]] = {}

    def ask(self, path: str, shown: str) -> Any:
        """The answer to a GET."""
        began_s = time.monotonic()
        self._connection.request("GET", f"/api/v1{path}", headers=self._client.head(None))
        response = self._connection.getresponse()
        body = response.read()
        self.times_ms.setdefault(shown, []).append((time.monotonic() - began_s) * 1000)
        if response.status != http.client.OK:
            raise RuntimeError(f"{path}: {response.status} {body!r}")
        return json.loads(body)

    def report(self, title: str, target_ms: float) -> bool:
        """Print the table; whether everything is within the target."""
        print(f"\n{title} (target: p99 <= {target_ms:.0f} ms)")
        print(f"{'GET':<34}{'n':>6}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
        everything = sorted(one for times in self.times_ms.values() for one in times)
        for shown, times in [*sorted(self.times_ms.items()), ("all", everything)]:
            times.sort()
            print(
                f"{shown:<34}{len(times):>6}{percentile(times, 50):>9.1f}"
                f"{percentile(times, 99):>9.1f}{times[-1]:>9.1f}"
            )
        is_met = percentile(everything, 99) <= target_ms
        print("within the target" if is_met else "NOT within the target")
        return is_met


def percentile(ordered: list[float], percent: float) -> float:
    """Of values in order: the smallest that so many per cent do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def measure_load(folder: Path, disk_mib: int) -> bool:
    """GETs while two backups and an upload run."""
    box = Box(folder / "state")
    box.state.mkdir(mode=0o700)
    (box.state / "daemon.toml").write_text("heavy_jobs = 3\n")
    disks = [folder / f"disk{number}.raw" for number in range(3)]
    for disk in disks:
        with disk.open("wb") as file:
            for _ in range(disk_mib):
                file.write(os.urandom(1 << 20))
    box.start()
    try:
        client = box.set_up()
        client.run("backup", {"sources": [str(disks[0])], "machine": "m0"})
        vault = folder / "vault"
        vault.mkdir()
        client.run("vault/add", {"url": f"file://{vault}", "name": "off-site"})
        began = [
            client.ask("POST", f"/run/{verb}", arguments).json()["id"]
            for verb, arguments in (
                ("backup", {"sources": [str(disks[1])], "machine": "m1"}),
                ("backup", {"sources": [str(disks[2])], "machine": "m2"}),
                ("vault/sync", {"name": "off-site"}),
            )
        ]
        watch = Stopwatch(client)
        while True:
            states = [watch.ask(f"/jobs/{job}", "/jobs/{job}")["state"] for job in began]
            if not set(states) <= {"queued", "running"}:
                break
            if states == ["running"] * 3:
                for path in _PAGES:
                    watch.ask(path.replace("{m}", "m0"), path)
        print(f"the first to end: {dict(zip(('backup', 'backup', 'upload'), states, strict=True))}")
        return watch.report("While two backups and an upload run", LOAD_TARGET_MS)
    finally:
        box.stop()


def measure_scale(folder: Path) -> bool:
    """Pages with years of records."""
    box = Box(folder / "state")
    box.state.mkdir(mode=0o700)
    fill_listing(box.state)
    fill_jobs(box.state)
    box.start()
    try:
        client = box.client()
        client.post("/setup/open", {"code": box.code}, expect=204)
        client.post("/setup/admin", {"user": "ann", "password": PASSWORD}, expect=204)
        watch = Stopwatch(client)
        for number in range(50):
            machine = f"machine-{number * 19 % MACHINES:04}"
            for path in (*_PAGES, "/jobs?machine={m}", "/jobs?verb=backup&state=failed"):
                watch.ask(path.replace("{m}", machine).replace("/1", "/500000"), path)
            watch.ask("/machines?limit=1000", "/machines?limit=1000")
            watch.ask(f"/machines?search={number}", "/machines?search=..")
        for path, shown in (
            ("/jobs?limit=1000", "/jobs, deep"),
            (f"/machines/{machine}/points?limit=10", "points, deep"),
        ):
            walk(watch, path, shown)
        return watch.report(
            f"{MACHINES:,} machines, {POINTS:,} points, {JOBS:,} jobs", SCALE_TARGET_MS
        )
    finally:
        box.stop()


def walk(watch: Stopwatch, path: str, shown: str) -> None:
    """Ten pages, each after the one before."""
    page = watch.ask(path, shown)
    for _ in range(9):
        if page["next"] is None:
            return
        page = watch.ask(f"{path}&after={page['next']}", shown)


def fill_listing(state: Path) -> None:
    """Points of machines, an hour apart."""
    listing = Listing(state / FILE_NAME)
    each = POINTS // MACHINES
    for number in range(MACHINES):
        name = f"machine-{number:04}"
        times = [f"{_BEGAN + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in range(each)]
        rows = [(name, at, "stamp", point_row(name, at)) for at in times]
        machine = {
            "name": name,
            "newest_point": f"{name}@{times[-1]}",
            "newest_at": times[-1],
            "oldest_at": times[0],
            "points": each,
            "damaged_points": 0,
            "size_bytes": 64 << 30,
        }
        listing.put(rows, (), [machine])
    listing.close()


def point_row(machine: str, at: str) -> dict[str, Any]:
    """A point as lists show it."""
    numbers = {"new_bytes": 1 << 30, "stored_bytes": 1 << 29, "read_bytes": 1 << 31, "seconds": 9.5}
    return {
        **{"name": f"{machine}@{at}", "machine": machine, "time": at, "state": "complete"},
        **numbers,
        "disks": [{"number": 0, "size_bytes": 64 << 30}],
        "where": ["box", "vault:off-site"],
        "is_held": False,
        "is_inconsistent": False,
        "is_doubtful": False,
        "immutable_until": None,
        "drilled_at": None,
    }


def fill_jobs(state: Path) -> None:
    """Records of jobs, the way the table keeps them."""
    JobTable(state / "jobs.sqlite").close()
    progress = json.dumps({"phase": "writing the point", "done": 1, "total": 1})

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(JOBS):
            machine = f"machine-{number % MACHINES:04}"
            at = f"{_BEGAN + timedelta(seconds=30 * number):%Y-%m-%dT%H:%M:%SZ}"
            verb = "backup" if number % 4 else "vault sync"
            result = "failed" if number % 97 == 0 else "done"
            arguments = json.dumps({"sources": ["/dev/sdb"], "machine": machine})
            yield (verb, arguments, machine, result, 50, "schedule", at, 1, at, at, progress)

    with sqlite3.connect(state / "jobs.sqlite") as database:
        database.executemany(
            "insert into jobs (verb, arguments, machine, state, priority, asked_by, asked_at,"
            " attempt, started_at, ended_at, progress) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows(),
        )
    database.close()


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="wizard,page,load,scale", help="default: all")
    parser.add_argument("--disk-mib", type=int, default=2048, help="of each of three disks")
    options = parser.parse_args()
    rows: dict[str, Callable[[Path], bool]] = {
        "wizard": measure_wizard,
        "page": measure_page,
        "load": lambda folder: measure_load(folder, options.disk_mib),
        "scale": measure_scale,
    }
    for name in options.rows.split(","):
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
            rows[name](Path(folder))


if __name__ == "__main__":
    main()
