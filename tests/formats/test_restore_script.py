"""`docs/format/restore.py` on a store that was written from the same pages, not by the product."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.formats.tiny_store import (
    DATA,
    DISK_BYTES,
    GAP_LENGTH,
    GAP_OFFSET,
    MACHINE,
    TIME,
    TinyStore,
)

SCRIPT = Path(__file__).resolve().parents[2] / "docs/format/restore.py"
MEMORY_BYTES = 1 << 30  # of address space: what a hostile store may make it use


@pytest.fixture
def store(tmp_path: Path, seed: int) -> TinyStore:
    return TinyStore(tmp_path / "state", seed)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the disk of the store holds."""
    return tmp_path / "image.raw"


def restore(store: TinyStore, *arguments: str | Path, out: Path | None = None) -> tuple[int, str]:
    """Run the script; its exit code and what it says, which is never more than it must be."""
    target = out or store.state / "out.raw"
    argv = ["prlimit", f"--as={MEMORY_BYTES}", sys.executable, SCRIPT, *arguments]
    with target.open("ab") as file:
        done = subprocess.run(argv, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2 or done.stderr.count("\n") == (done.returncode != 0)
    return done.returncode, done.stderr


def restore_point(store: TinyStore, point: str, *more: str) -> tuple[int, str]:
    return restore(store, store.state, store.key_file, point, *more)


def find_blocks(path: Path) -> dict[int, bytes]:
    """The blocks that are not zeros, by offset; holes are not read, so that this is fast."""
    blocks: dict[int, bytes] = {}
    block_bytes, at = 4096, 0
    with path.open("rb") as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // block_bytes * block_bytes
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data up to the end
                    return blocks
                raise
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            for offset in range(at, end, block_bytes):
                if any(block := os.pread(file.fileno(), block_bytes, offset)):
                    blocks[offset] = block
            at = end


def is_equal(image: Path, out: Path) -> bool:
    found = find_blocks(out)
    return (
        len(found) > 50
        and image.stat().st_size == out.stat().st_size
        and found == find_blocks(image)
    )


def flip_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


# ---- what it is for ----


def test_a_disk_is_restored_from_the_pages_alone(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_zeros_are_holes_in_a_file(store: TinyStore, image: Path) -> None:
    restore_point(store, store.write_disk(image))
    assert (store.state / "out.raw").stat().st_blocks * 512 < DISK_BYTES // 100


def test_zeros_are_bytes_in_a_pipe(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    argv: list[str | Path] = [sys.executable, SCRIPT, store.folder, store.key_file, name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as script:
        same = subprocess.run(["cmp", "-", image], stdin=script.stdout, check=False)
    assert (script.returncode, same.returncode) == (0, 0)


def test_output_behind_other_output_leaves_that_alone(store: TinyStore, image: Path) -> None:
    out = store.state / "out.raw"
    out.write_bytes(b"before")
    assert restore_point(store, store.write_disk(image), "--disk", "1")[0] == 0
    assert out.read_bytes() == b"before" + bytes(1000)


def test_a_file_that_is_written_over_keeps_nothing_old(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    out = store.state / "old.raw"
    out.write_bytes(b"x" * 2000)
    argv: list[str | Path] = [
        sys.executable,
        SCRIPT,
        store.state,
        store.key_file,
        name,
        "--disk",
        "1",
    ]
    with out.open("r+b") as file:
        subprocess.run(argv, stdout=file, check=True)
    assert out.read_bytes() == bytes(1000) + b"x" * 1000


def test_the_newest_complete_point_is_latest(store: TinyStore, image: Path) -> None:
    store.write_disk(image)
    assert restore_point(store, f"{MACHINE}@latest") == (0, "")
    assert is_equal(image, store.state / "out.raw")


@pytest.mark.parametrize("how", [[], ["--list"]])
def test_points_are_listed(store: TinyStore, image: Path, how: list[str]) -> None:
    store.write_disk(image)
    assert restore(store, store.state, store.key_file, *how)[0] == 0
    text = (store.state / "out.raw").read_text()
    assert text == f"{MACHINE}@{TIME} complete {DISK_BYTES} 1000\n"


def test_stale_hints_heal(store: TinyStore, image: Path) -> None:
    assert restore_point(store, store.write_disk(image, is_stale=True)) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_a_gap_is_zeros_and_is_named(store: TinyStore, image: Path) -> None:
    code, said = restore_point(store, store.write_disk(image, has_gap=True))
    assert code == 3
    assert f"{GAP_LENGTH} bytes at {GAP_OFFSET}" in said
    assert is_equal(image, store.state / "out.raw")


def test_latest_is_never_an_incomplete_point(store: TinyStore, image: Path) -> None:
    store.write_disk(image, has_gap=True)
    assert restore_point(store, f"{MACHINE}@latest")[0] == 5


# ---- what it refuses ----

FRAME, HEADER, DIRECTORY, MAGIC, END = 1000, 20, -100, -12, -20


@pytest.mark.parametrize("offset", [0, HEADER, 40, DIRECTORY, MAGIC, END])
@pytest.mark.parametrize("number", range(4))
def test_a_flipped_byte_of_a_container_is_damage(
    store: TinyStore, image: Path, number: int, offset: int
) -> None:
    name = store.write_disk(image)
    flip_byte(store.containers[number], offset)
    code, said = restore_point(store, name)
    assert code == 4
    assert store.containers[number].name in said


def test_a_flipped_byte_of_a_frame_is_damage(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    flip_byte(store.containers[0], FRAME)
    code, said = restore_point(store, name)
    assert code == 4
    assert f"{store.containers[0].name}, frame 0" in said


def test_damage_that_the_disk_does_not_need_hurts_nobody(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    flip_byte(store.containers[1], 64)  # the frame that only holds a chunk of no use
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_a_copy_in_another_container_heals_a_damaged_one(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    flip_byte(store.containers[0], FRAME)
    store.write_container(DATA, [store.chunks[:3]])
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_a_chunk_that_is_not_what_its_id_says_is_damage(store: TinyStore, image: Path) -> None:
    """Sealed by who has the key, so that nothing but the id tells."""
    store.lie = True
    code, said = restore_point(store, store.write_disk(image))
    assert (code, "chunk id" in said) == (4, True)


def test_containers_that_changed_places_still_serve(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    first, second = (path.read_bytes() for path in store.containers[:2])
    store.containers[0].write_bytes(second)
    store.containers[1].write_bytes(first)
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")


@pytest.mark.parametrize("size", [0, 1, 31, 63, 64, 95, 96, 1000])
def test_a_truncated_container_is_damage(store: TinyStore, image: Path, size: int) -> None:
    name = store.write_disk(image)
    os.truncate(store.containers[0], size)
    assert restore_point(store, name)[0] == 4


def test_a_missing_container_is_damage(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    store.containers[3].unlink()
    code, said = restore_point(store, name)
    assert (code, store.containers[3].name in said) == (4, True)


@pytest.mark.parametrize("offset", [0, 8, 12, 20, 60, -1])
def test_a_flipped_byte_of_a_point_is_damage(store: TinyStore, image: Path, offset: int) -> None:
    name = store.write_disk(image)
    flip_byte(next(store.folder.glob("points/*/*")), offset)
    assert restore_point(store, name)[0] == 4
    code, said = restore(store, store.state, store.key_file)
    assert (code, "20261121T093000Z" in said) == (4, True)


def test_a_point_under_another_time_is_damage(store: TinyStore, image: Path) -> None:
    store.write_disk(image)
    path = next(store.folder.glob("points/*/*"))
    path.rename(path.with_name("20261122T093000Z.point"))
    assert restore_point(store, f"{MACHINE}@2026-11-22T09:30:00Z")[0] == 4


@pytest.mark.parametrize("name", ["nobody@latest", f"nobody@{TIME}", f"{MACHINE}@{TIME[:-1]}", "@"])
def test_an_unknown_point_is_not_found(store: TinyStore, image: Path, name: str) -> None:
    store.write_disk(image)
    assert restore_point(store, name)[0] == 5


@pytest.mark.parametrize("number", ["2", "-1", "99999999999999999999"])
def test_an_unknown_disk_is_not_found(store: TinyStore, image: Path, number: str) -> None:
    assert restore_point(store, store.write_disk(image), f"--disk={number}")[0] == 5


def test_a_folder_without_a_store_is_not_found(store: TinyStore, tmp_path: Path) -> None:
    assert restore(store, tmp_path, store.key_file)[0] == 5


def test_a_key_of_another_store_is_a_wrong_key(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    other = store.write_key_file("other.txt", bytes(32))
    assert restore(store, store.state, other, name)[0] == 8


@pytest.mark.parametrize("text", ["", "base32:", "base32: a", "base32: " + "a" * 56, "\0\xff"])
def test_a_mistyped_key_is_a_wrong_key(store: TinyStore, image: Path, text: str) -> None:
    name = store.write_disk(image)
    store.key_file.write_bytes(text.encode("latin-1"))
    assert restore_point(store, name)[0] == 8


def test_a_key_file_is_read_however_it_was_copied(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    lines = store.key_file.read_text().splitlines()
    loud = [
        line if not line.startswith("base32:") else "base32:" + line[7:].upper() for line in lines
    ]
    store.key_file.write_bytes("\r\n".join(loud).replace("-", " - ").encode())
    assert restore_point(store, name) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["a"], ["a", "b", "no time"], ["a", "b", "c@d", "e"]])
def test_wrong_usage_is_told(store: TinyStore, arguments: list[str]) -> None:
    assert restore(store, *arguments)[0] == 2


def test_a_store_of_another_format_is_refused(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    path = store.folder / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    code, said = restore_point(store, name)
    assert (code, "format is not 2" in said) == (1, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "1"}', "[" * 100000, "\x00"])
def test_garbage_for_a_descriptor_is_damage(store: TinyStore, image: Path, text: str) -> None:
    name = store.write_disk(image)
    (store.folder / "store.json").write_text(text)
    assert restore_point(store, name)[0] == 4


def test_an_output_that_takes_nothing_is_told(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    code, said = restore(store, store.state, store.key_file, name, out=Path("/dev/full"))
    assert (code, "No space left" in said) == (1, True)


@pytest.mark.parametrize("size", [-1, 0, DISK_BYTES - 1, DISK_BYTES + 1, 1 << 60, 1 << 200])
def test_a_size_that_the_map_does_not_have_is_damage(
    store: TinyStore, image: Path, size: int
) -> None:
    store.stated_bytes = size
    assert restore_point(store, store.write_disk(image))[0] == 4


def test_garbage_anywhere_is_an_answer_in_one_line(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    files = sorted(path for path in store.folder.rglob("*") if path.is_file())
    for path in files:
        good = path.read_bytes()
        for length in (0, 100, 5000):
            path.write_bytes(store.random.randbytes(length))
            code, said = restore_point(store, name)
            box = path.name == "box.json"
            assert (code == 0) if box else (code in (4, 8)), f"{path.name}: {code} {said}"
        path.write_bytes(good)
    (store.state / "out.raw").unlink()
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")
