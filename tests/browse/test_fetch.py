"""What is fetched from a point is what was on the disk: by the command, from a real store."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.browse.images import fill, make_image, mounted, run
from tests.browse.kernel_view import Description, describe_mount
from tests.command import Holdfast

MKFS = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q")}


class Sample(NamedTuple):
    """A state with a point of a disk full of everything, the disk, and what the kernel saw."""

    state: Path
    image: Path
    seen: dict[str, Description]


@pytest.fixture(scope="module", params=MKFS)
def sample(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sample]:
    folder = tmp_path_factory.mktemp("fetch")
    image = make_image(folder / "disk.raw", 320, *MKFS[request.param])
    with mounted(image, folder / "mnt") as root:
        fill(root, many=300)
    with mounted(image, folder / "mnt", "ro") as root:
        seen = dict(describe_mount(root))
    holdfast = Holdfast(folder / "state")
    holdfast("init", expect=0)
    holdfast("backup", image, "--machine", "a", expect=0)
    yield Sample(folder / "state", image, seen)
    holdfast.close()


@pytest.fixture
def expected(sample: Sample) -> dict[str, Description]:
    """What the kernel saw on the disk of `a@latest`."""
    return sample.seen


@pytest.fixture
def holdfast(sample: Sample) -> Holdfast:
    """The command on the state that has the point."""
    return Holdfast(sample.state)


def compared(seen: dict[str, Description]) -> dict[str, Description]:
    """Without what a copy cannot have: the time of the change itself, the target's own times."""
    return {
        path: {key: value for key, value in description.items() if key != "changed"}
        for path, description in seen.items()
        if path not in ("/", "/lost+found")
    }


def test_a_privileged_copy_has_everything(
    expected: dict[str, Description], holdfast: Holdfast, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    result = holdfast("get", "a@latest", "/", target, "--privileged", "--json", expect=0)
    assert result.json()["gap_count"] == 0
    found = compared(dict(describe_mount(target)))
    assert found.keys() == compared(expected).keys()
    for path, description in compared(expected).items():
        assert found[path] == description, path
    assert (target / "sparse").stat().st_blocks * 512 < 1 << 20, "the hole takes space"
    assert (target / "hard").stat().st_ino == (target / "plain.txt").stat().st_ino


def test_without_privilege_devices_and_rights_stay_behind_and_are_named(
    expected: dict[str, Description], holdfast: Holdfast, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    result = holdfast("get", "a@latest", "/", target, "--json", expect=3)
    gaps = {gap["path"]: gap["reason"] for gap in result.json()["gaps"]}
    assert set(gaps) >= {"/disk", "/terminal", "/plain.txt"}
    for path in target.rglob("*"):
        mode = path.lstat().st_mode
        assert not stat.S_ISBLK(mode)
        assert not stat.S_ISCHR(mode)
        if not path.is_symlink():
            assert not mode & (stat.S_ISUID | stat.S_ISGID), path
            assert not any(
                name.startswith(("trusted.", "security.")) for name in os.listxattr(path)
            )
    assert (target / "plain.txt").read_bytes() == b"hello\n" * 1000


def test_nothing_is_replaced_unless_it_is_said(
    expected: dict[str, Description], holdfast: Holdfast, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "blob").write_text("mine")
    result = holdfast("get", "a@latest", "/blob", "/empty", target, expect=2)
    assert "--force" in result.err
    assert [path.name for path in target.iterdir()] == ["blob"]
    holdfast("get", "a@latest", "/blob", "/empty", target, "--force", expect=0)
    assert (target / "blob").stat().st_size == expected["/blob"]["size"]


def test_a_link_in_the_target_is_never_followed(
    expected: dict[str, Description], holdfast: Holdfast, tmp_path: Path
) -> None:
    target, outside = tmp_path / "out", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "etc").symlink_to(outside)
    (outside / "victim").write_text("safe")
    (target / "blob").symlink_to(outside / "victim")
    holdfast("get", "a@latest", "/etc", "/blob", target, "--force", expect=3)
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "safe"
    assert not (target / "blob").is_symlink()
    shutil.rmtree(outside)


def test_a_file_is_written_to_standard_output(
    expected: dict[str, Description], holdfast: Holdfast
) -> None:
    assert holdfast("cat", "a@latest", "/short", expect=0).stdout == b"hello\n" * 1000
    assert "directory" in holdfast("cat", "a@latest", "/etc", expect=2).err
    assert holdfast("cat", "a@latest", "/none", expect=5).stdout == b""


def test_a_listing_shows_hostile_names_as_text(
    expected: dict[str, Description], holdfast: Holdfast
) -> None:
    result = holdfast("ls", "a@latest", expect=0)
    assert "\x1b" not in result.out
    assert "new\\nline\\x1b[31m" in result.out
    listed = holdfast("ls", "a@latest", "/many", "--json", expect=0).json()["entries"]
    assert [entry["name"] for entry in listed] == sorted(
        path.rpartition("/")[2] for path in expected if path.startswith("/many/")
    )


def test_an_archive_holds_what_was_there(
    expected: dict[str, Description], holdfast: Holdfast, tmp_path: Path
) -> None:
    paths = ("/etc", "/plain.txt", "/hard", "/sparse", "/short", "/pieces", "/many")
    stream = holdfast("get", "a@latest", *paths, "-", expect=0).stdout
    assert len(stream) < 8 << 20, "the hole was streamed"
    target = tmp_path / "unpacked"
    target.mkdir()
    archive = tmp_path / "a.tar"
    archive.write_bytes(stream)
    options = ("--xattrs", "--xattrs-include=*", "--same-owner", "--warning=no-timestamp")
    run("tar", "--extract", "--file", archive, "--directory", target, *options)
    found = dict(describe_mount(target))
    for path, description in compared(expected).items():
        if path.startswith(tuple(paths)):
            known = {key: value for key, value in found[path].items() if key in description}
            # A directory's own time is changed by tar when it unpacks into it later.
            assert known == description, path
    with zipfile.ZipFile(
        io.BytesIO(
            holdfast(
                "get", "a@latest", "/many", "/plain.txt", "-", "--format", "zip", expect=0
            ).stdout
        )
    ) as packed:
        assert packed.testzip() is None
        assert packed.read("plain.txt") == b"hello\n" * 1000
        assert len(packed.namelist()) == 302


def test_a_file_is_followed_through_the_points(
    sample: Sample, expected: dict[str, Description], tmp_path: Path
) -> None:
    shutil.copytree(sample.state, tmp_path / "state")
    holdfast, image = Holdfast(tmp_path / "state"), tmp_path / "disk.raw"
    shutil.copyfile(sample.image, image)
    with mounted(image, tmp_path / "mnt") as root:
        (root / "blob").write_text("a second version")
    holdfast("backup", image, "--machine", "a", expect=0)
    with mounted(image, tmp_path / "mnt") as root:
        (root / "blob").unlink()
    holdfast("backup", image, "--machine", "a", expect=0)
    found = holdfast("history", "a", "/blob", "--json", expect=0).json()
    assert [version["size_bytes"] for version in found["versions"]] == [
        len("a second version"),
        expected["/blob"]["size"],
    ]
    assert len(found["missing"]) == 1
    unchanged = holdfast("history", "a", "/plain.txt", "--json", expect=0).json()["versions"]
    assert [len(version["points"]) for version in unchanged] == [3]
    hits = holdfast("find", "a", "BLO?", "--json", expect=0).json()["versions"]
    assert [(hit["path"], len(hit["points"])) for hit in hits] == [("/blob", 1), ("/blob", 1)]
    assert holdfast("history", "a", "/none", expect=5).out == ""
    assert holdfast("find", "b", "x", expect=5).out == ""


def flip_a_byte(state: Path) -> None:
    """Hurt the largest container in its middle, where the content of large files is."""
    paths = (state / "store" / "containers").rglob("*")
    largest = max((path for path in paths if path.is_file()), key=lambda path: path.stat().st_size)
    largest.chmod(0o600)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_damage_of_the_store_costs_the_files_it_hit_and_names_them(
    sample: Sample, tmp_path: Path
) -> None:
    shutil.copytree(sample.state, tmp_path / "state")
    flip_a_byte(tmp_path / "state")
    holdfast, target = Holdfast(tmp_path / "state"), tmp_path / "out"
    target.mkdir()
    (target / "blob").write_text("what was there before")
    arguments = ("get", "a@latest", "/", target, "--privileged", "--force", "--json")
    gaps = {gap["path"]: gap["reason"] for gap in holdfast(*arguments, expect=3).json()["gaps"]}
    assert "/blob" in gaps
    assert (target / "blob").read_text() == "what was there before"
    found = compared(dict(describe_mount(target)))
    for path, description in compared(sample.seen).items():
        if path not in gaps:
            assert found[path] == description, path
    assert not list(target.rglob(".tmp-*"))
    assert holdfast("cat", "a@latest", "/blob").code == 4
    stream = holdfast("get", "a@latest", "/blob", "/plain.txt", "-", expect=3)
    assert "zeros from where it is damaged" in stream.err
    with tarfile.open(fileobj=io.BytesIO(stream.stdout)) as archive:
        assert [(one.name, one.size) for one in archive] == [
            ("blob", sample.seen["/blob"]["size"]),
            ("plain.txt", 6000),
        ]


def test_a_long_listing_is_cut_and_says_so(
    expected: dict[str, Description], holdfast: Holdfast
) -> None:
    result = holdfast("ls", "a@latest", "/many", "--limit", "7", "--json", expect=0)
    assert len(result.json()["entries"]) == 7
    assert result.json()["is_cut"]
    assert "--limit" in result.err
