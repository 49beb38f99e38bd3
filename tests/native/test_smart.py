"""The door to a disk answers in time, whatever the probe behind it does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.native import smart
from appliance.native.smart import Command, DiskProbe, Operation, Result

IDENTIFY = Command(Operation.ATA_IDENTIFY, timeout_s=0.1)
PATIENT = Command(Operation.ATA_IDENTIFY, timeout_s=100)
OK = 'b"HFSR" + bytes((0, 1)) + bytes(2) + (4).to_bytes(4, "little") + bytes(16)'
LATE = "import os, time; os.read(0, 24); time.sleep(600)"


@pytest.fixture(autouse=True)
def short_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart, "_MARGIN_S", 0.4)


def program_of(tmp_path: Path, code: str) -> Path:
    """A program in place of the probe."""
    path = tmp_path / "probe"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("device", "result"),
    [("/dev/null", Result.UNSUPPORTED), ("/dev/no-such-disk", Result.GONE)],
)
def test_what_is_no_disk_is_said_so(device: str, result: Result) -> None:
    with DiskProbe(device) as probe:
        reply = probe.send(PATIENT)
        assert (reply.result, reply.data) == (result, b"")


def test_a_file_is_never_taken_for_a_disk(tmp_path: Path) -> None:
    (tmp_path / "image.raw").write_bytes(bytes(4096))
    with DiskProbe(str(tmp_path / "image.raw")) as probe:
        assert probe.send(PATIENT).result is Result.UNSUPPORTED


def test_the_wire_form_is_fixed() -> None:
    """As docs/format/probe.md says it."""
    request = Command(Operation.ATA_LOG_EXT, 4, 1, first=0x102, nsid=3, length_bytes=512)
    assert request.encode().hex() == "4846535106000401020100000300000000020000204e0000"
    reply = bytes.fromhex(
        "48465352" "08" "03" "0500" "02000000" "0400" "0941" "0100" "0800"
        "02" "03" "11" "01" "50" "40" "e0" "00" "0300" "0000" "00f42c0000000000" "3412000000000000"
    )  # fmt: skip
    decoded, sense_bytes, data_bytes = smart.decode_header(reply)
    assert (sense_bytes, data_bytes) == (4, 2)
    assert decoded == smart.Reply(
        Result.FAILED,
        sense_key=3,
        asc=0x11,
        ascq=1,
        nvme_status=0x4109,
        os_error=5,
        registers=smart.Registers(0x50, 0x40, 0xE0, 3, 0x2CF400),
        information=0x1234,
    )


def test_many_commands_go_through_one_probe() -> None:
    with DiskProbe("/dev/null") as probe:
        results = {probe.send(Command(operation)).result for operation in Operation}
    assert results <= {Result.UNSUPPORTED, Result.BAD_REQUEST}


def test_a_missing_probe_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="make setup"):
        DiskProbe("/dev/null", program=tmp_path / "missing")


def test_a_disk_that_hangs_is_given_up_and_not_asked_again(tmp_path: Path) -> None:
    probe = program_of(tmp_path, LATE)
    began_s = time.monotonic()
    disk = DiskProbe("/dev/hangs", program=probe)
    assert disk.send(IDENTIFY).result is Result.HUNG
    assert disk.send(IDENTIFY).result is Result.HUNG
    assert time.monotonic() - began_s < 60


def test_no_second_probe_joins_one_that_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the kernel held it: it cannot even be killed."""
    probe = program_of(tmp_path, LATE)
    disk = DiskProbe("/dev/stuck", program=probe)
    with monkeypatch.context() as patch:
        patch.setattr("subprocess.Popen.kill", lambda process: None)
        assert disk.send(IDENTIFY).result is Result.HUNG
        assert (
            DiskProbe("/dev/stuck", program=tmp_path / "missing").send(IDENTIFY).result
            is Result.HUNG
        )
    stuck = DiskProbe._stuck["/dev/stuck"]
    stuck.close()
    while stuck.is_running:
        time.sleep(0.01)
    again = DiskProbe("/dev/stuck", program=program_of(tmp_path, "pass"))
    assert again.send(PATIENT).result is Result.GONE


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("pass", Result.GONE),
        ("print('garbage' * 20)", Result.GONE),
        ("import os; os.write(1, b'HFSR' + bytes(20))", Result.GONE),
        (f"import os; os.write(1, ({OK}).ljust(48, b'0') + b'ab')", Result.GONE),
        ("import os; os.write(1, b'HFSR' + bytes((99,)) + bytes(43))", Result.GONE),
    ],
)
def test_a_probe_that_dies_or_talks_nonsense_is_a_disk_that_is_gone(
    tmp_path: Path, code: str, result: Result
) -> None:
    with DiskProbe("/dev/x", program=program_of(tmp_path, code)) as disk:
        assert disk.send(PATIENT).result is result


def test_a_disk_that_may_not_be_asked_has_not_vanished(tmp_path: Path) -> None:
    rest = smart._REPLY.size - 5
    code = f'import os; os.write(1, b"HFSR" + bytes([{Result.DENIED}]) + bytes({rest}))'
    with DiskProbe("/dev/x", program=program_of(tmp_path, code)) as disk:
        assert [disk.send(PATIENT).result for _ in range(2)] == [Result.DENIED] * 2
