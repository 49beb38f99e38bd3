"""A store that format 2 wrote, committed once: every later program of format 2 must read it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT, Holdfast

GOLDEN = ROOT / "tests" / "golden" / "store-2"
# SHA-256 of what was backed up, noted when the store was made.
FIRST, SECOND = "golden@2026-11-21T09:00:00Z", "golden@2026-11-21T09:00:01Z"
DISKS = {
    FIRST: "81657d086a362586d5b9618e04d167f1c3f0c3f64c1bb0af0966dec9e92ce263",
    SECOND: "c6f75ac8f75aa75b163d4e639873a7507b831f99dff8ae5242a0604521987114",
}


@pytest.fixture
def golden(tmp_path: Path) -> Holdfast:
    state = tmp_path / "state"
    shutil.copytree(GOLDEN, state)
    (state / "box.key").chmod(0o600)
    return Holdfast(state)


def test_the_golden_store_verifies_and_restores(golden: Holdfast) -> None:
    assert golden("--json", "verify", expect=0).json()["sound"] is True
    listed = golden("--json", "points", expect=0).json()["points"]
    assert [point["name"] for point in listed] == list(DISKS)
    for name, digest in DISKS.items():
        restored = golden("restore", name, "-", expect=0).stdout
        assert hashlib.sha256(restored).hexdigest() == digest


def test_the_independent_script_reads_the_golden_store() -> None:
    for name, digest in DISKS.items():
        script, key = ROOT / "docs/format/restore.py", GOLDEN / "recovery.txt"
        argv = [sys.executable, str(script), str(GOLDEN), str(key), name]
        done = subprocess.run(argv, check=True, capture_output=True)
        assert hashlib.sha256(done.stdout).hexdigest() == digest


def test_a_new_point_finds_the_old_chunks(golden: Holdfast, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(golden("restore", SECOND, "-", expect=0).stdout)
    made = golden("--json", "backup", image, "--machine", "other", expect=0).json()
    assert made["new_bytes"] == 0
