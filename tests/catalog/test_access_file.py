"""What was acknowledged is there, whoever is killed and however many write."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, NoSpaceError
from appliance.catalog.access_file import AccessFile, SettingRow, UserRow
from tests.command import Child

ANN = UserRow("ann", "admin", "hash", 1.0)
_WRITER = """
import sys
from pathlib import Path
from appliance.access.access import Access
with Access(Path(sys.argv[1])) as access:
    while True:
        print(access.audit.note("ann", "x").number, flush=True)
"""


def test_rows_come_back_as_they_were_put(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file:
        assert file.users.add(ANN)
        assert not file.users.add(UserRow("ann", "viewer", "other", 2.0))
        assert file.users.change("ann", role="viewer", last_login_s=3.5)
        assert not file.users.change("bea", role="viewer")
    with AccessFile(tmp_path) as file:
        row = file.users.get("ann")
        assert row == UserRow("ann", "viewer", "hash", 1.0, last_login_s=3.5)
        assert file.users.where(role="viewer", is_disabled=0) == [row]
        assert file.users.remove(name="ann") == 1
        assert file.users.get("ann") is None
    assert (tmp_path / "access.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file:

        def fail() -> None:
            with file.transaction():
                file.users.add(ANN)
                with file.transaction():
                    file.set_setting("a", "b")
                assert file.users.get("ann") == ANN  # it reads what it wrote itself
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert file.users.get("ann") is None
        assert file.setting("a", "none") == "none"


def test_others_do_not_see_what_is_not_done(tmp_path: Path) -> None:
    seen: list[UserRow | None] = []
    with AccessFile(tmp_path) as file:
        with file.transaction():
            file.users.add(ANN)
            thread = threading.Thread(target=lambda: seen.append(file.users.get("ann")))
            thread.start()
            thread.join()
        assert seen == [None]
        assert file.users.get("ann") == ANN


@pytest.mark.parametrize("data", [b"garbage" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_spoiled_file_is_set_aside(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "access.sqlite").write_bytes(data)
    with AccessFile(tmp_path) as file:
        assert file.was_damaged
        file.users.add(ANN)
    assert (tmp_path / "access.damaged").read_bytes() == data
    with AccessFile(tmp_path) as file:
        assert file.was_damaged
        assert file.users.get("ann") == ANN


def test_a_spoiled_page_is_found_when_the_file_is_opened(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file, file.transaction():
        for number in range(2000):
            file.settings.put(SettingRow(f"name {number}", "value" * 10))
    path = tmp_path / "access.sqlite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    path.write_bytes(data)
    with AccessFile(tmp_path) as file:
        assert file.was_damaged


def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file:
        file.write("pragma user_version = 9")
    with pytest.raises(HoldfastError, match="newer"):
        AccessFile(tmp_path)
    assert not (tmp_path / "access.damaged").exists()


def test_only_columns_can_be_named(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file:
        with pytest.raises(ValueError, match="no such column"):
            file.users.where(**{"1=1 or name": "x"})
        with pytest.raises(ValueError, match="which rows"):
            file.users.remove()


def test_a_process_that_is_killed_loses_nothing_it_told_of(tmp_path: Path) -> None:
    from appliance.access.access import Access

    argv = [sys.executable, "-c", _WRITER, str(tmp_path)]
    for _ in range(2):
        with Child(argv, stdout=subprocess.PIPE) as process:
            told = [int(process.read_line()) for _ in range(20)][-1]
            process.send_signal(signal.SIGKILL)
        with Access(tmp_path) as access:
            verdict = access.audit.verify(None)
            assert verdict.entries >= told
            assert not verdict.faults


def test_two_processes_and_many_threads_make_one_chain(tmp_path: Path) -> None:
    from appliance.access.access import Access

    with Access(tmp_path) as one, Access(tmp_path) as other:

        def write(access: Access) -> None:
            for _ in range(15):
                access.audit.note("ann", "x")

        threads = [threading.Thread(target=write, args=(access,)) for access in (one, other) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        verdict = one.audit.verify(None)
        assert (verdict.entries, verdict.faults) == (90, ())


def test_a_full_disk_is_told_and_nothing_is_half_done(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file:
        file.users.add(ANN)
        pages = file.read("pragma page_count")[0][0]
        file.write(f"pragma max_page_count = {pages}")
        with pytest.raises(NoSpaceError):
            file.settings.put(SettingRow("big", "x" * (1 << 20)))
        file.write("pragma max_page_count = 100000")
        file.set_setting("small", "y")
        assert file.setting("big") == ""


def test_errors_name_the_file(tmp_path: Path) -> None:
    with AccessFile(tmp_path) as file, pytest.raises(HoldfastError, match=r"access\.sqlite"):
        file.read("select * from nothing")
