"""Small containers of many machines become full ones: bounded in number, whole after any crash."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.formats.bill import WHOLE
from tests.command import ROOT
from tests.vault.yard import RULE, Yard


@pytest.fixture
def yard(tmp_path: Path, seed: int) -> Iterator[Yard]:
    found = Yard(tmp_path, seed)
    yield found
    found.close()


def test_containers_stay_few_however_many_points_come(yard: Yard) -> None:
    curve = []
    for hour in range(4):
        yard.work(6)
        yard.upload()
        sent = yard.containers()
        yard.prune()
        curve.append((hour, len(yard.images), sent, yard.containers()))
    print("hour, points, containers after the upload, after the merging:", *curve, sep="\n")
    assert all(left <= RULE.least for _, _, _, left in curve)
    assert not yard.verify().damages
    before = names_in(yard.vault), names_in(yard.box.state / "store")
    yard.work(6)
    yard.upload()
    new = names_in(yard.vault) - before[0]
    assert new
    assert not new & before[1], "what was merged is not sent again"
    ordinals = [ordinal for _, _, ordinal in yard.strays()]
    assert set(ordinals) == {WHOLE}, "a bill says of containers where they went, not of chunks"
    # An empty box reads all points although none of the small containers is left.
    other = yard.open("other", "--take-over")
    for name in random.Random(yard.seed).sample(sorted(yard.images), 3):
        assert other("restore", name, "-").stdout == yard.images[name], name
    # It goes on where the old one ended, and knows where containers went.
    path = yard.folder / "disk.raw"
    path.write_bytes(bytes(yard.disks["m0"])[:-4096] + bytes(4096))
    other("backup", path, "--machine", "m0", expect=0)
    other("vault", "sync", expect=0)
    assert {ordinal for _, _, ordinal in yard.strays(other)} == {WHOLE}
    other("vault", "verify", expect=0)


def test_who_opened_the_vault_before_finds_all_of_it_for_the_time_of_grace(yard: Yard) -> None:
    for _ in range(2):
        yard.work(6)
        yard.upload()
    before = {*yard.objects("bills"), *yard.objects("containers"), *yard.objects("points")}
    long_ago_s = time.time() - 30 * 86400
    for path in yard.objects():
        os.utime(path, (long_ago_s, long_ago_s))
    _, merged = yard.prune(grace=timedelta(days=1))
    assert merged.points == len(yard.objects("points"))
    assert before <= set(yard.objects())
    yard.prune()
    gone = before - set(yard.objects())
    assert len(gone) == merged.small + merged.points
    assert not yard.verify().damages


def test_a_merging_that_is_killed_anywhere_loses_nothing(yard: Yard) -> None:
    for _ in range(3):
        yard.work(4)
        yard.upload()
    chance = random.Random(yard.seed)
    names = chance.sample(sorted(yard.images), 4)
    saved = yard.folder / "saved"
    shutil.copytree(yard.vault, saved / "vault")
    shutil.copytree(yard.box.state, saved / "state", symlinks=True)
    steps = int(merge(yard, 1 << 20, "after"))
    assert steps > 20
    for step in sorted(chance.sample(range(1, steps * 9 // 10), 3)):
        for path, name in ((yard.vault, "vault"), (yard.box.state, "state")):
            shutil.rmtree(path)
            shutil.copytree(saved / name, path, symlinks=True)
        assert merge(yard, step, chance.choice(("before", "after"))) == "", "it was killed"
        assert not yard.verify().damages, f"killed at step {step} of {steps}"
        yard.work(1)
        yard.upload()
        yard.prune()
        assert yard.containers() <= RULE.least
        assert not yard.verify().damages, f"gone on after step {step} of {steps}"
    other = yard.open("other")
    for name in names:
        assert other("restore", name, "-").stdout == yard.images[name], name


def names_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "containers").glob("*/*")}


def merge(yard: Yard, step: int, when: str) -> str:
    """Merge in a process that dies at a step; what it said."""
    argv = [sys.executable, "-m", "tests.vault.yard", str(yard.box.state), str(step), when]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in (0, -9), done.stderr
    return done.stdout.strip()
