"""Self-tests are started by the codes of the standards, and a running one is seen."""

from __future__ import annotations

import pytest

from appliance.base.errors import BusyError, HoldfastError, NotFoundError
from appliance.formats.disk_pages import Protocol
from appliance.formats.disk_report import parse_disk
from appliance.health.disk_self_test import (
    Kind,
    RunningTest,
    find_running,
    start_self_test,
    stop_self_test,
)
from appliance.native.smart import ALL_NAMESPACES, Command, Operation, Reply, Result
from tests.health.nvme_pages import nvme, nvme_tests
from tests.health.recorded import RecordedDisk
from tests.health.scsi_pages import sas, scsi_tests
from tests.health.shapes import SHAPES


class Answer:
    """A transport with one answer for everything."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self.asked: list[Command] = []

    def send(self, command: Command) -> Reply:
        self.asked.append(command)
        return Reply(self._result)


@pytest.mark.parametrize(
    ("protocol", "kind", "operation", "code"),
    [
        ("ata", "short", Operation.ATA_SELF_TEST, 1),
        ("ata", "long", Operation.ATA_SELF_TEST, 2),
        ("nvme", "short", Operation.NVME_SELF_TEST, 1),
        ("nvme", "long", Operation.NVME_SELF_TEST, 2),
        ("scsi", "short", Operation.SCSI_SELF_TEST, 1),
        ("scsi", "long", Operation.SCSI_SELF_TEST, 2),
    ],
)
def test_a_test_is_started_by_its_code(
    protocol: Protocol, kind: Kind, operation: Operation, code: int
) -> None:
    disk = Answer(Result.OK)
    start_self_test(disk, protocol, kind)
    command = disk.asked[-1]
    assert (command.operation, command.page) == (operation, code)
    assert command.nsid == (ALL_NAMESPACES if protocol == "nvme" else 0)


@pytest.mark.parametrize(("protocol", "code"), [("ata", 127), ("nvme", 15), ("scsi", 4)])
def test_a_test_is_stopped_by_its_code(protocol: Protocol, code: int) -> None:
    disk = Answer(Result.OK)
    stop_self_test(disk, protocol)
    assert disk.asked[0].page == code


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Result.UNSUPPORTED, HoldfastError),
        (Result.FAILED, HoldfastError),
        (Result.HUNG, HoldfastError),
        (Result.BUSY, BusyError),
        (Result.GONE, NotFoundError),
    ],
)
def test_a_disk_that_refuses_is_named(result: Result, error: type[HoldfastError]) -> None:
    with pytest.raises(error, match="disk WD-1"):
        start_self_test(Answer(result), "ata", "short", subject="disk WD-1")


def test_a_running_test_is_seen() -> None:
    running = SHAPES["hdd-self-test-running"].make()
    assert find_running(parse_disk(running)) == RunningTest(40)
    assert find_running(parse_disk(nvme(log_06=nvme_tests(running=1)))) == RunningTest(60)
    assert find_running(parse_disk(sas(log_10=scsi_tests((1, 15, 0, None))))) == RunningTest(None)


def test_a_running_test_is_not_stopped_by_another() -> None:
    disk = RecordedDisk(SHAPES["hdd-self-test-running"].make())
    with pytest.raises(BusyError, match="disk WD-1 runs a self-test already, 40 % to go"):
        start_self_test(disk, "ata", "short", subject="disk WD-1")
    assert Operation.ATA_SELF_TEST not in {command.operation for command in disk.asked}


@pytest.mark.parametrize("name", ["hdd-healthy", "hdd-self-test-failed", "nvme-old", "scsi-bare"])
def test_no_test_runs_where_none_was_started(name: str) -> None:
    assert find_running(parse_disk(SHAPES[name].make())) is None
