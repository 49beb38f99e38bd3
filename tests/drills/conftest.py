"""A room for drills: points made of plain files, records in a store, everything on TCG."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.base.progress import Progress
from appliance.drills.places import evidence_folder
from appliance.drills.plan import Plan, parse_plan
from appliance.drills.records import DrillRecords
from appliance.drills.run import DrillRoom, run_drill
from appliance.formats.drill import DrillRecord
from appliance.formats.names import PointName
from appliance.recovery import accelerator
from tests.recovery.conftest import Lab
from tests.store.stores import make_store

TIME = "2026-11-21T09:30:00Z"


@dataclass
class Rehearsal:
    """Runs drills of machines that a test makes up."""

    lab: Lab
    room: DrillRoom

    def add(self, machine: str, disk: bytes) -> None:
        """Give `machine` a point with this disk."""
        self.lab.add_point(f"{machine}@{TIME}", disk)

    def run(self, text: str, progress: Progress | None = None) -> DrillRecord:
        """Run a plan, spelled in TOML without its name."""
        return self.run_plan(parse_plan(f"name = 'plan'\n{text}".encode()), progress)

    def run_plan(self, plan: Plan, progress: Progress | None = None) -> DrillRecord:
        points = {each.name: PointName.parse(f"{each.name}@{TIME}") for each in plan.machines}
        return run_drill(self.room, plan, points, progress or Progress())

    def folder(self, record: DrillRecord) -> Path:
        """The files of a drill."""
        return evidence_folder(self.lab.runtime, record.id)


@pytest.fixture
def rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    lab = Lab(tmp_path)
    records = DrillRecords(make_store(tmp_path / "state").points.records)
    yield Rehearsal(lab, DrillRoom(lab.runtime, records, lab.serve_argv, SystemClock()))
    lab.close()


@pytest.fixture
def write_secret(tmp_path: Path) -> Callable[[str], Path]:
    """Puts a secret into a file."""

    def write(text: str) -> Path:
        path = tmp_path / "secret"
        path.write_text(f"{text}\n")
        return path

    return write


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge of this machine that QEMU may use, with nothing on it."""
    name = f"hf{os.getpid()}"
    rules = Path("/etc/qemu/bridge.conf")
    before = rules.read_text() if rules.exists() else None
    rules.parent.mkdir(exist_ok=True)
    rules.write_text(f"{before or ''}\nallow {name}\n")
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)
    if before is None:
        rules.unlink()
    else:
        rules.write_text(before)
