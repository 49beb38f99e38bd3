"""Drills with real QEMU: what is measured, what fails, and that nothing is left."""

from __future__ import annotations

import hashlib
import threading

import pytest

from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.progress import Progress
from appliance.drills import run
from appliance.drills.places import running_folder
from appliance.formats.drill import DrillRecord, MachineResult
from appliance.recovery import vms
from appliance.recovery.mount_note import list_mounts
from appliance.recovery.qemu import read_png_size
from appliance.recovery.runtime import poll
from tests.drills.conftest import Rehearsal
from tests.recovery.guests import SAYS_LOGIN, SHOWS_LOGIN, SILENT, SWITCHES_OFF

SMALL = "memory_mib = 32"


def assert_nothing_is_left(rehearsal: Rehearsal) -> None:
    assert not vms.list_vms(rehearsal.lab.runtime)
    assert not list_mounts(rehearsal.lab.runtime)
    assert not list(running_folder(rehearsal.lab.runtime).iterdir())


def machine(record: DrillRecord, name: str) -> MachineResult:
    return next(each for each in record.machines if each.name == name)


def test_a_machine_that_comes_up_passes_with_its_phases_measured(rehearsal: Rehearsal) -> None:
    rehearsal.add("web1", SAYS_LOGIN)
    record = rehearsal.run(f"machines = [{{name = 'web1', {SMALL}}}]")
    web1 = machine(record, "web1")
    assert record.verdict == web1.verdict == "passed"
    names = [phase.name for phase in web1.phases]
    assert names == ["point opened", "VM started", "firmware", "ready"]
    moments = [phase.at_s for phase in web1.phases]
    assert moments == sorted(moments)
    assert web1.rto_s is not None
    assert record.rto_s is not None
    assert moments[-1] <= web1.rto_s <= record.rto_s
    assert web1.rpo_s > 0
    assert web1.read_bytes >= 512
    assert web1.accelerator == "tcg"
    assert_nothing_is_left(rehearsal)


def test_evidence_is_named_with_its_hash(rehearsal: Rehearsal) -> None:
    rehearsal.add("web1", SHOWS_LOGIN)
    record = rehearsal.run(f"machines = [{{name = 'web1', {SMALL}}}]")
    assert rehearsal.room.records.read(record.id) == record
    evidence = [*record.machines[0].evidence, *([record.log] if record.log else [])]
    assert [each.name for each in evidence] == ["1-screen.png", "1-serial.log", "drill.log"]
    for each in evidence:
        data = (rehearsal.folder(record) / each.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.size_bytes, each.sha256)
    assert read_png_size((rehearsal.folder(record) / "1-screen.png").read_bytes()) > (0, 0)
    assert "web1: recovered within" in (rehearsal.folder(record) / "drill.log").read_text()


def test_what_does_not_come_up_fails_and_says_why(rehearsal: Rehearsal) -> None:
    rehearsal.add("dead", SILENT)
    rehearsal.add("off", SWITCHES_OFF)
    rehearsal.add("web1", SAYS_LOGIN)
    record = rehearsal.run(
        f"[[machines]]\nname = 'dead'\n{SMALL}\ntimeout_s = 3\n"
        f"[[machines]]\nname = 'off'\n{SMALL}\n"
        f"[[machines]]\nname = 'web1'\n{SMALL}\n"
    )
    assert record.verdict == "failed"
    assert record.rto_s is None
    assert machine(record, "dead").verdict == "failed"
    assert "not ready" in machine(record, "dead").error
    assert "ended before it was ready" in machine(record, "off").error
    assert machine(record, "web1").verdict == "passed"
    assert_nothing_is_left(rehearsal)


def test_checks_are_tried_and_one_that_fails_fails_the_drill(rehearsal: Rehearsal) -> None:
    rehearsal.add("web1", SAYS_LOGIN)
    record = rehearsal.run(
        f"[[machines]]\nname = 'web1'\n{SMALL}\nready = 'none'\n"
        "checks = [{kind = 'login', text = 'web1 login'},"
        "{kind = 'login', text = 'never said', timeout_s = 10, label = 'wrong'},"
        "{kind = 'login', text = 'SeaBIOS'}]"
    )
    first, wrong, last = machine(record, "web1").checks
    assert first.passed
    assert last.passed
    assert not wrong.passed
    assert wrong.title == "wrong"
    assert wrong.tries > 1
    assert "neither on the serial line nor on the screen" in wrong.detail
    assert record.verdict == machine(record, "web1").verdict == "failed"


def test_a_higher_order_waits_and_lower_ones_stay_up(rehearsal: Rehearsal) -> None:
    for name in ("db", "app"):
        rehearsal.add(name, SAYS_LOGIN)
    record = rehearsal.run(
        f"[[machines]]\nname = 'app'\norder = 2\ndelay_s = 0.5\n{SMALL}\n"
        f"[[machines]]\nname = 'db'\n{SMALL}\n"
    )
    database, application = machine(record, "db"), machine(record, "app")
    assert database.rto_s is not None
    assert application.began_s >= database.began_s + database.rto_s + 0.5
    assert [each.name for each in record.machines] == ["app", "db"]  # as the plan names them
    assert_nothing_is_left(rehearsal)


def test_machines_that_do_not_fit_together_wait_for_each_other(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        rehearsal.add(name, SAYS_LOGIN)
    monkeypatch.setattr(run, "measure_free_mib", lambda: 40)
    text = "\n".join(f"[[machines]]\nname = '{name}'\n{SMALL}" for name in ("a", "b", "c"))
    record = rehearsal.run(text)
    assert record.verdict == "passed"
    began = sorted(each.began_s for each in record.machines)
    ends = sorted(each.began_s + (each.rto_s or 0) for each in record.machines)
    assert began[1] >= ends[0]
    assert began[2] >= ends[1]


def test_too_little_memory_is_refused_with_what_is_free_and_needed(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "measure_free_mib", lambda: 40)
    text = "[[machines]]\nname = 'a'\nmemory_mib = 30\n"
    text += "[[machines]]\nname = 'b'\norder = 2\nmemory_mib = 30"
    with pytest.raises(HoldfastError, match=r"40\.0 MiB .* free .* needs 60\.0 MiB"):
        rehearsal.run(text)
    assert not rehearsal.lab.runtime.vms.exists()


def test_a_cancelled_drill_leaves_nothing_but_its_record(rehearsal: Rehearsal) -> None:
    rehearsal.add("dead", SILENT)
    progress = Progress()
    log = rehearsal.lab.runtime.state / "drills"

    def cancel() -> None:
        poll(
            lambda: any("VM runs" in path.read_text() for path in list(log.glob("*/drill.log"))),
            120,
        )
        progress.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        rehearsal.run(f"machines = [{{name = 'dead', {SMALL}}}]", progress)
    canceller.join()
    assert_nothing_is_left(rehearsal)
    (folder,) = log.iterdir()
    assert rehearsal.room.records.read(folder.name).verdict == "cancelled"


def test_a_network_of_its_own_has_doors_and_nobody_behind_them(rehearsal: Rehearsal) -> None:
    rehearsal.add("web1", SAYS_LOGIN)
    record = rehearsal.run(
        f"network = 'apart'\n[[machines]]\nname = 'web1'\n{SMALL}\n"
        "checks = [{kind = 'tcp', port = 22, timeout_s = 3}]"
    )
    (check,) = machine(record, "web1").checks
    assert not check.passed
    assert machine(record, "web1").phases[-1].name == "ready"  # the guest came up with its card
    assert_nothing_is_left(rehearsal)
