"""What the command does where standard input, output or error is closed or full."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import IO

import pytest

from tests.command import ROOT, WAIT_S, HoldfastHere


@pytest.fixture
def holdfast(tmp_path: Path) -> HoldfastHere:
    here = HoldfastHere(tmp_path / "state")
    here("init", expect=0)
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    return here


def run(
    holdfast: HoldfastHere,
    *words: str | Path,
    closed: int | None = None,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: IO[bytes] | int = subprocess.PIPE,
) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error; `closed` is the one that is not there."""
    done = subprocess.run(
        holdfast.argv(*words),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=None if closed is None else functools.partial(os.close, closed),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=WAIT_S,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_result_that_nobody_can_be_given_is_a_failure(holdfast: HoldfastHere) -> None:
    found = run(holdfast, "points", closed=1)
    assert found == (1, b"", b"holdfast: standard output: Bad file descriptor\n")


def test_what_is_said_beside_the_result_never_becomes_a_part_of_it(holdfast: HoldfastHere) -> None:
    code, out, _ = run(holdfast, "restore", "m@latest", "-", closed=2)
    assert (code, out) == (5, b"")


def test_what_is_to_be_typed_and_cannot_be_is_said(holdfast: HoldfastHere) -> None:
    code, out, err = run(holdfast, "unlock", closed=0)
    assert (code, out) == (2, b"")
    assert err.count(b"\n") == 1
    assert b"--passphrase-file" in err


def test_a_log_that_is_full_makes_nothing_fail(holdfast: HoldfastHere, tmp_path: Path) -> None:
    words = ("backup", tmp_path / "disk.raw", "--machine", "m", "--json")
    with Path("/dev/full").open("wb") as full:
        code, out, _ = run(holdfast, *words, stderr=full)
    assert code == 0
    assert json.loads(out)["name"].startswith("m@")


def test_a_result_that_did_not_fit_says_what_is_full(holdfast: HoldfastHere) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = run(holdfast, "points", stdout=full)
    assert (code, err) == (7, b"holdfast: standard output: No space left on device\n")
