"""A VM's disks on their way: protected, brought home, moved away, while the guest writes.

Everything through the real command, a real store and a real QEMU; guests of one sector.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.recovery import accelerator
from tests.command import Holdfast
from tests.conftest import SEED
from tests.recovery.guests import COUNTER_OFFSET, COUNTING, OBEDIENT, WRITING, find_lost_writes

MIB = 1 << 20
SIZE = 24 * MIB
DEADLINE_S = 180


@pytest.fixture(autouse=True)
def on_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")


class Box:
    """A state with a point for each kind of guest, made once, and a VM for each test."""

    def __init__(self, folder: Path) -> None:
        self.holdfast = Holdfast(folder / "state")
        self.folder = folder
        self.seed = SEED
        self._points: dict[bytes, tuple[str, bytes]] = {}
        self._point = ""
        self.holdfast("init", "--recovery-out", folder / "recovery.txt", expect=0)

    def protect(self, guest: bytes) -> bytes:
        """A point of a disk that boots `guest` and has 12 MiB of data and 11 MiB of nothing."""
        if guest not in self._points:
            disk = (guest + random.Random(self.seed).randbytes(12 * MIB)).ljust(SIZE, b"\0")
            image = self.folder / "disk.raw"
            image.write_bytes(disk)
            machine = f"web{len(self._points)}"
            made = self.holdfast("--json", "backup", image, "--machine", machine, expect=0)
            image.unlink()
            self._points[guest] = (made.json()["name"], disk)
        self._point, disk = self._points[guest]
        return disk

    def boot(self, *more: str) -> dict[str, Any]:
        words = ("boot", self._point, "--name", "vm", "--memory", "32", *more)
        return self.holdfast("--json", *words, expect=0).json()

    def state(self) -> dict[str, Any]:
        (found,) = self.holdfast("--json", "vms", expect=0).json()["vms"]
        assert isinstance(found, dict)
        return found

    def restore(self, point: str) -> bytes:
        target = self.folder / "restored.raw"
        self.holdfast("restore", point, target, "--force", expect=0)
        return target.read_bytes()

    def dots(self) -> int:
        """How many writes WRITING has been told are done."""
        return (self.holdfast.state / "vms/vm/serial.log").read_bytes().count(b".")

    def await_dots(self, more: int = 50) -> int:
        wanted = self.dots() + more
        wait_for(lambda: self.dots() >= wanted)
        return self.dots()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    made = Box(tmp_path_factory.mktemp("box"))
    yield made
    made.holdfast.close()


@pytest.fixture
def box(whole_box: Box, tmp_path: Path) -> Iterator[Box]:
    whole_box.folder = tmp_path
    print(f"HOLDFAST_TEST_SEED={SEED}")
    yield whole_box
    whole_box.holdfast("stop", "vm", "--discard")


# ---- backup vm:NAME -----------------------------------------------------------------------------


def test_a_running_vm_is_protected_at_once(box: Box) -> None:
    disk = box.protect(COUNTING)
    box.boot()
    made = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    assert made["machine"].startswith("web")
    assert made["new_bytes"] < MIB
    assert made["read_bytes"] <= 4 * MIB, "what the VM did not write was not read"
    now = box.restore(made["name"])
    assert now[COUNTER_OFFSET : COUNTER_OFFSET + 2] == b"\1\0"
    assert now[1024:] == disk[1024:]
    assert box.state()["state"] == "running"
    assert not list((box.holdfast.state / "vms/vm").glob("moment*"))


def test_a_stopped_vm_is_protected_too_and_goes_on_from_its_last_point(box: Box) -> None:
    box.protect(COUNTING)
    box.boot()
    first = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    box.holdfast("stop", "vm", "--grace", "0", expect=0)
    time.sleep(1)  # points are a second apart
    second = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    assert second["base"] == first["name"]
    assert second["new_bytes"] == 0
    box.holdfast("vms", "resume", "vm", expect=0)
    serial = box.holdfast.state / "vms/vm/serial.log"
    wait_for(lambda: b"login:" in serial.read_bytes())
    box.holdfast("stop", "vm", "--grace", "0", expect=0)
    third = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    assert third["base"] == second["name"]
    assert box.restore(third["name"])[COUNTER_OFFSET] == 2


def test_a_point_of_a_writing_vm_is_one_moment(box: Box) -> None:
    box.protect(WRITING)
    box.boot()
    before = box.await_dots(1500)
    made = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    after = box.await_dots()
    disk = box.restore(made["name"])
    assert not find_lost_writes(disk, before)
    numbers = [
        int.from_bytes(disk[at : at + 4], "little") for at in range(64 * 512, 1088 * 512, 512)
    ]
    assert before <= max(numbers) <= after
    assert max(numbers) - min(numbers) < 1024, "writes of one moment follow each other"


def test_a_vm_that_is_not_there_cannot_be_protected(box: Box) -> None:
    assert "holdfast vms" in box.holdfast("backup", "vm:nobody", expect=5).err
    assert "name nothing else" in box.holdfast("backup", "vm:a", "b", expect=2).err
    assert "--machine" in box.holdfast("backup", box.folder / "x", expect=2).err


# ---- a box without space ----


@pytest.fixture
def small_disk(box: Box) -> Iterator[Path]:
    """A filesystem of 8 MiB on which the overlays lie; gives its folder."""
    folder = box.holdfast.state / "vms"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "overlays", folder], check=True)
    yield folder
    box.holdfast("stop", "vm", "--discard")
    subprocess.run(["umount", folder], check=True)


def test_a_vm_whose_box_is_full_pauses_warns_and_goes_on(box: Box, small_disk: Path) -> None:
    box.protect(WRITING)
    # Before it boots: a quick guest has all the room that it ever needs before anybody looks.
    # An empty overlay takes 256 KiB, and what the guest writes 576 more.
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (640 << 10)))
    box.boot("--wait", "none")
    wait_for(lambda: box.state()["state"] == "io-error")
    listed = box.holdfast("vms", expect=0)
    assert "free space" in listed.err, listed
    assert "free space" in box.holdfast("vms", "continue", "vm", expect=7).err
    found = box.holdfast("--json", "health").json()["findings"]
    assert ("vm vm", "vm.full") in {(one["subject"], one["rule"]) for one in found}
    filler.unlink()
    box.holdfast("vms", "continue", "vm", expect=0)
    before = box.await_dots(1500)
    made = box.holdfast("--json", "backup", "vm:vm", expect=0).json()
    assert not find_lost_writes(box.restore(made["name"]), before)
    assert box.state()["state"] == "running"


# ---- failback -----------------------------------------------------------------------------------


def test_failback_writes_what_differs_and_no_more(box: Box) -> None:
    disk = box.protect(COUNTING)
    box.boot()
    old = bytearray(disk)
    changed = random.Random(box.seed).sample(range(SIZE // 4096), 60)  # 1 % of the disk
    for block in changed:
        old[block * 4096 : (block + 1) * 4096] = bytes(random.Random(block).randbytes(4096))
    target = box.folder / "home.raw"
    target.write_bytes(old)
    assert "--force" in box.holdfast("failback", "vm", target, expect=2).err
    done = box.holdfast(
        "--json", "failback", "vm", target, "--force", "--grace", "0", expect=0
    ).json()
    assert done["written_bytes"] <= 1.1 * 4096 * len({*changed, 0})
    home = target.read_bytes()
    assert home[COUNTER_OFFSET : COUNTER_OFFSET + 2] == b"\1\0"
    assert home[1024:] == disk[1024:]
    assert box.state()["state"] == "stopped"
    again = box.holdfast("--json", "failback", "vm", target, "--force", expect=0).json()
    assert again["written_bytes"] == 0


def test_failback_of_a_writing_guest_loses_no_write(box: Box) -> None:
    box.protect(WRITING)
    box.boot()
    box.await_dots()
    target = box.folder / "home.raw"
    done = box.holdfast("--json", "failback", "vm", target, "--grace", "0", expect=0).json()
    assert done["pause_s"] is not None
    assert not find_lost_writes(target.read_bytes(), box.dots())


def test_a_guest_that_can_shuts_down_before_it_goes_home(box: Box) -> None:
    box.protect(OBEDIENT)
    box.boot()
    target = box.folder / "home.raw"
    assert box.holdfast("--json", "failback", "vm", target, expect=0).json()["shut_down"]


def test_an_interrupted_failback_leaves_the_vm_running_and_is_repeated(box: Box) -> None:
    box.protect(WRITING)
    box.boot()
    target = box.folder / "home.raw"
    process = box.holdfast.start("failback", "vm", target, "--grace", "0")
    wait_for(partial(has_begun, process, target))
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Whoever looks next lets a guest go on that stood still; it may also have been at home already.
    if box.state()["state"] == "running":
        box.await_dots()
    box.holdfast("failback", "vm", target, "--force", "--grace", "0", expect=0)
    assert not find_lost_writes(target.read_bytes(), box.dots())


def test_failback_goes_over_nbd_too(box: Box) -> None:
    disk = box.protect(COUNTING)
    box.boot()
    target, path = box.folder / "home.raw", box.folder / "home.sock"
    target.write_bytes(bytes(SIZE))
    argv = ["qemu-nbd", "--persistent", "--format=raw", f"--socket={path}", str(target)]
    with subprocess.Popen(argv) as server:
        wait_for(path.exists)
        address = f"nbd+unix:///?socket={path}"
        done = box.holdfast(
            "--json", "failback", "vm", address, "--force", "--grace", "0", expect=0
        ).json()
        server.terminate()
    assert target.read_bytes()[1024:] == disk[1024:]
    assert done["written_bytes"] < 14 * MIB


@pytest.fixture
def block_device(tmp_path: Path) -> Iterator[str]:
    """A block device as large as the disk, with other bytes on it."""
    file = tmp_path / "device.raw"
    file.write_bytes(random.Random(SEED + 1).randbytes(SIZE))
    made = subprocess.run(
        ["losetup", "--find", "--show", file], check=True, capture_output=True, text=True
    )
    device = made.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_a_vm_goes_home_to_a_block_device(box: Box, block_device: str) -> None:
    box.protect(WRITING)
    box.boot()
    box.await_dots()
    assert "--force" in box.holdfast("failback", "vm", block_device, expect=2).err
    words = ("failback", "vm", block_device, "--force", "--grace", "0")
    done = box.holdfast("--json", *words, expect=0).json()
    assert done["written_bytes"] >= 12 * MIB
    content = Path(block_device).read_bytes()
    assert len(content) == SIZE
    assert not find_lost_writes(content, box.dots())


def test_a_vm_moves_to_a_block_device_while_it_writes(box: Box, block_device: str) -> None:
    disk = box.protect(WRITING)
    box.boot()
    box.await_dots()
    box.holdfast("migrate", "vm", block_device, "--force", expect=0)
    box.await_dots()
    box.holdfast("stop", "vm", "--grace", "0", expect=0)
    content = Path(block_device).read_bytes()
    assert not find_lost_writes(content, box.dots())
    assert content[2 * MIB :] == disk[2 * MIB :]


def test_targets_that_do_not_fit_are_refused(box: Box) -> None:
    box.protect(COUNTING)
    box.boot("--wait", "none")
    assert "1 disk, not 2" in box.holdfast("failback", "vm", "a", "b", expect=2).err
    assert "neither" in box.holdfast("failback", "vm", "/dev/null", expect=2).err
    assert "1 disk, not 2" in box.holdfast("migrate", "vm", "a", "b", expect=2).err
    assert box.state()["state"] == "running"


# ---- migrate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_vm_moves_while_it_writes_and_loses_nothing(box: Box, image_format: str) -> None:
    disk = box.protect(WRITING)
    box.boot()
    box.await_dots()
    target = box.folder / "moved.img"
    done = box.holdfast("--json", "migrate", "vm", target, "--format", image_format, expect=0)
    assert done.json()["copied_bytes"] >= 12 * MIB
    box.await_dots()  # it goes on, and from there
    vm = box.state()
    assert (vm["state"], vm["overlay_bytes"]) == ("running", 0)
    assert vm["lives_at"] == [str(target)]
    assert f"lives at {target}" in box.holdfast("vms", expect=0).out
    assert not list((box.holdfast.state / "vms/vm").glob("overlay*"))
    box.holdfast("forget", vm["point"], expect=0)  # it is needed no more
    box.holdfast("stop", "vm", "--grace", "0", expect=0)
    dots = box.dots()
    raw = box.folder / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", target, raw], check=True)
    assert not find_lost_writes(raw.read_bytes(), dots)
    assert raw.read_bytes()[2 * MIB :] == disk[2 * MIB :]
    assert box.holdfast("unforget", vm["point"], expect=0)
    assert box.boot("--wait", "none")["kept_overlay"]  # and it boots from there again


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_migration_leaves_a_vm_that_runs(box: Box, end: signal.Signals) -> None:
    box.protect(WRITING)
    box.boot()
    process = box.holdfast.start("migrate", "vm", box.folder / "moved.raw")
    wait_for(partial(has_begun, process, box.folder / "moved.raw"))
    process.send_signal(end)
    if process.wait() == 0:
        return  # it was faster
    # A killed one may have been over, or its guest stood still: whoever looks next ends that.
    assert box.state()["state"] == "running"
    box.await_dots()
    if end == signal.SIGINT:
        assert box.state()["overlay_bytes"] > 0
    done = box.holdfast("migrate", "vm", box.folder / "moved.raw", "--force", expect=0)
    assert "runs from" in done.out or "already" in done.out
    box.await_dots()
    assert box.state()["overlay_bytes"] == 0
    box.holdfast("migrate", "vm", box.folder / "moved.raw", expect=0)
    assert "elsewhere" in box.holdfast("migrate", "vm", box.folder / "x.raw", expect=2).err


def has_begun(process: subprocess.Popen[bytes], target: Path) -> bool:
    return target.exists() or process.poll() is not None


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_hundred_migrations_killed_at_any_moment_lose_nothing(box: Box) -> None:
    disk = box.protect(WRITING)
    rng = random.Random(box.seed)
    target = box.folder / "moved.raw"
    for _ in range(100):
        if not (box.holdfast.state / "vms/vm/vm.json").exists():
            box.boot()
        process = box.holdfast.start("migrate", "vm", target, "--force")
        wait_for(partial(has_begun, process, target))
        time.sleep(rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        is_there = box.state()["overlay_bytes"] == 0
        before = box.await_dots(5)
        if is_there:
            content = target.read_bytes()
            assert not find_lost_writes(content, before)
            assert content[2 * MIB :] == disk[2 * MIB :]
            box.holdfast("migrate", "vm", target, expect=0)
            box.holdfast("stop", "vm", "--discard", expect=0)
        target.unlink()


def test_a_vm_moves_to_where_nbd_serves(box: Box) -> None:
    box.protect(WRITING)
    box.boot()
    target, path = box.folder / "far.raw", box.folder / "far.sock"
    target.write_bytes(bytes(SIZE))
    argv = ["qemu-nbd", "--persistent", "--format=raw", f"--socket={path}", str(target)]
    with subprocess.Popen(argv) as server:
        wait_for(path.exists)
        address = f"nbd+unix:///?socket={path}"
        box.holdfast("migrate", "vm", address, "--force", expect=0)
        box.await_dots()
        assert box.state()["lives_at"] == [address]
        assert "already" in box.holdfast("migrate", "vm", address, expect=0).out
        box.holdfast("stop", "vm", "--grace", "0", expect=0)
        server.terminate()
    assert not find_lost_writes(target.read_bytes(), box.dots())
