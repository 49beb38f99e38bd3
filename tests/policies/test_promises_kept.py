"""Promises with the real command: where points go, names that travel, and how the retired age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.formats.names import PointName
from appliance.formats.policy import Policy
from appliance.keys.keyring import load_master_key
from appliance.retention.rules import Candidate, judge_machine
from appliance.store.store import Store
from tests.vault.office import Office

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[Office]:
    found = Office(tmp_path, seed)
    yield found
    found.close()


def test_a_vault_gets_what_it_was_promised_and_a_new_name_travels(office: Office) -> None:
    office.add_vault()
    office.back_up("m", size_mib=1)
    office.back_up("secret", size_mib=1)
    office.box("policy", "set", "--machine", "secret", "--vault", "none", expect=0)
    office.box("policy", "set", "--machine", "m", "--offsite-rpo", "3", expect=0)
    office.box("machines", "rename", "m", "shop", expect=0)
    assert behind(office) == []
    office.box("policy", "set", "--machine", "m", "--offsite-rpo", "0.017", expect=0)
    age_points(office)
    assert behind(office) == [("machine shop", "machine.offsite.vault")]
    office.box("policy", "set", "--machine", "m", "--offsite-rpo", "3", expect=0)
    (point,) = office.sync()["points"]
    assert point.startswith("shop@")
    (vault,) = office.box("vault", "status", "--json", expect=0).json()["vaults"]
    assert [(one["machine"], one["rpo_s"]) for one in vault["machines"]] == [("shop", 10800)]
    other = office.open("other")
    listed = other("points", "--json", expect=0).json()["points"]
    assert [one["machine"] for one in listed] == ["shop"]
    shown = other("policy", "show", "--machine", "shop", "--json", expect=0).json()
    assert shown["protection"]["offsite_rpo_s"] == 10800
    assert other("machines", "list", "--json", expect=0).json()["machines"][0]["sources"] == []


def behind(office: Office) -> list[tuple[str, str]]:
    """Subjects and rules of what is said about machines and vaults."""
    found = office.box("health", "--json").json()["findings"]
    return [
        (item["subject"], item["rule"]) for item in found if item["rule"].startswith("machine.off")
    ]


def age_points(office: Office) -> None:
    """Let the machine have an older point, too, which is not in the vault either."""
    store = Store(office.box.state, load_master_key(office.box.state, None))
    (manifest,) = (store.points.read(file) for file in store.points.files("shop"))
    store.points.commit(replace(manifest, time=NOW - 400 * DAY), lambda _: False)


def ages(*days: float) -> list[Candidate]:
    return [Candidate(PointName("m", NOW - day * DAY), "complete") for day in days]


def going(policy: Policy, *days: float, is_retired: bool = True) -> list[float]:
    verdicts = judge_machine(ages(*days), policy, NOW, is_retired=is_retired)
    return [(NOW - verdict.name.time) / DAY for verdict in verdicts if verdict.goes]


def test_points_of_a_retired_machine_go_one_by_one_as_their_rules_end() -> None:
    policy = Policy(keep_daily=7, keep_monthly=3)
    assert going(policy, 1, 2, 3) == []
    assert going(policy, 8, 9, 40, 70) == [9]
    assert going(policy, 94, 95) == [95, 94]
    assert going(policy, 94, 95, is_retired=False) == []


def test_what_is_kept_for_ever_or_by_number_or_held_stays_with_the_retired() -> None:
    assert going(Policy(keep_forever=True), 5000) == []
    assert going(Policy(keep_last=1), 5000, 5001) == [5001]
    (held,) = ages(5000)
    shielded = Candidate(held.name, "complete", ("held",))
    assert not judge_machine([shielded], Policy(keep_daily=1), NOW, is_retired=True)[0].goes


def test_a_young_point_of_a_retired_machine_stays_and_the_machine_can_come_back(
    office: Office,
) -> None:
    office.back_up("m", size_mib=1)
    office.box("policy", "set", "--machine", "m", "--keep-hourly", "1", expect=0)
    office.box("machines", "retire", "m", expect=0)
    (verdict,) = office.box("prune", "--simulate", "--json", expect=0).json()["points"]
    assert verdict["goes"] is False
    office.box("machines", "resume", "m", expect=0)
    states = office.box("machines", "list", "--json", expect=0).json()["machines"]
    assert [one["state"] for one in states] == ["protected"]
