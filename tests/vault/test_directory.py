"""What only a directory can do wrong: files of others, links, crashes, a missing disk."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base import durable
from appliance.base.errors import UsageError
from appliance.vault.bucket import DeniedError, FullError, MissingBucketError, MissingObjectError
from appliance.vault.directory import DirectoryBucket, make_root
from tests.vault.conftest import Run
from tests.vault.test_bucket_contract import names, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    path.mkdir()
    return path


def test_other_things_in_the_directory_are_ignored(run: Run, root: Path, tmp_path: Path) -> None:
    bucket = DirectoryBucket(root)
    run(put(bucket, "a/b"))
    (root / ".Trash-1000").mkdir()
    (root / ".Trash-1000/x").write_text("x")
    (root / "System Volume Information").mkdir()
    (root / "System Volume Information/x").write_text("x")
    (root / "a/holiday photo.jpg").write_text("x")
    (root / "a/pipe").touch()
    (root / "a/pipe").unlink()
    os.mkfifo(root / "a/pipe")
    (root / "a/link").symlink_to(tmp_path / "nowhere")
    (root / "elsewhere").symlink_to(tmp_path)
    assert run(names(bucket, "")) == ["a/b"]


def test_links_are_not_followed(run: Run, root: Path, tmp_path: Path) -> None:
    bucket = DirectoryBucket(root)
    (tmp_path / "secret").write_text("secret")
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    with pytest.raises(DeniedError, match="not followed"):
        run(bucket.get("folder/secret"))
    with pytest.raises(DeniedError, match="not followed"):
        run(put(bucket, "folder/new"))
    with pytest.raises(MissingObjectError):
        run(bucket.get("file"))
    assert not (tmp_path / "new").exists()


def test_a_half_written_object_is_never_seen_and_goes_after_a_day(run: Run, root: Path) -> None:
    (root / ".incoming").mkdir()
    left = root / ".incoming" / f"{durable.TEMPORARY_PREFIX}old"
    fresh = root / ".incoming" / f"{durable.TEMPORARY_PREFIX}fresh"
    left.write_text("half")
    fresh.write_text("half")
    os.utime(left, (1, 1))
    bucket = DirectoryBucket(root)
    assert run(names(bucket, "")) == []
    run(put(bucket, "a/b"))
    assert not left.exists()
    assert fresh.exists()


def test_what_is_unfinished_is_given_up_when_asked(run: Run, root: Path) -> None:
    bucket = DirectoryBucket(root)
    run(put(bucket, "a/b"))
    left = root / ".incoming" / f"{durable.TEMPORARY_PREFIX}left"
    left.write_text("half")
    assert run(bucket.drop_unfinished(datetime(2000, 1, 1, tzinfo=UTC))) == 0
    assert run(bucket.drop_unfinished(datetime(2100, 1, 1, tzinfo=UTC))) == 1
    assert not left.exists()
    assert run(names(bucket, "")) == ["a/b"]


def test_a_disk_that_is_not_mounted_is_a_missing_bucket(run: Run, root: Path) -> None:
    bucket = DirectoryBucket(root)
    run(put(bucket, "a/b"))
    root.rename(root.with_name("unplugged"))
    for call in (bucket.get("a/b"), bucket.head("a/b"), bucket.list_page(""), put(bucket, "a/c")):
        with pytest.raises(MissingBucketError, match="mount the disk"):
            run(call)
    with pytest.raises(MissingBucketError):
        DirectoryBucket(root)
    assert not root.exists()


def test_a_vault_is_made_where_its_disk_is_mounted_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    monkeypatch.setattr("appliance.vault.directory._MOUNT_PLACES", (media,))
    monkeypatch.setattr("appliance.vault.directory._SYSTEM", tmp_path)
    for there, missing in (("usb/vault", f"{media}/usb is not there"), ("usb", "no disk is")):
        with pytest.raises(MissingBucketError, match=missing) as refused:
            make_root(media / there)
        assert "mount" in str(refused.value)
        assert "\n" not in str(refused.value)
    (media / "usb").mkdir()  # the mount point, without its disk
    with pytest.raises(MissingBucketError, match=r"no disk is mounted at .*usb/vault"):
        make_root(media / "usb/vault")
    assert os.listdir(media / "usb") == []
    make_root(media / "usb")  # whoever made it wants it
    monkeypatch.setattr("appliance.vault.directory._SYSTEM", Path("/proc"))  # another disk
    make_root(media / "usb/vault")
    assert (media / "usb/vault").is_dir()
    make_root(tmp_path / "vault")
    assert (tmp_path / "vault").is_dir()


def test_a_lock_is_a_usage_error(run: Run, root: Path) -> None:
    bucket = DirectoryBucket(root)
    until = datetime(2030, 1, 1, tzinfo=UTC)
    for call in (bucket.put("a/b", b"", b"", lock_until=until), bucket.lock("a/b", until)):
        with pytest.raises(UsageError, match="cannot lock"):
            run(call)


def test_a_full_disk_says_which(run: Run) -> None:
    full = Path("/dev/full")
    assert full.exists()
    bucket = DirectoryBucket(Path("/dev"))
    with pytest.raises(FullError, match="vault /dev is full"), bucket._named(full):
        full.write_bytes(b"x" * 100_000)
