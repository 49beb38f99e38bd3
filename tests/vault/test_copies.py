"""verify, seed, adopt, mirror, status and limit, through the command."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.console import Console
from appliance.cli.look import StoreCopies
from appliance.cli.session import Session
from tests.command import Holdfast
from tests.damage import flip_last
from tests.vault.office import MIB, Office, points_of


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = Office(tmp_path, seed)
    made.back_up()
    made.add_vault()
    made.sync()
    yield made
    made.close()


@pytest.fixture
def stranger(office: Office) -> Holdfast:
    """A computer without any store."""
    other = Holdfast(office.folder / "nothing")
    office.boxes.append(other)
    return other


def test_a_point_in_a_vault_does_not_hang_on_a_dying_disk(office: Office) -> None:
    newer = office.back_up(machine="n")
    session = Session(office.box.state, Console(is_json=True))
    assert StoreCopies(session).only_here() == [newer], "the other one is in the vault"


def test_a_sound_vault_is_sound_with_and_without_the_key(
    office: Office, stranger: Holdfast
) -> None:
    with_key = office.box("--json", "vault", "verify", expect=0).json()
    verify = ("--json", "vault", "verify", office.url, "--without-key")
    without = stranger(*verify, expect=0).json()
    assert with_key["points"] == without["points"] == 1
    assert without["objects"] == len(office.objects()) - 1, "all but vault.json are counted"


def test_a_flipped_byte_in_any_object_is_found_without_a_key(
    office: Office, stranger: Holdfast, seed: int
) -> None:
    chance = random.Random(seed)
    for path in office.objects():
        whole = path.read_bytes()
        at = chance.randrange(len(whole))
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
        )
        found = stranger("vault", "verify", office.url, "--without-key")
        assert found.code == 4, f"{path.relative_to(office.vault)} at {at}: {found.out}"
        path.write_bytes(whole)
    stranger("vault", "verify", office.url, "--without-key", expect=0)


def test_a_missing_object_is_found_without_a_key(office: Office, stranger: Holdfast) -> None:
    office.back_up()
    office.sync()
    for kind in ("containers", "points", "bills", "heads/box", "owner", "vault.json"):
        path = office.objects(kind)[0] if kind != "vault.json" else office.vault / kind
        whole = path.read_bytes()
        path.unlink()
        found = stranger("vault", "verify", office.url, "--without-key")
        expected = 5 if kind == "vault.json" else 4
        is_old_head = kind == "heads/box"
        assert found.code == (0 if is_old_head else expected), f"{kind}: {found.out}"
        path.write_bytes(whole)


def test_a_carried_disk_is_adopted_without_a_key(office: Office, stranger: Holdfast) -> None:
    name = office.back_up(image=random.Random(office.seed).randbytes(4 * MIB))
    disk, far = office.folder / "disk", office.folder / "far"
    office.box("vault", "seed", disk, expect=0)
    copied = stranger("--json", "vault", "adopt", disk, office.url, expect=0).json()
    assert copied["bytes"] > MIB
    done = office.sync("--name", "vault")
    assert done["points"] == [name]
    assert done["traffic"]["sent_bytes"] < MIB
    # Into an empty place it is a vault at once.
    stranger("vault", "adopt", disk, f"file://{far}", expect=0)
    other = Holdfast(office.folder / "other")
    office.boxes.append(other)
    other("vault", "open", f"file://{far}", "--recovery-key", office.key, expect=0)
    assert name in points_of(other)


def test_a_damaged_disk_is_not_adopted(office: Office, stranger: Holdfast) -> None:
    disk = office.folder / "disk"
    shutil.copytree(office.vault, disk)
    path = next((disk / "containers").rglob("??/*"))
    path.write_bytes(flip_last(path.read_bytes()))
    far = office.folder / "far"
    assert stranger("vault", "adopt", disk, f"file://{far}").code == 4
    assert not (far / "vault.json").exists()


def test_a_vault_is_mirrored_into_another_one(office: Office) -> None:
    second = office.folder / "second"
    office.box("vault", "add", f"file://{second}", "--name", "second", expect=0)
    office.box("forget", next(iter(office.images)), "--now", expect=0)
    copied = office.box("--json", "vault", "mirror", "vault", "second", expect=0).json()
    assert copied["points"] == 1
    assert (
        office.box("--json", "vault", "mirror", "vault", "second", expect=0).json()["points"] == 0
    )
    office.box("vault", "verify", "--name", "second", expect=0)
    other = Holdfast(office.folder / "other")
    office.boxes.append(other)
    other("vault", "open", f"file://{second}", "--recovery-key", office.key, expect=0)
    assert points_of(other) == list(office.images)


def test_status_tells_what_is_behind(office: Office) -> None:
    status = office.box("--json", "vault", "status", expect=0).json()["vaults"][0]
    assert [one["within_target"] for one in status["machines"]] == [True]
    assert status["owner"]
    assert status["counter"] == 1
    office.back_up()
    office.back_up("late one")
    shown = {
        one["machine"]: one
        for one in office.box("--json", "vault", "status", expect=0).json()["vaults"][0]["machines"]
    }
    office.box("vault", "limit", "--rpo", "0", "--machine", "m", expect=0)
    late = office.box("--json", "vault", "status", expect=0).json()["vaults"][0]["machines"]
    assert {one["machine"]: one["within_target"] for one in late}["m"] is False
    assert shown["late one"]["newest_there"] is None
    assert not shown["late one"]["within_target"]
    assert shown["m"]["within_target"]
    assert shown["m"]["waiting_bytes"] > 0
    assert "late one: nothing there yet" in office.box("vault", "status", expect=0).out


def test_a_closed_window_and_a_used_up_budget_let_points_wait(office: Office) -> None:
    office.back_up()
    office.box("vault", "limit", "--budget", "0.000001", expect=0)
    done = office.sync(expect=1)
    assert "budget is used up" in done["waiting"]["m"]
    office.box("vault", "limit", "--budget", "0", "--window", "mon-sun 00:00-00:00", expect=0)
    shown = office.box("--json", "vault", "limit", expect=0).json()
    assert shown["windows"] == ["mon-sun 00:00-00:00"]
    office.box("vault", "limit", "--window", "always", expect=0)
    assert office.sync()["done"]
    for wrong in (("--window", "now"), ("--share", "0"), ("--rate", "-1"), ("--rate", "nan")):
        office.box("vault", "limit", *wrong, expect=2)


def test_a_vault_can_be_forgotten_and_is_found_again(office: Office) -> None:
    office.box("vault", "remove", "vault", expect=0)
    office.box("vault", "sync", expect=5)
    assert office.objects("containers")
