"""One box for all tests of the API, with a machine, two points and a file to get back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.box import Box, Client

FILE_TEXT = b"hello from the past\n"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.txt"


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("box") / "state")
    box.start()
    yield box
    box.stop()


@pytest.fixture(scope="session")
def admin(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The administrator of a box that protects a machine."""
    client = box.set_up()
    image = make_image(tmp_path_factory.mktemp("disk"))
    client.run("backup", {"sources": [str(image)], "machine": "web1"})
    with image.open("r+b") as disk:
        disk.seek(12 << 20)
        disk.write(b"changed")
    client.run("backup", {"sources": [str(image)], "machine": "web1"})
    client.wait_for("/machines", lambda page: page["items"] and page["items"][0]["points"] == 2)
    return client


def make_image(folder: Path) -> Path:
    """A disk of 16 MiB with ext4, a file, and a name that nobody should believe."""
    tree = folder / "tree"
    (tree / "docs").mkdir(parents=True)
    (tree / "docs" / "hello.txt").write_bytes(FILE_TEXT)
    (tree / "docs" / HOSTILE.replace("/", "_")).write_bytes(b"x")
    image = folder / "disk.raw"
    argv = ["mkfs.ext4", "-q", "-F", "-d", str(tree), str(image), "16M"]
    subprocess.run(argv, check=True, capture_output=True)
    return image


@pytest.fixture(scope="session")
def tokens(admin: Client) -> dict[str, Client]:
    """A client of each role, made by tokens."""
    made = {}
    for role in ("viewer", "operator", "admin", "console", "agent"):
        machine = "web1" if role == "agent" else None
        answer = admin.post("/tokens", {"name": role, "role": role, "machine": machine}, expect=201)
        made[role] = Client(admin.port, admin.authority, token=answer["secret"])
    return made
