"""What can be backed up and restored to, and what is refused, through the command itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.command import Holdfast, HoldfastHere
from tests.e2e.faulty_source import serve_faulty, wait_for
from tests.images import MIB, edited, mixed_image, write_image


@pytest.fixture
def made(state: Path, tmp_path: Path) -> Iterator[Holdfast]:
    """The command on a new store; what is started is a process."""
    holdfast = HoldfastHere(state)
    holdfast("init", "--recovery-out", tmp_path / "recovery.txt", expect=0)
    yield holdfast
    holdfast.close()


def back_up(holdfast: Holdfast, *words: str | Path, expect: int = 0) -> dict[str, object]:
    return holdfast("--json", "backup", *words, expect=expect).json()


def content(holdfast: Holdfast, point: object, *words: str, expect: int = 0) -> bytes:
    return holdfast("restore", str(point), "-", *words, expect=expect).stdout


@contextmanager
def loop_device(path: Path, *options: str) -> Iterator[Path]:
    argv = ["losetup", "--find", "--show", *options, str(path)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


SHAPES = {
    "empty": bytearray(),
    "one byte": bytearray(b"x"),
    "odd": mixed_image(1, 5)[: 4 * MIB + 777],
    "one extent": mixed_image(2, 4),
    "zeros": bytearray(9 * MIB),
    "random": bytearray(os.urandom(6 * MIB)),
}


def test_images_of_every_shape(made: Holdfast, tmp_path: Path) -> None:
    for name, image in SHAPES.items():
        path = write_image(tmp_path / "disk.raw", image)
        point = back_up(made, path, "--machine", name)
        assert point["disks"] == [{"size_bytes": len(image)}]
        assert content(made, point["name"]) == image
        target = tmp_path / "target.raw"
        made("restore", f"{name}@latest", target, expect=0)
        assert target.read_bytes() == image
        target.unlink()
        before = sorted((made.state / "store/containers").glob("*/*"))
        again = back_up(made, path, "--machine", name)
        assert again["new_bytes"] == again["stored_bytes"] == 0
        assert sorted((made.state / "store/containers").glob("*/*")) == before
    assert back_up(made, path, "--machine", "other")["new_bytes"] == 0


def test_a_disk_grows_and_shrinks(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = mixed_image(seed, 12)
    for size_bytes in (5 * MIB + 3, 12 * MIB, 9 * MIB + 1, 700):
        path = write_image(tmp_path / "disk.raw", image[:size_bytes])
        point = back_up(made, path, "--machine", "m")
        assert content(made, point["name"]) == image[:size_bytes]


def test_a_hundred_gibibytes_of_holes_cost_nothing(made: Holdfast, tmp_path: Path) -> None:
    path = tmp_path / "sparse.raw"
    with path.open("wb") as file:
        file.truncate(100 << 30)
        file.seek(50_000_000_001)
        file.write(b"in the middle of nowhere")
    point = back_up(made, path, "--machine", "sparse")
    assert isinstance(point["read_bytes"], int)
    assert point["read_bytes"] <= 4 * MIB
    assert isinstance(point["stored_bytes"], int)
    assert point["stored_bytes"] < 10_000
    target = tmp_path / "target.raw"
    made("restore", "sparse@latest", target, expect=0)
    assert target.stat().st_size == 100 << 30
    assert target.stat().st_blocks * 512 <= MIB
    with target.open("rb") as file:
        file.seek(50_000_000_001)
        assert file.read(24) == b"in the middle of nowhere"


def test_several_disks_make_one_point(made: Holdfast, tmp_path: Path, seed: int) -> None:
    images = [mixed_image(seed + number, 3 + number) for number in range(3)]
    paths = [write_image(tmp_path / f"{i}.raw", image) for i, image in enumerate(images)]
    point = back_up(made, *paths, "--machine", "many disks")
    for number, image in enumerate(images):
        assert content(made, point["name"], "--disk", str(number)) == image
    assert made("restore", str(point["name"]), "-", "--disk", "3").code == 5


def test_a_machine_is_backed_up_by_its_name_alone_once_its_sources_are_known(
    made: Holdfast, tmp_path: Path, seed: int
) -> None:
    disk = tmp_path / "disk.raw"
    data = mixed_image(seed, 2)
    write_image(disk, data)
    unknown = made("backup", "--machine", "m", expect=2)
    assert b"m has no sources" in unknown.stderr
    made("machines", "add", "m", disk, expect=0)
    point = back_up(made, "--machine", "m")
    assert content(made, point["name"]) == data
    assert b"--machine NAME" in made("backup", expect=2).stderr


def test_a_changed_list_reads_only_what_it_names(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = mixed_image(seed, 40)
    path = write_image(tmp_path / "disk.raw", image)
    base = back_up(made, path, "--machine", "m")
    image[20 * MIB + 5 : 20 * MIB + 10] = b"fresh"
    image += b"grown tail"
    write_image(path, image)
    changed = tmp_path / "changed"
    changed.write_text(f"# offset length\n{20 * MIB + 5} 5\n")
    point = back_up(made, path, "--machine", "m", "--changed", changed, "--base", str(base["name"]))
    assert content(made, point["name"]) == image
    assert isinstance(point["read_bytes"], int)
    assert point["read_bytes"] <= 8 * MIB
    changed.write_text("12 nonsense\n")
    refused = made("backup", path, "--machine", "m", "--changed", changed, "--base", "m@latest")
    assert refused.code == 2
    assert "line 1" in refused.err
    assert made("backup", path, "--machine", "m", "--changed", changed).code == 2


def test_unreadable_sectors_are_named_and_read_again(
    made: Holdfast, tmp_path: Path, seed: int
) -> None:
    image = mixed_image(seed, 12)
    path = write_image(tmp_path / "disk.raw", image)
    bad = 5 * MIB + 3 * 512
    with serve_faulty(tmp_path / "faulty", path, f"{bad}:512", f"{9 * MIB}:1024") as source:
        done = made("--json", "backup", source, "--machine", "m", expect=3)
    assert f"{bad}+512" in done.err
    assert f"{9 * MIB}+1024" in done.err
    point = done.json()
    assert point["state"] == "incomplete"
    expected = bytearray(image)
    expected[bad : bad + 512] = bytes(512)
    expected[9 * MIB : 9 * MIB + 1024] = bytes(1024)
    assert content(made, point["name"], expect=3) == expected
    assert made("restore", "m@latest", "-").code == 5
    empty = tmp_path / "nothing changed"
    empty.write_text("")
    again = back_up(made, path, "--machine", "m", "--changed", empty, "--base", str(point["name"]))
    assert again["state"] == "complete"
    assert content(made, again["name"]) == image


def test_a_device_mounted_read_write_is_refused(made: Holdfast, tmp_path: Path) -> None:
    path, directory = tmp_path / "fs.raw", tmp_path / "mnt"
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    directory.mkdir()
    with loop_device(path) as device:
        for option, expect in (("rw", 6), ("ro", 0)):
            subprocess.run(["mount", "-o", option, device, directory], check=True)
            try:
                assert made("backup", device, "--machine", "m").code == expect
                if option == "rw":
                    point = back_up(made, device, "--machine", "m", "--allow-inconsistent")
                    assert point["inconsistent"] is True
                    assert made("restore", "m@latest", device, "--force").code == 6
            finally:
                subprocess.run(["umount", directory], check=True)


def test_restore_over_a_device_full_of_old_data(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = mixed_image(seed, 12)
    image[2 * MIB : 8 * MIB] = bytes(6 * MIB)
    back_up(made, write_image(tmp_path / "disk.raw", image), "--machine", "m")
    old = write_image(tmp_path / "old.raw", bytearray(os.urandom(13 * MIB)))
    with loop_device(old) as device:
        assert made("restore", "m@latest", device).code == 2
        made("restore", "m@latest", device, "--force", expect=0)
    restored = old.read_bytes()
    assert restored[: 12 * MIB] == image
    small = write_image(tmp_path / "small.raw", bytearray(os.urandom(11 * MIB)))
    with loop_device(small) as device:
        refused = made("restore", "m@latest", device, "--force")
        assert refused.code == 2
        assert "larger" in refused.err


def test_targets(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = mixed_image(seed, 6)
    back_up(made, write_image(tmp_path / "disk.raw", image), "--machine", "m")
    target = write_image(tmp_path / "target.raw", bytearray(os.urandom(7 * MIB)))
    assert made("restore", "m@latest", target).code == 2
    made("restore", "m@latest", target, "--force", expect=0)
    assert target.read_bytes() == image
    target.write_bytes(b"")
    made("restore", "m@latest", target, expect=0)
    assert target.read_bytes() == image
    made("restore", "m@latest", "/dev/null", expect=0)
    assert made("restore", "m@latest", tmp_path).code == 2
    assert made("restore", "m@latest", made.state / "store" / "x").code == 2
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = made.start("restore", "m@latest", fifo)
    assert fifo.read_bytes() == image
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_a_closed_pipe_is_no_traceback(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = write_image(tmp_path / "disk.raw", mixed_image(seed, 24))
    back_up(made, image, "--machine", "m")
    process = made.start("restore", "m@latest", "-")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.wait(120)
    process.stderr.close()
    assert b"Traceback" not in said
    process.stdout = process.stderr = None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_signals_cancel_cleanly(
    made: Holdfast, tmp_path: Path, seed: int, number: signal.Signals, code: int
) -> None:
    image = write_image(tmp_path / "disk.raw", mixed_image(seed, 64))
    gate = tmp_path / "gate"
    with serve_faulty(tmp_path / "slow", image, f"{16 * MIB}@{gate}") as source:
        process = made.start("backup", source, "--machine", "m")
        wait_for((tmp_path / "gate.reached").exists, "it does not read")
        process.send_signal(number)
        gate.touch()
        _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert made("--json", "points", expect=0).json() == {"points": []}
    point = back_up(made, image, "--machine", "m")
    assert content(made, point["name"]) == image.read_bytes()


def test_machine_names(made: Holdfast, tmp_path: Path) -> None:
    image = write_image(tmp_path / "disk.raw", bytearray(b"name"))
    hostile = ["", " x", "x ", ".x", "-x", "../x", "a/b", "a@b", "x" * 65, "a\nb", "a\x1b[31m"]
    hostile += ["a\u202eb", "a\u200bb", "\u0301a", "a:b", "a*b", "$(x)", "a'b", "\x7f", "..", "."]
    for name in hostile:
        refused = made("backup", image, "--machine", name)
        assert refused.code == 2, name
        assert len(refused.err.strip().splitlines()) >= 1
        assert "Traceback" not in refused.err
    for name in ("a", "büro 1", "web-1.example_x", "机器", "x" * 64):
        point = back_up(made, image, "--machine", name)
        assert content(made, point["name"]) == b"name"
    composed, decomposed = "b\u00fcro 1", "bu\u0308ro 1"
    listed = made("--json", "points", "--machine", decomposed, expect=0).json()["points"]
    assert [point["machine"] for point in listed] == [composed]


def test_a_passphrase_store_is_locked_until_it_is_unlocked(
    holdfast: Holdfast, tmp_path: Path
) -> None:
    secret, wrong = tmp_path / "passphrase", tmp_path / "wrong"
    secret.write_text("correct horse battery\n")
    wrong.write_text("incorrect horse\n")
    recovery = tmp_path / "recovery.txt"
    holdfast("--passphrase-file", secret, "init", "--recovery-out", recovery, expect=0)
    locked = holdfast("points")
    assert locked.code == 8
    assert "unlock" in locked.err
    assert holdfast("points", "--passphrase-file", wrong).code == 8
    holdfast("points", "--passphrase-file", secret, expect=0)
    try:
        assert holdfast("unlock", "--passphrase-file", wrong).code == 8
        holdfast("unlock", "--passphrase-file", secret, expect=0)
        holdfast("points", expect=0)
        holdfast("lock", expect=0)
        assert holdfast("points").code == 8
        holdfast("unlock", "--recovery-key", recovery, expect=0)
        holdfast("points", expect=0)
    finally:
        holdfast("lock", expect=0)


def test_commands_answer_without_a_store(holdfast: Holdfast) -> None:
    assert holdfast("--json", "points", expect=0).json() == {"points": []}
    assert "init" in holdfast("status", expect=0).out
    assert holdfast("backup", "/dev/null", "--machine", "m").code == 5
    assert holdfast("verify").code == 5
    assert holdfast("nonsense").code == 2


def test_an_edited_disk_stores_its_changes_only(made: Holdfast, tmp_path: Path, seed: int) -> None:
    image = mixed_image(seed, 32)
    back_up(made, write_image(tmp_path / "disk.raw", image), "--machine", "m")
    second = edited(seed, image, edits=3)
    point = back_up(made, write_image(tmp_path / "disk.raw", second), "--machine", "m")
    assert isinstance(point["new_bytes"], int)
    assert point["new_bytes"] < 8 * MIB
    assert content(made, point["name"]) == second
