"""Points that leave the box and live on in the vault, and points that leave the vault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.office import Office, points_of


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    made = Office(tmp_path, seed)
    made.add_vault()
    for _ in range(3):
        made.back_up()
        made.sync()
    yield made
    made.close()


def where(office: Office) -> dict[str, list[str]]:
    listed = office.box("--json", "points", expect=0).json()["points"]
    return {point["name"]: point["where"] for point in listed}


def test_a_point_that_leaves_the_box_is_listed_with_where_it_is(office: Office) -> None:
    first, second, third = office.images
    assert where(office) == {name: ["box", "vault"] for name in office.images}
    office.box("forget", first, "--now", expect=0)
    office.box("collect", expect=0)
    newest = office.back_up()
    assert where(office) == {
        first: ["vault"],
        second: ["box", "vault"],
        third: ["box", "vault"],
        newest: ["box"],
    }
    assert "vault" in office.box("points", expect=0).out
    office.box("forget", first, expect=5)
    assert not office.sync()["findings"]
    assert set(points_of(office.open("other"))) == set(office.images)


def test_a_vault_keeps_what_its_own_rules_say(office: Office) -> None:
    first, second, third = office.images
    office.box("vault", "prune", expect=0)
    assert len(where(office)) == 3, "without rules everything stays"
    office.box("hold", first, "--reason", "audit", expect=0)
    office.box("vault", "retain", "--keep-last", "1", expect=0)
    simulated = office.box("--json", "vault", "prune", "--simulate", expect=0).json()
    assert simulated["going"] == [second]
    pruned = office.box("--json", "vault", "prune", "--grace", "0", expect=0).json()
    assert pruned["points"] == 1
    assert pruned["objects"] > 0
    assert where(office) == {first: ["box", "vault"], second: ["box"], third: ["box", "vault"]}
    office.box("vault", "verify", expect=0)
    assert office.sync()["done"]
    other = office.open("other")
    office.hydrate(other)
    office.check(other, first, third)
    assert points_of(other) == [first, third]


def test_young_objects_that_nothing_needs_yet_stay(office: Office) -> None:
    office.box("vault", "retain", "--keep-last", "1", expect=0)
    before = len(office.objects("containers"))
    pruned = office.box("--json", "vault", "prune", expect=0).json()
    assert pruned["points"] == 2
    assert pruned["objects"] == 0
    assert len(office.objects("containers")) == before
