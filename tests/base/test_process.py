"""Other programs: what they say, how they fail, and whether they still run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from appliance.base import process
from appliance.base.errors import HoldfastError, NotFoundError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_program_is_found_or_its_package_named() -> None:
    assert process.find_program("sh", "dash").endswith("/sh")
    with pytest.raises(HoldfastError, match="no-such-program is not installed: apt-get install it"):
        process.find_program("no-such-program", "it")


def test_run_gives_what_the_program_wrote(tmp_path: Path) -> None:
    assert process.run(["echo", "a;b $HOME"]) == "a;b $HOME\n"
    assert process.run(["pwd"], cwd=tmp_path).strip() == str(tmp_path)


def test_a_program_gets_no_input() -> None:
    assert process.run(["cat"], timeout_s=120) == ""


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert process.run(python("import os; os.write(1, b'a\\xffb')")) == "a\ufffdb"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; print('out'); sys.exit('first\\nlast')", "last"),
        ("print('only\\nthis'); raise SystemExit(3)", "this"),
        ("raise SystemExit(3)", "3"),
        ("import os; os.kill(os.getpid(), 9)", "-9"),
    ],
)
def test_a_failure_is_one_line_with_the_last_words(code: str, said: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        process.run(python(code))
    assert str(caught.value) == f"{sys.executable} failed: {said}"


def test_a_program_that_does_not_end_is_killed() -> None:
    began_s = time.monotonic()
    with pytest.raises(HoldfastError, match="sleep did not end within 0 s"):
        process.run(["sleep", "60"], timeout_s=0.2)
    assert time.monotonic() - began_s < 30
    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(HoldfastError, match="/no/such/program: No such file"):
        process.run(["/no/such/program"])
    with pytest.raises(HoldfastError, match="Permission denied"):
        process.run(["/etc/passwd"])


def test_what_is_spawned_has_a_session_and_a_log_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    child = process.spawn(
        python("import os, sys; print(os.getsid(0) == os.getpid()); sys.exit('error')"), log=log
    )
    assert child.wait(timeout=120) == 1
    assert sorted(log.read_text().splitlines()) == ["True", "before", "error"]
    assert log.stat().st_mode & 0o777 == 0o644  # it was there


def test_a_new_log_is_private(tmp_path: Path) -> None:
    process.spawn(["true"], log=tmp_path / "log").wait(timeout=120)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_only_the_descriptors_named_are_handed_on(tmp_path: Path) -> None:
    kept, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(other, True)
    code = f"import os; os.fstat({kept})\ntry: os.fstat({other})\nexcept OSError: print('closed')"
    child = process.spawn(python(code), log=tmp_path / "log", keep_descriptors=[kept])
    assert child.wait(timeout=120) == 0
    assert (tmp_path / "log").read_text() == "closed\n"
    os.close(kept)
    os.close(other)


def test_what_cannot_be_spawned_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="/no/such/program"):
        process.spawn(["/no/such/program"], log=tmp_path / "log")


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="missing/log"):
        process.spawn(["true"], log=tmp_path / "missing" / "log")
