"""Deltas: what resembles what the vault holds goes as the difference, and comes back whole."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.formats.bill import Bill, decode_bill
from tests.command import Holdfast
from tests.images import write_image
from tests.vault.office import MIB, Office, points_of

SIZE_MIB = 12


def first_image(seed: int) -> bytes:
    """Bytes that compress to a half, without repetitions."""
    return bytes(byte & 0x0F for byte in random.Random(seed).randbytes(SIZE_MIB * MIB))


def next_image(seed: int, image: bytes) -> bytes:
    """The same with a byte changed in every 10,000: each chunk is another one, and alike."""
    chooser, copy = random.Random(seed), bytearray(image)
    for at in range(0, len(copy), 10_000):
        copy[at + chooser.randrange(10_000) if at + 10_000 < len(copy) else at] ^= 0x10
    return bytes(copy)


def make_office(folder: Path, seed: int) -> Office:
    """A vault with a first generation, and a second one that waits."""
    made = Office(folder, seed)
    first = made.back_up(image=first_image(seed))
    made.add_vault()
    # A directory has no line in between; a limit says that there is something to save.
    made.box("vault", "limit", "--rate", "15", expect=0)
    made.sync()
    made.back_up(image=next_image(seed, made.images[first]))
    return made


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = make_office(tmp_path, seed)
    yield made
    made.close()


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Both generations are there; who changes something undoes it."""
    made = make_office(tmp_path_factory.mktemp("synced"), 20261121)
    made.sync()
    yield made
    made.close()


@contextmanager
def vault_gone(office: Office) -> Iterator[None]:
    """Nothing can be read from the vault meanwhile."""
    elsewhere = office.folder / "elsewhere"
    office.vault.rename(elsewhere)
    yield
    elsewhere.rename(office.vault)


def bills(office: Office) -> list[Bill]:
    return [decode_bill(path.read_bytes()) for path in office.objects("bills")]


def empty(box: Holdfast) -> None:
    for path in (box.state / "store" / "containers").glob("*/*"):
        path.unlink()


def test_what_is_alike_costs_little_and_comes_back(synced: Office) -> None:
    office = synced
    deltas = office.objects("deltas")
    assert deltas
    for path in deltas:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    data = max(path.stat().st_size for path in office.objects("containers"))
    assert office.size_there("deltas") < data / 4
    other = office.open("other")
    office.check(other)
    assert points_of(other) == points_of(office.box)
    office.box("vault", "verify", "--without-key", office.url, expect=0)
    assert office.sync()["traffic"]["sent_bytes"] == 0


def test_a_bill_names_deltas_and_their_bases(synced: Office) -> None:
    office = synced
    (second,) = (bill for bill in bills(office) if bill.strays)
    names = {path.name for path in office.objects("deltas")}
    assert {need.name.hex() for need in second.needs if need.kind == "deltas"} == names
    (first,) = (bill for bill in bills(office) if not bill.strays)
    data = max(first.needs, key=lambda need: need.size_bytes)
    assert data.name in {need.name for need in second.needs}, "the base goes with it"


def test_bases_stay_when_only_deltas_need_them(office: Office) -> None:
    office.sync()
    first, second = office.images
    office.box("vault", "retain", "--keep-last", "1", expect=0)
    office.box("vault", "prune", "--grace", "0", expect=0)
    office.box("vault", "verify", expect=0)
    other = office.open("other")
    assert points_of(other) == [second]
    office.check(other, second)
    # The box drops the bills of what is gone, and keeps those of what lives.
    strays = list((office.box.state / "vaults" / "vault" / "strays").glob("*"))
    assert len(strays) == 1
    assert first in points_of(office.box)


def test_a_pulled_delta_needs_the_vault_no_more(synced: Office) -> None:
    office = synced
    second = list(office.images)[1]
    other = office.open("pulling")
    pulled = other("--json", "vault", "pull", second, expect=0).json()
    assert pulled["bytes"] > 0
    again = other("--json", "vault", "pull", second, expect=0).json()
    assert (again["containers"], again["bytes"]) == (0, 0)
    with vault_gone(office):
        office.check(other, second)
        other("collect", expect=0)
        office.check(other, second)
        other("verify", second, expect=0)


def test_chunks_that_are_lost_on_the_box_are_repaired_from_deltas(synced: Office) -> None:
    office = synced
    empty(office.box)
    office.check(office.box)
    said = office.box("--json", "verify", expect=0).json()
    assert said["repaired_containers"]
    with vault_gone(office):
        office.check(office.box)


def test_a_flipped_byte_in_deltas_or_bases_is_found_and_never_believed(synced: Office) -> None:
    office = synced
    second = list(office.images)[1]
    for kind in ("deltas", "containers"):
        victim = max(office.objects(kind), key=lambda path: path.stat().st_size)
        whole = victim.read_bytes()
        at = len(whole) // 2
        victim.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        said = office.box("vault", "verify", "--without-key", office.url, expect=4)
        assert victim.name in said.out + said.err
        other = office.open(f"other-{kind}")
        refused = other("restore", second, "-")
        assert refused.code != 0
        assert len(refused.stdout) == SIZE_MIB * MIB, "the rest is there, damage reads as zeros"
        victim.write_bytes(whole)


def test_a_base_that_the_vault_lost_makes_the_next_sync_send_what_it_needs(office: Office) -> None:
    office.sync()
    victim = max(office.objects("containers"), key=lambda path: path.stat().st_size)
    victim.unlink()
    office.sync("--thorough", expect=1)
    assert office.sync()["done"]
    office.check(office.open("other"))


def test_deltas_that_are_damaged_in_the_vault_are_sent_again_in_another_form(
    office: Office,
) -> None:
    office.sync()
    first, second = office.images
    (victim,) = office.objects("deltas")
    flip(victim)
    said = office.box("--json", "vault", "verify", expect=4).json()
    assert victim.name in said["damages"][0]["what"]
    done = office.sync(expect=1)
    assert done["points"] == [second]
    assert any("damaged in the vault" in finding for finding in done["findings"])
    assert not office.sync()["findings"], "that is said once"
    other = office.open("other")
    office.check(other, first, second)
    office.box("vault", "prune", "--grace", "0", expect=0)
    assert not victim.exists()
    office.box("vault", "verify", expect=0)


def test_what_the_box_has_not_lives_on_in_the_vault_as_far_as_it_is_there(office: Office) -> None:
    office.sync()
    first, second = office.images
    office.box("forget", second, "--now", expect=0)
    flip(office.objects("deltas")[0])
    office.box("vault", "verify", expect=4)
    office.sync(expect=1)
    newest = office.back_up(image=office.images[first])
    office.sync()
    assert points_of(office.open("other")) == [first, second, newest]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_third_generation_finds_bases_too(office: Office) -> None:
    office.sync()
    before = office.size_there("containers") + office.size_there("deltas")
    second = list(office.images)[1]
    office.back_up(image=next_image(office.seed + 7, office.images[second]))
    office.sync()
    grown = office.size_there("containers") + office.size_there("deltas") - before
    assert grown < SIZE_MIB * MIB / 2 / 4
    other = office.open("other", "--take-over")
    office.check(other)
    # Its next point is made from one whose chunks lie in deltas, which only the vault has.
    image = write_image(office.folder / "image.raw", bytearray(office.images[second][:-MIB]))
    newest = other("--json", "backup", image, "--machine", "m", expect=0).json()["name"]
    assert other("--json", "vault", "sync", expect=0).json()["points"] == [newest]
    other("vault", "verify", expect=0)


def test_without_a_line_that_is_slow_containers_go_as_they_are(office: Office) -> None:
    office.box("vault", "limit", "--rate", "0", expect=0)
    office.sync()
    assert not office.objects("deltas")


def test_what_resembles_nothing_goes_as_it_is(office: Office) -> None:
    office.back_up("other", image=random.Random(office.seed + 9).randbytes(4 * MIB))
    office.sync("--all")
    deltas = office.size_there("deltas")
    office.back_up("third", image=random.Random(office.seed + 10).randbytes(4 * MIB))
    office.sync()
    assert office.size_there("deltas") == deltas
