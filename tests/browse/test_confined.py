"""The reader has nothing worth having, and whatever happens to it costs one request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.browse.confined import SILENCE_S, ReaderGoneError
from appliance.browse.tree import Tree, parse_entry
from tests.browse.disks import FileDisk, open_images
from tests.browse.images import make_image, mounted
from tests.command import ROOT

ATTEMPTS = {
    "open": "open('/etc/passwd')",
    "create": "open('/tmp/confined', 'w')",
    "connect": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "fork": "os.fork()",
    "execute": "os.execv('/bin/true', ['true'])",
    "kill": "os.kill(os.getppid(), 0)",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("confined")
    made = make_image(folder / "disk.raw", 64, "mkfs.ext4", "-q", "-F")
    with mounted(made, folder / "mnt") as root:
        (root / "file").write_bytes(b"content" * 100_000)
        (root / "folder").mkdir()
    return made


def worker_of(tree: Tree) -> int:
    peer = tree.reader._peer
    assert peer is not None
    return peer.pid


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_confined_process_can_do_nothing_else(attempt: str) -> None:
    code = (
        "import mmap, os, socket\nfrom appliance.native import confine_process\nconfine_process()\n"
        f"try:\n    {ATTEMPTS[attempt]}\nexcept PermissionError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused\n", done.stderr


def test_the_reader_is_confined_and_nobody(image: Path) -> None:
    with open_images(image) as tree:
        status = Path(f"/proc/{worker_of(tree)}/status").read_text()
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert found["Seccomp"] == "2"
        assert found["NoNewPrivs"] == "1"
        assert set(found["Uid"].split()) == {"65534"}
        assert int(found["CapEff"], 16) == 0


def test_a_crash_costs_one_request(image: Path) -> None:
    with open_images(image) as tree:
        os.kill(worker_of(tree), signal.SIGSEGV)
        with pytest.raises(ReaderGoneError, match=r"/file: .*crashed .SIGSEGV"):
            tree.find("/file")
        assert tree.find("/file")[1].node is not None


def test_a_hang_ends_at_the_deadline(image: Path) -> None:
    with open_images(image) as tree:
        # Only now: a busy machine may take long to start a reader.
        line = tree.reader._line
        assert line is not None
        line._socket.settimeout(1.0)
        os.kill(worker_of(tree), signal.SIGSTOP)
        began_s = time.monotonic()
        with pytest.raises(ReaderGoneError, match=r"/file: .*said nothing"):
            tree.find("/file")
        assert time.monotonic() - began_s < SILENCE_S
        assert tree.find("/file")[1].node is not None


def test_no_reader_is_left_behind(image: Path) -> None:
    with open_images(image) as tree:
        pid = worker_of(tree)
    assert not Path(f"/proc/{pid}").exists()


def test_damage_of_the_store_is_named_and_the_rest_is_read(image: Path) -> None:
    disk = FileDisk(image)
    with Tree([disk]) as tree:
        _, entry = tree.find("/file")
        places = list(tree.places(entry) or ())
        disk.damaged.append((places[0].at + 4096, 1))
        with pytest.raises(IntegrityError, match="is damaged"):
            tree.copy(entry, lambda _offset, _data: None)
        assert [below.name for below in tree.list(tree.find("/")[1])] == [
            "lost+found",
            "file",
            "folder",
        ]


def test_a_damaged_disk_is_one_line(image: Path) -> None:
    disk = FileDisk(image)
    disk.damaged.append((0, 4096))
    with Tree([disk]) as tree:
        assert tree.root is None
        with pytest.raises(HoldfastError, match="no filesystem"):
            tree.find("/")


NODE = [12, 0o100644, 0, 0, 1, 5, 0, 0, 0, None, None]


@pytest.mark.parametrize(
    "lie",
    [
        None,
        [],
        {"name": "a"},
        {"name": "a", "number": "1"},
        {"name": "a", "number": 1, "node": [1, 2, 3]},
        {"name": "a", "number": 1, "node": [*NODE[:5], -1, *NODE[6:]]},
        {"name": "a", "number": 1, "node": [*NODE[:5], 1 << 70, *NODE[6:]]},
        {"name": "a", "number": 1, "node": [*NODE[:10], [1 << 40, 1]]},
        {"name": "a", "number": 1, "node": NODE, "map": [[0, -1, 0, 0]]},
        {"name": "a", "number": 1, "node": NODE, "map": [[0, 1, 0]]},
        {"name": "a", "number": 1, "node": NODE, "content": "not base64!"},
        {"name": "a", "number": 1, "node": NODE, "attributes": []},
    ],
)
def test_a_lie_of_the_reader_is_refused(lie: object) -> None:
    with pytest.raises(IntegrityError):
        parse_entry(0, lie)


@pytest.mark.parametrize(
    "places",
    [[[0, 5, 7, 0]], [[0, 5, 0, 1 << 60]], [[3, 5, 0, 0]], [[2, 2, 0, 0], [1, 2, 0, 0]]],
    ids=("another disk", "beyond the disk", "beyond the file", "backwards"),
)
def test_places_that_lie_are_refused(image: Path, places: list[list[int]]) -> None:
    with open_images(image) as tree:
        entry = parse_entry(0, {"name": "a", "number": 1, "node": NODE, "map": places})
        with pytest.raises(IntegrityError):
            tree.copy(entry, lambda _offset, _data: None)
