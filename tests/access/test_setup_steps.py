"""Setup goes on where it was left, and says what a host cannot do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.access.host_abilities import look_at_disks
from appliance.access.setup_steps import STEPS, Fact, SetupSteps, Step
from appliance.base.clock import SystemClock
from appliance.base.errors import AccessError, NotFoundError, UsageError
from appliance.cli.main import main
from appliance.health.inventory import Inventory
from appliance.health.kernel_tree import KernelTree
from tests.access.conftest import PASSWORD, HandClock, cheap_passwords

OPEN = Fact(False, True, "x", "do it")


def by_name(steps: SetupSteps) -> dict[str, Step]:
    return {step.name: step for step in steps.look()}


def make(access: Access, store: str | None = "ab", **facts: Fact) -> SetupSteps:
    facts = {name: facts.get(name, OPEN) for name in STEPS}
    looks = {name: partial(facts.__getitem__, name) for name in STEPS}
    return SetupSteps(
        access.file, looks, store_id=lambda: store, proves=lambda text: text == "the key"
    )


def test_every_step_says_what_it_came_to_and_why(access: Access) -> None:
    steps = make(
        access,
        admin=Fact(True, True, "admin", "done"),
        disks=Fact(False, False, "no-spare-disks", "no two empty disks"),
    )
    steps.skip("vault")
    found = by_name(steps)
    assert list(found) == list(STEPS)
    assert [found[name].state for name in ("admin", "disks", "vault", "time")] == [
        "done",
        "impossible",
        "skipped",
        "open",
    ]
    assert found["disks"].text == "no two empty disks"
    assert steps.next() == "time"


def test_what_was_skipped_and_chosen_outlives_a_restart(tmp_path: Path, clock: HandClock) -> None:
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        make(access).skip("notices")
        make(access).choose("old")
    with Access(tmp_path, clock, passwords=cheap_passwords()) as access:
        assert by_name(make(access))["notices"].state == "skipped"
        assert make(access).way == "old"
        make(access).reopen("notices")
        assert by_name(make(access))["notices"].state == "open"


def test_there_is_no_box_without_administrator_and_store(access: Access) -> None:
    for name in ("admin", "store"):
        with pytest.raises(UsageError):
            make(access).skip(name)
    with pytest.raises(NotFoundError):
        make(access).skip("everything")


def test_the_recovery_key_counts_when_it_was_retyped_and_for_its_own_store(access: Access) -> None:
    steps = make(access)
    now = SystemClock().now()
    assert steps.findings(now, now)[0].rule == "box.recovery-key-unproven"
    with pytest.raises(AccessError):
        steps.confirm_recovery_key("another")
    assert by_name(steps)["key"].state == "open"
    steps.confirm_recovery_key("the key")
    assert by_name(steps)["key"].state == "done"
    assert not steps.findings(now, now)
    assert by_name(make(access, store="cd"))["key"].state == "open"
    assert by_name(make(access, store=None))["key"].reason == "no-store"


def test_a_real_host_is_looked_at_and_no_key_stays_behind(tmp_path: Path) -> None:
    state, key = tmp_path / "state", tmp_path / "key"
    with Access(state, passwords=cheap_passwords()) as access:
        before = by_name(access.steps())
        assert (before["store"].state, before["vault"].reason) == ("open", "no-store")
        assert before["network"].text
    assert main(["--state", str(state), "init", "--recovery-out", str(key)]) == 0
    text = key.read_text()
    with Access(state, passwords=cheap_passwords()) as access:
        access.accounts.add("ann", "admin", PASSWORD)
        assert access.steps().next() not in ("admin", "store")
        with pytest.raises(AccessError):
            access.steps().confirm_recovery_key("silver exact real office")
        access.steps().confirm_recovery_key(text)
        assert by_name(access.steps())["key"].state == "done"
    rows = [" ".join(line.split()[1:5]) for line in text.splitlines() if line[:1].isdigit()]
    base32 = next(line for line in text.splitlines() if line.startswith("base32"))
    for file in (path for path in state.rglob("*") if path.is_file()):
        for secret in (*rows, base32.split()[1]):
            assert secret.encode() not in file.read_bytes(), file


def test_without_two_empty_disks_there_is_no_array(tmp_path: Path) -> None:
    (tmp_path / "sys/block").mkdir(parents=True)
    fact = look_at_disks(Inventory(KernelTree(tmp_path)), is_root=True)
    assert (fact.can, fact.reason) == (False, "no-spare-disks")
