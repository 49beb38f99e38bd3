"""Promises with the real command: where points go, names that travel, and how the retired age."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.base.clock import local_zone
from appliance.drills.records import DrillRecords
from appliance.formats.drill import decode_drill
from appliance.formats.names import PointName, parse_time
from appliance.formats.policy import Policy
from appliance.formats.protection import Times
from appliance.keys.keyring import load_master_key
from appliance.policies.due import when_due
from appliance.retention.rules import Candidate, judge_machine
from appliance.store.store import Store
from tests.formats.examples import read_golden
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


def test_what_a_drill_took_is_held_against_the_promise_and_the_next_run_counts_the_jitter(
    office: Office,
) -> None:
    box = office.box
    office.back_up("web1", size_mib=1)
    disk = office.folder / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    box("machines", "add", "web1", disk, expect=0)
    refused = box("policy", "set", "--machine", "web1", "--rto", "0.01", expect=2)
    assert "at least a minute" in refused.err
    far = f"{datetime.now().astimezone() + DAY / 2:%H}:00"  # no slot comes while this runs
    box("policy", "set", "--machine", "web1", "--rto", "0.02", "--at", far, expect=0)
    box("policy", "set", "--machine", "web1", "--jitter", "300", expect=0)
    assert find_rehearsed(office, "20261121T091500Z", 71.0) == []
    assert find_rehearsed(office, "20261122T091500Z", 100.0) == [("machine.rto", "warning")]
    assert find_rehearsed(office, "20261123T091500Z", 216.0) == [("machine.rto", "critical")]
    (row,) = box("--json", "machines", "list", expect=0).json()["machines"]
    schedule, now = (Times(at=(far,)),), datetime.now(UTC)
    due = when_due(schedule, now, local_zone(), subject="backup web1", jitter_s=300 * 60)
    assert due is not None
    assert parse_time(row["next_run_at"]) == due.replace(microsecond=0)


def find_rehearsed(office: Office, drill: str, rto_s: float) -> list[tuple[str, str]]:
    """What is said of web1 after a drill that took so long."""
    store = Store(office.box.state, load_master_key(office.box.state, None))
    record = decode_drill(read_golden("drill.json"))
    machine = msgspec.structs.replace(record.machines[0], rto_s=rto_s)
    made = msgspec.structs.replace(record, id=drill, machines=(machine,))
    DrillRecords(store.points.records).put(made)
    found = office.box("health", "--json").json()["findings"]
    return [(item["rule"], item["severity"]) for item in found if item["subject"] == "machine web1"]


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
