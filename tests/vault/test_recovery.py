"""From nothing but a vault and the recovery key: points work at once, and what is hurt heals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.keys import keyring
from appliance.store.findings import read_findings
from appliance.store.store import Store
from appliance.vault.directory import DirectoryBucket
from appliance.vault.mending import Mending
from tests.command import Holdfast
from tests.images import write_image
from tests.vault.office import MIB, Office, points_of


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = Office(tmp_path, seed)
    yield made
    made.close()


def local(office: Office) -> list[Path]:
    return sorted((office.box.state / "store" / "containers").glob("*/*"))


def fill(office: Office) -> None:
    office.back_up("web1", size_mib=12)
    office.back_up("file1", size_mib=6)
    office.add_vault()
    office.sync()


def test_an_empty_box_restores_every_point_with_nothing_local(office: Office) -> None:
    fill(office)
    other = office.open("other")
    assert sorted(points_of(other)) == sorted(office.images)
    check_mounted(office, other)
    office.check(other)
    assert list((other.state / "store" / "containers").glob("*/*")) == []
    # The index was never asked, the cache was.
    assert list((other.state / "cache" / "containers").glob("*/*"))


def check_mounted(office: Office, other: Holdfast) -> None:
    """Points whose data is in the vault alone are mounted and read like any other."""
    folder = office.folder / "mounted"
    folder.mkdir()
    other("mount", folder, expect=0)
    try:
        for name, image in office.images.items():
            assert (folder / name.replace("@", "/") / "disk0.raw").read_bytes() == image
    finally:
        other("umount", folder, expect=0)


def test_what_was_read_once_needs_the_vault_no_more(office: Office) -> None:
    fill(office)
    other = office.open("other")
    office.check(other)
    for path in office.objects("containers"):
        path.write_bytes(b"gone")
    office.check(other)


def test_the_cache_stays_below_its_limit(office: Office) -> None:
    fill(office)
    office.back_up("more", size_mib=24)
    office.sync()
    other = office.open("other")
    other("vault", "limit", "--cache", str(3 / 1024), expect=0)
    office.check(other)
    kept = list((other.state / "cache" / "containers").glob("*/*"))
    assert sum(path.stat().st_blocks * 512 for path in kept) < 5 * MIB < office.size_there()
    office.check(other)


def test_a_pulled_point_needs_the_vault_no_more(office: Office) -> None:
    fill(office)
    other = office.open("other")
    name = next(iter(office.images))
    pulled = other("--json", "vault", "pull", name, expect=0).json()
    assert pulled["containers"] > 0
    assert other("--json", "vault", "pull", name, expect=0).json()["containers"] == 0
    office.vault.rename(office.folder / "elsewhere")
    office.check(other, name)


def test_damage_on_the_box_is_served_and_repaired_from_the_vault(office: Office) -> None:
    fill(office)
    victim = max(local(office), key=lambda path: path.stat().st_size)
    whole = flip(victim, victim.stat().st_size // 3)
    office.check(office.box)
    assert victim.read_bytes() == whole
    scrubbed = office.box("--json", "scrub", "--all", expect=0).json()
    (finding,) = scrubbed["findings"]
    assert finding["repaired"]
    assert finding["severity"] == "notice"


def test_verify_and_scrub_repair_from_the_vault(office: Office) -> None:
    fill(office)
    for command in (["verify"], ["scrub", "--all"]):
        victim = max(local(office), key=lambda path: path.stat().st_size)
        whole = victim.read_bytes()
        victim.write_bytes(whole[:-40] + bytes(40))
        said = office.box("--json", *command, expect=0).json()
        assert said["repaired_containers"] == [victim.name]
        assert victim.read_bytes() == whole
    office.box("verify", expect=0)


def test_a_container_that_was_lost_here_is_read_from_the_vault(office: Office) -> None:
    fill(office)
    for path in local(office):
        path.unlink()
    office.check(office.box)
    said = office.box("--json", "verify", expect=0).json()
    assert said["only_off_site_containers"] > 0
    assert len(said["repaired_containers"]) == len(local(office)) > 0
    office.vault.rename(office.folder / "elsewhere")
    office.check(office.box)


def test_a_lost_container_whose_chunks_lie_elsewhere_in_the_vault_is_stored_anew(
    office: Office,
) -> None:
    first = office.back_up("web1", size_mib=8)
    office.add_vault()
    office.sync()
    # Its chunks move to other containers, which the vault never gets: it has them already.
    office.box("recompress", expect=0)
    second = office.back_up("twin", image=office.images[first])
    containers = len(office.objects("containers"))
    office.sync()
    for path in local(office):
        path.unlink()
    said = office.box("--json", "scrub", "--all", expect=0).json()
    assert said["repaired_containers"]
    assert len(office.objects("containers")) <= containers + 2, "pages only"
    office.vault.rename(office.folder / "elsewhere")
    office.check(office.box, second)


def test_what_an_opened_box_lists_is_in_the_vault_until_it_is_pulled(office: Office) -> None:
    fill(office)
    other = office.open("other")

    def where() -> dict[str, list[str]]:
        listed = other("--json", "points", expect=0).json()["points"]
        return {str(point["name"]): point["where"] for point in listed}

    first, second = office.images
    assert where() == {first: ["vault"], second: ["vault"]}
    other("verify", expect=0)
    assert not list((other.state / "store" / "containers").glob("*/*")), (
        "nothing is brought unasked"
    )
    other("vault", "pull", first, expect=0)
    assert where() == {first: ["box", "vault"], second: ["vault"]}
    # What is backed up beside a base that is not here is not all here either.
    path = write_image(office.folder / "next.raw", bytearray(office.images[second]))
    made = other("--json", "backup", path, "--machine", "file1", expect=0).json()["name"]
    assert where()[made] == ["box, partly"]


def flip(path: Path, offset: int) -> bytes:
    """Damage a file; gives what it held."""
    whole = path.read_bytes()
    path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
    return whole


def test_damage_in_different_places_here_and_there_loses_nothing(office: Office) -> None:
    fill(office)
    victim = max(local(office), key=lambda path: path.stat().st_size)
    there = next(path for path in office.objects("containers") if path.name == victim.name)
    flip(victim, 1000)
    flip(there, victim.stat().st_size // 2)
    office.check(office.box)
    office.box("scrub", "--all")
    office.vault.rename(office.folder / "elsewhere")
    office.check(office.box)


def test_damage_in_the_vault_is_sent_again_from_the_box(office: Office) -> None:
    fill(office)
    victim = max(office.objects("containers"), key=lambda path: path.stat().st_size)
    whole = flip(victim, 1000)
    key = str(victim.relative_to(office.vault))
    store = Store(office.box.state, keyring.load_master_key(office.box.state, None))
    mending = Mending(store, SystemClock())
    bucket = DirectoryBucket(office.vault)
    assert asyncio.run(mending.mend("vault", bucket, key))
    assert victim.read_bytes() == whole
    findings = office.box("--json", "scrub", expect=0).json()["findings"]
    assert [(one["severity"], one["what"]) for one in findings] == [
        ("notice", f"vault vault object {key}")
    ]
    # What the box itself has damaged is never sent.
    flip(victim, 1000)
    mine = next(path for path in local(office) if path.name == victim.name)
    flip(mine, 2000)
    damaged = victim.read_bytes()
    assert not asyncio.run(mending.mend("vault", bucket, key))
    assert victim.read_bytes() == damaged
    (finding,) = read_findings(store.layout).findings
    assert finding.severity == "warning"


def test_verifying_the_vault_mends_it(office: Office) -> None:
    fill(office)
    victim = max(office.objects("containers"), key=lambda path: path.stat().st_size)
    whole = flip(victim, 1000)
    said = office.box("--json", "vault", "verify", expect=0).json()
    assert said["sound"]
    assert len(said["notices"]) == 1
    assert victim.read_bytes() == whole


def test_an_opened_box_never_writes_to_the_vault(office: Office) -> None:
    fill(office)
    victim = max(office.objects("containers"), key=lambda path: path.stat().st_size)
    flip(victim, 100)
    other = office.open("other")
    before = {path: path.read_bytes() for path in office.objects()}
    for name in office.images:
        other("restore", name, "-")
    said = other("--json", "scrub", "--all").json()
    assert any(finding["what"].startswith("vault ") for finding in said["findings"])
    assert {path: path.read_bytes() for path in office.objects()} == before
