"""What runs guests here, found out by running one, and remembered until the next boot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, UsageError
from appliance.recovery import accelerator
from appliance.recovery.accelerator import Accelerator, choose_accelerator, remember, runs_probe
from appliance.recovery.runtime import Runtime
from tests.recovery.guests import SILENT

KEPT = Accelerator("kvm", "a guest runs on it")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.delenv(accelerator.ENVIRONMENT, raising=False)
    return Runtime(tmp_path / "state")


@pytest.fixture
def qemu() -> str:
    found = shutil.which(accelerator.QEMU)
    assert found
    return found


def test_the_probe_runs_to_its_end_on_an_accelerator_that_works(
    qemu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "PROBE_TIMEOUT_S", 120.0)
    assert runs_probe(qemu, "tcg")


def test_a_guest_that_says_nothing_does_not_pass(
    qemu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_PROBE", SILENT[:500])
    monkeypatch.setattr(accelerator, "PROBE_TIMEOUT_S", 0.5)
    assert not runs_probe(qemu, "tcg")


def test_the_verdict_says_why_and_is_asked_once_per_boot(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose_accelerator(runtime)
    assert first.reason
    monkeypatch.setattr(accelerator, "runs_probe", lambda *_: pytest.fail("asked again"))
    assert choose_accelerator(runtime) == first


def test_a_kvm_that_runs_no_guest_is_not_chosen(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(accelerator, "runs_probe", lambda *_: False)
    chosen = choose_accelerator(runtime)
    assert chosen.name == "tcg"
    assert chosen.reason.endswith("is there but a guest does not run on it")
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path / "none")
    assert accelerator.probe().reason.startswith("there is no")


def test_a_verdict_of_another_boot_is_forgotten(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(runtime, KEPT)
    assert choose_accelerator(runtime) == KEPT
    monkeypatch.setattr(accelerator, "boot_id", lambda: "another")
    monkeypatch.setattr(accelerator, "probe", lambda: Accelerator("tcg", "tried"))
    assert choose_accelerator(runtime).reason == "tried"


@pytest.mark.parametrize("garbage", [b"", b"[1]", b'{"name": "xen"}', b"\xff", b'{"boot": 1}'])
def test_a_note_of_garbage_is_asked_anew(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, garbage: bytes
) -> None:
    runtime.state.mkdir()
    runtime.accelerator.write_bytes(garbage)
    monkeypatch.setattr(accelerator, "probe", lambda: KEPT)
    assert choose_accelerator(runtime) == KEPT
    assert json.loads(runtime.accelerator.read_bytes())["name"] == "kvm"


def test_the_environment_decides_before_anything_else(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(runtime, KEPT)
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    assert choose_accelerator(runtime).name == "tcg"
    monkeypatch.setenv(accelerator.ENVIRONMENT, "xen")
    with pytest.raises(UsageError, match="kvm or tcg"):
        choose_accelerator(runtime)


def test_a_missing_qemu_is_named_with_its_package(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HoldfastError, match="apt-get install qemu-system-x86"):
        choose_accelerator(runtime)
