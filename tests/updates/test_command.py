"""The command where nothing can be updated, beside jobs that run, and as it is built."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.base.errors import BusyError
from appliance.cli.console import Console
from appliance.cli.session import Session
from appliance.cli.updates import await_jobs
from image.update_file import export_public, list_checkout, list_packages
from tests.command import ROOT, HoldfastHere
from tests.daemon.conftest import Box
from tests.updates.releasing import make_key


def test_a_checkout_says_how_it_is_updated_and_installs_nothing(state: Path) -> None:
    holdfast = HoldfastHere(state)
    said = holdfast("update", "status", expect=0)
    assert len(said.out.splitlines()) == 1
    assert "git pull" in said.out
    assert "make setup" in said.out
    status = holdfast("--json", "update", "status", expect=0).json()
    assert (status["is_installed"], status["releases"], status["trial"]) == (False, [], None)
    for words in (["check", "x.update"], ["install", "x.update"], ["back"]):
        refused = holdfast("update", *words, expect=2)
        assert "git pull" in refused.err
        assert len(refused.err.splitlines()) == 1


def test_jobs_that_run_are_named_or_waited_for(state: Path, tmp_path: Path) -> None:
    session = Session(state, Console(is_json=False))
    await_jobs(session, argparse.Namespace(wait=False))  # no daemon, no jobs
    box, until = Box(state), tmp_path / "until"
    box.start()
    try:
        job = box.submit("act", seconds=600, until=str(until))
        box.wait_for(job, "running")
        with pytest.raises(BusyError, match=rf"{job} \(act\).*--wait"):
            await_jobs(session, argparse.Namespace(wait=False))
        until.touch()
        await_jobs(session, argparse.Namespace(wait=True))
        assert box.ask("get", id=job)["state"] == "done"
    finally:
        box.stop()


def test_a_release_holds_what_the_command_imports_and_nothing_of_its_tests() -> None:
    names = {name.split("/")[0] for name in list_packages()}
    assert {"aiohttp", "Crypto", "zstandard", "msgspec"} <= names
    assert not names & {"pytest", "playwright", "mypy", "appliance", "tests"}
    checkout = list_checkout()
    assert {"appliance/cli/main.py", "appliance/native/libholdfast.so"} <= checkout.keys()
    assert "appliance/web/vendor/preact.js" in checkout
    assert not [name for name in checkout if "__pycache__" in name or not name.startswith("app")]


def test_the_builder_wants_a_private_key_and_prints_what_boxes_trust(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(export_public(make_key()))
    build = [sys.executable, "-m", "image.update_file", "--out", str(tmp_path / "out"), "--key"]
    done = subprocess.run([*build, str(key)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no private key of Ed25519" in done.stderr
    assert not list((tmp_path / "out").glob("*.update"))
