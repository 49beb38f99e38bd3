"""Nothing of an update is used that no trusted key signed, and nothing lands outside its place."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from appliance.base.errors import AccessError, HoldfastError, IntegrityError, UsageError
from appliance.base.progress import Progress
from appliance.formats.update import MAGIC
from appliance.updates.installing import check_update, install_update
from appliance.updates.package import open_package
from appliance.updates.releases import Releases
from tests.updates.releasing import Builder, make_key, member, sign_archive


def refuse(releases: Releases, state: Path, path: Path) -> HoldfastError:
    """The error with which a box refuses an update; nothing of it is there afterwards."""
    with pytest.raises(HoldfastError) as caught:
        install_update(releases, state, path, Progress())
    assert releases.current() == "1.0.0"
    assert [one.version for one in releases.installed()] == ["1.0.0"]
    assert releases.read_trial() is None
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_changed_byte_anywhere_is_noticed(
    releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    good = builder.build("1.1.0").read_bytes()
    head_bytes = good.index(b"}", 20) + 1
    spoiled = tmp_path / "spoiled.update"
    for place in (0, 9, 30, head_bytes - 100, head_bytes + 5, head_bytes + 80, len(good) - 1):
        data = bytearray(good)
        data[place] ^= 1
        spoiled.write_bytes(data)
        assert isinstance(refuse(releases, state, spoiled), IntegrityError | AccessError), place


def test_a_file_that_is_cut_off_or_goes_on_is_refused(
    releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    good = builder.build("1.1.0").read_bytes()
    other = tmp_path / "other.update"
    for data in (good[:-1], good + b"\0", good[:40], good[:9], MAGIC, b"", good[:-500]):
        other.write_bytes(data)
        assert isinstance(refuse(releases, state, other), IntegrityError)


def test_the_signature_of_another_key_is_refused_whatever_name_it_gives(
    releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    stranger = make_key()
    path = builder.build("1.1.0", key=stranger)
    assert "does not trust" in str(refuse(releases, state, path))
    forged = tmp_path / "forged.update"
    own = next(iter(releases.trusted()))
    forged.write_bytes(sign_archive(stranger, [member("a", b"x")], key=own))
    assert isinstance(refuse(releases, state, forged), IntegrityError)


def test_a_payload_of_another_update_under_a_good_header_is_refused(
    releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    one = sign_archive(builder.key, [member("a", b"one")])
    two = sign_archive(builder.key, [member("a", b"two")])
    mixed = tmp_path / "mixed.update"
    mixed.write_bytes(one[: len(one) - 60] + two[len(two) - 60 :])
    assert "signed" in str(refuse(releases, state, mixed))


HOSTILE = {
    "above": [member("../evil", b"x")],
    "above within": [member("a/../../evil", b"x")],
    "absolute": [member("/tmp/evil", b"x")],
    "dot": [member("./a", b"x")],
    "empty part": [member("a//b", b"x")],
    "line": [member("a\nb", b"x")],
    "link out": [member("a", kind=tarfile.SYMTYPE, link="/etc"), member("a/evil", b"x")],
    "link within": [member("b", b"x"), member("a", kind=tarfile.SYMTYPE, link="b")],
    "hard link": [member("a", kind=tarfile.LNKTYPE, link="/etc/passwd")],
    "device": [member("a", kind=tarfile.CHRTYPE)],
    "pipe": [member("a", kind=tarfile.FIFOTYPE)],
    "twice": [member("a", b"x"), member("a", b"y")],
    "file as folder": [member("a", b"x"), member("a/b", b"y")],
    "long": [member("/".join(["a" * 200] * 6), b"x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_with_names_or_links_that_lead_elsewhere_is_refused(
    name: str, releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    """Also one that a trusted key signed: a builder can be deceived."""
    before = {path for path in tmp_path.rglob("*") if "incoming" not in path.parts}
    hostile = tmp_path / "hostile.update"
    hostile.write_bytes(sign_archive(builder.key, HOSTILE[name]))
    assert isinstance(refuse(releases, state, hostile), IntegrityError)
    after = {path for path in tmp_path.rglob("*") if "incoming" not in path.parts}
    assert {path.name for path in after - before} <= {"hostile.update", "lock"}
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("said", [{"tree_bytes": 5}, {"tree_bytes": 7}, {"tree_files": 2}])
def test_an_archive_that_holds_more_or_less_than_it_says_is_refused(
    said: dict[str, int], releases: Releases, builder: Builder, state: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.update"
    path.write_bytes(sign_archive(builder.key, [member("a", b"123456")], **said))
    assert "than it says" in str(refuse(releases, state, path))


def test_a_directory_or_a_device_is_no_update(releases: Releases, state: Path) -> None:
    for path in (state.parent, Path("/dev/zero")):
        refuse(releases, state, path)
    with pytest.raises(UsageError), open_package(Path("/dev/null"), {}):
        pass


def test_what_is_installed_is_what_was_built_and_looking_changes_nothing(
    releases: Releases, builder: Builder, state: Path
) -> None:
    program = builder.write("program", "#!/bin/true\n")
    program.chmod(0o700)
    tree = {"appliance/a": builder.write("a", "text"), "appliance/bin/run": program}
    path = builder.build("1.1.0", tree, notes="更新 <b>")
    header, refusal = check_update(releases, state, path, Progress())
    assert (header.version, header.notes, refusal) == ("1.1.0", "更新 <b>", "")
    assert releases.current() == "1.0.0"
    assert not releases.folder("1.1.0").exists()
    install_update(releases, state, path, Progress())
    library = releases.folder("1.1.0") / "lib"
    assert (library / "appliance/a").read_text() == "text"
    assert (library / "appliance/a").stat().st_mode & 0o777 == 0o644
    assert (library / "appliance/bin/run").stat().st_mode & 0o777 == 0o755
    assert (releases.folder("1.1.0") / "head").read_bytes() == (
        path.read_bytes()[: -header.payload_bytes]
    )
