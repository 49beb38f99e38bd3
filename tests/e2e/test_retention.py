"""forget, unforget, hold, release, policy and prune, as a person calls them."""

from __future__ import annotations

import json
import random
import shutil
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.base.clock import SystemClock
from appliance.keys.keyring import load_master_key
from appliance.store.layout import Layout
from appliance.store.records import Records
from appliance.store.timekeeping import Timekeeper
from tests.clocks import HandClock
from tests.command import ROOT, Holdfast, HoldfastHere
from tests.conftest import SEED
from tests.e2e.faulty_source import serve_faulty, wait_for
from tests.images import MIB, mixed_image, write_image


class Shop:
    """A store with points of a machine, all of different bytes."""

    def __init__(self, folder: Path, seed: int, points: int) -> None:
        self._open(folder)
        self.images: dict[str, bytes] = {}
        self.seed = seed
        self.holdfast("init", "--recovery-out", folder / "key", expect=0)
        for _ in range(points):
            self.back_up()

    def _open(self, folder: Path) -> None:
        self.folder = folder
        self.holdfast: Holdfast = HoldfastHere(folder / "state")

    def copy(self, folder: Path) -> Shop:
        """The same shop elsewhere."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = copy(self)
        other.images = dict(self.images)
        other._open(folder)
        return other

    def back_up(self, machine: str = "m") -> str:
        image = bytes(mixed_image(self.seed + len(self.images), 4))
        path = write_image(self.folder / "image.raw", bytearray(image))
        made = self.holdfast("--json", "backup", path, "--machine", machine, expect=0).json()
        self.images[made["name"]] = image
        return str(made["name"])

    def points(self) -> list[str]:
        listed = self.holdfast("--json", "points", expect=0).json()["points"]
        return [str(point["name"]) for point in listed]

    def trash(self) -> list[dict[str, Any]]:
        trash = self.holdfast("--json", "points", "--trash", expect=0).json()["trash"]
        assert isinstance(trash, list)
        return trash

    def freed(self) -> int:
        return int(self.holdfast("--json", "collect", expect=0).json()["freed_containers"])

    def check(self, name: str) -> None:
        assert self.holdfast("restore", name, "-", expect=0).stdout == self.images[name]


@pytest.fixture(scope="module")
def opened_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Copied for each test, never changed."""
    return Shop(tmp_path_factory.mktemp("shop"), SEED, 3)


@pytest.fixture
def shop(opened_shop: Shop, tmp_path: Path, seed: int) -> Shop:
    return opened_shop.copy(tmp_path)


def test_a_forgotten_point_comes_back_whole_after_collections(shop: Shop) -> None:
    name = shop.points()[0]
    shop.holdfast("forget", name, expect=0)
    assert name not in shop.points()
    (entry,) = shop.trash()
    assert entry["name"] == name
    assert entry["forgotten"] < entry["ends"]
    assert name in shop.holdfast("points", "--trash", expect=0).out
    assert shop.holdfast("restore", name, "-").code == 5
    assert shop.freed() == 0
    shop.holdfast("unforget", name, expect=0)
    assert shop.trash() == []
    shop.check(name)
    assert len(shop.points()) == 3
    assert shop.holdfast("unforget", name).code == 5


def test_forget_now_is_for_good(shop: Shop) -> None:
    name = shop.points()[0]
    shop.holdfast("forget", name, "--now", expect=0)
    told = shop.holdfast("unforget", name, expect=5)
    assert "for good" in told.err
    assert shop.freed() > 0
    assert shop.trash() == []


def test_a_policy_without_days_in_the_trash_frees_with_the_next_collection(shop: Shop) -> None:
    shop.holdfast("policy", "set", "--keep-last", "1", "--trash-days", "0", expect=0)
    shop.holdfast("prune", expect=0)
    assert shop.freed() > 0
    assert len(shop.points()) == 1


def test_a_policy_can_forbid_to_skip_the_trash(shop: Shop) -> None:
    name = shop.points()[0]
    arguments = ("--machine", "m", "--keep-days", "forever", "--no-skip-trash")
    shop.holdfast("policy", "set", *arguments, expect=0)
    assert "forbids --now" in shop.holdfast("forget", name, "--now", expect=8).err
    assert name in shop.points()
    shop.holdfast("forget", name, expect=0)
    shop.holdfast("policy", "clear", "--machine", "m", expect=0)
    assert shop.holdfast("policy", "clear", "--machine", "m").code == 5


def test_a_held_point_is_neither_forgotten_nor_pruned(shop: Shop) -> None:
    first, second, third = shop.points()
    shop.holdfast("hold", first, "--reason", "court \x1b[31mcase", expect=0)
    refused = shop.holdfast("forget", first, "--now", expect=6)
    assert "court" in refused.err
    assert f"holdfast release {first}" in refused.err
    assert "\x1b" not in refused.err
    assert "held: court" in shop.holdfast("points", expect=0).out
    shop.holdfast("policy", "set", "--keep-last", "1", expect=0)
    done = shop.holdfast("--json", "prune", expect=0).json()
    assert done["forgotten"] == [second]
    assert shop.points() == [first, third]
    shop.holdfast("release", first, expect=0)
    assert shop.holdfast("release", first).code == 5
    assert shop.holdfast("--json", "prune", expect=0).json()["forgotten"] == [first]


def test_the_catalog_may_vanish(shop: Shop) -> None:
    first, second, third = shop.points()
    shop.holdfast("hold", first, "--until", "2999-01-31", expect=0)
    shop.holdfast("forget", second, expect=0)
    shop.holdfast("policy", "set", "--keep-last", "1", expect=0)
    before = [shop.holdfast("points", "--trash").out, shop.holdfast("points").out]
    (shop.holdfast.state / "catalog.db").unlink()
    assert [shop.holdfast("points", "--trash").out, shop.holdfast("points").out] == before
    assert "held until 2999-01-31" in before[1]
    assert shop.holdfast("forget", first).code == 6
    assert shop.holdfast("policy", "show", expect=0).out.startswith("default: keep last 1;")
    assert shop.freed() == 0
    shop.check(third)


def test_a_simulation_says_what_would_go_and_why_each_point_stays(shop: Shop) -> None:
    names = shop.points()
    said = shop.holdfast("--json", "prune", "--simulate", "--keep-last", "2", expect=0).json()
    assert [(point["name"], point["goes"]) for point in said["points"]] == [
        (names[0], True),
        (names[1], False),
        (names[2], False),
    ]
    assert said["points"][2]["reasons"] == ["newest complete point", "last"]
    assert said["points"][0]["reasons"] == ["no rule keeps it"]
    assert said["forgotten"] == []
    text = shop.holdfast("prune", "--simulate", "--keep-daily", "1", expect=0).out
    assert text.splitlines()[-1] == "2 of 3 points would go; nothing was changed"
    assert shop.points() == names
    assert shop.trash() == []


def test_prune_without_a_policy_keeps_everything(shop: Shop) -> None:
    done = shop.holdfast("prune", expect=0)
    assert "everything is kept" in done.out
    assert len(shop.points()) == 3


def test_rules_are_tried_only_in_a_simulation(shop: Shop) -> None:
    assert "policy set" in shop.holdfast("prune", "--keep-last", "1", expect=2).err
    assert len(shop.points()) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--keep-last", "0"),
        ("--keep-last", "65537"),
        ("--keep-daily", "-1"),
        ("--keep-days", "often"),
        ("--keep-days", "65537"),
        ("--keep-last", "1", "--trash-days", "-1"),
        ("--keep-last", "1", "--machine", "../x"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(shop: Shop, arguments: tuple[str, ...]) -> None:
    holdfast = shop.holdfast
    assert holdfast("policy", "set", *arguments).code == 2
    shown = holdfast("--json", "policy", "show", expect=0).json()["policies"]
    assert [found["policy"]["keep_days"] for found in shown] == ["forever"]


def test_a_machine_has_a_policy_of_its_own(shop: Shop) -> None:
    other = [shop.back_up("other") for _ in range(2)]
    shop.holdfast("policy", "set", "--machine", "m", "--keep-last", "2", expect=0)
    shop.holdfast("policy", "set", "--keep-days", "forever", "--trash-days", "30", expect=0)
    shown = shop.holdfast("--json", "policy", "show", "--machine", "other", expect=0).json()
    assert shown["policy"]["trash_days"] == 30
    assert "m: keep last 2; 7 days" in shop.holdfast("policy", "show", expect=0).out
    first = shop.points()[0]
    assert shop.holdfast("--json", "prune", expect=0).json()["forgotten"] == [first]
    assert set(other) <= set(shop.points())


def test_a_damaged_policy_lets_nothing_go_and_names_the_way_out(shop: Shop) -> None:
    shop.holdfast("policy", "set", "--machine", "m", "--keep-last", "1", expect=0)
    (path,) = (shop.holdfast.state / "store" / "policies").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    done = shop.holdfast("prune", expect=4)
    assert "holdfast policy set --machine 'm'" in done.err
    assert shop.holdfast("forget", shop.points()[0]).code == 4
    assert len(shop.points()) == 3
    shop.holdfast("policy", "set", "--machine", "m", "--keep-last", "2", expect=0)
    assert len(shop.holdfast("--json", "prune", expect=0).json()["forgotten"]) == 1


def test_damaged_records_of_holds_and_trash_keep(shop: Shop) -> None:
    first, second, _ = shop.points()
    shop.holdfast("hold", first, expect=0)
    shop.holdfast("forget", second, "--now", expect=0)
    store = shop.holdfast.state / "store"
    for path in (*(store / "holds").iterdir(), *(store / "trash").glob("*.note")):
        path.write_bytes(b"x" * path.stat().st_size)
    assert f"holdfast release {first}" in shop.holdfast("forget", first, expect=6).err
    collected = shop.holdfast("--json", "collect", expect=0)
    assert collected.json()["freed_containers"] == 0
    assert "holdfast unforget" in collected.err
    shop.holdfast("unforget", second, expect=0)
    shop.check(second)
    shop.holdfast("release", first, expect=0)
    shop.holdfast("forget", first, "--now", expect=0)
    assert shop.freed() > 0


def test_every_result_is_one_json_object(shop: Shop) -> None:
    name = shop.points()[0]
    latest = f"{name.partition('@')[0]}@latest"
    for arguments in (
        ("hold", name),
        ("release", name),
        ("hold", latest),
        ("release", latest),
        ("forget", name),
        ("unforget", name),
        ("policy", "set", "--keep-yearly", "65536"),
        ("policy", "show"),
        ("policy", "clear"),
        ("prune",),
        ("points", "--trash"),
    ):
        done = shop.holdfast("--json", *arguments, expect=0)
        assert isinstance(json.loads(done.stdout), dict)


def test_a_clock_that_jumped_stops_prune_and_the_trash_until_somebody_trusts_it(
    shop: Shop,
) -> None:
    first, second, _ = shop.points()
    shop.holdfast("policy", "set", "--keep-last", "1", "--trash-days", "0", expect=0)
    shop.holdfast("forget", first, expect=0)
    master = load_master_key(shop.holdfast.state, None)
    records = Records(Layout(shop.holdfast.state), master)
    # As if the clock had been a month behind when it was seen last, before a restart.
    Timekeeper(records, HandClock(SystemClock().now() - timedelta(days=30)), "a boot").trust()
    refused = shop.holdfast("prune", expect=1)
    assert "far beyond" in refused.err
    assert "prune --trust-clock" in refused.err
    collected = shop.holdfast("--json", "collect", expect=0)
    assert "the trash is kept" in collected.err
    assert collected.json()["freed_containers"] == 0
    assert shop.holdfast("prune", "--simulate", expect=0).out.endswith("nothing was changed\n")
    done = shop.holdfast("--json", "prune", "--trust-clock", expect=0).json()
    assert done["forgotten"] == [second]
    assert shop.freed() > 0


def test_a_first_full_that_was_killed_is_resumed_after_a_collection(
    tmp_path: Path, holdfast: Holdfast, seed: int
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = random.Random(seed).randbytes(128 * MIB)
    path, gate = tmp_path / "image.raw", tmp_path / "gate"
    path.write_bytes(image)
    containers = holdfast.state / "store" / "containers"
    # Each thread fills a container of 32 MiB of its own: two do, of however many processors.
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os\nos.cpu_count = lambda: 2\n")
    two = {"PYTHONPATH": f"{site}:{ROOT}"}
    with serve_faulty(tmp_path / "slow", path, f"{len(image) - MIB}@{gate}") as source:
        process = holdfast.start("backup", source, "--machine", "m", environment=two)
        wait_for(lambda: bool(list(containers.glob("*/*"))), "nothing was ever sealed")
        process.kill()
        gate.touch()  # a process that waits for an answer of FUSE does not die before it has it
        process.communicate()
    sealed = set(containers.glob("*/*"))
    assert holdfast("--json", "collect", expect=0).json()["freed_containers"] == 0
    assert set(containers.glob("*/*")) == sealed
    sealed_bytes = sum(container.stat().st_size for container in sealed)
    made = holdfast("--json", "backup", path, "--machine", "m", expect=0).json()
    assert made["new_bytes"] < len(image) - 0.95 * sealed_bytes
    assert holdfast("restore", made["name"], "-", expect=0).stdout == image
    assert not list((holdfast.state / "store" / "backups").iterdir())
