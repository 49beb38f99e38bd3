"""What every backend of a bucket must do. A backend runs it all by a class of ten lines.

class TestMine(BucketContract):
    @pytest.fixture
    def bucket(self, run: Run) -> Iterator[Bucket]: ...
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from pathlib import Path

import pytest

from appliance.base.errors import IntegrityError, UsageError
from appliance.vault.bucket import (
    Bucket,
    ConflictError,
    FileRange,
    MissingObjectError,
    ObjectInfo,
    list_all_versions,
    list_objects,
)
from appliance.vault.directory import DirectoryBucket
from tests.vault.conftest import Run

BODY = bytes(range(256)) * 300


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def names(bucket: Bucket, prefix: str, after: str = "") -> list[str]:
    return [info.name async for info in list_objects(bucket, prefix, after=after)]


async def put(bucket: Bucket, name: str, data: bytes = BODY) -> ObjectInfo:
    return await bucket.put(name, data, sha256(data))


class BucketContract:
    """The tests. `part_bytes` is the smallest part that the backend allows."""

    part_bytes = 5 << 20

    def test_what_was_put_is_there_with_its_size(self, run: Run, bucket: Bucket) -> None:
        info = run(put(bucket, "containers/ab/abcd"))
        assert (info.name, info.size_bytes) == ("containers/ab/abcd", len(BODY))
        head = run(bucket.head("containers/ab/abcd"))
        assert (head.tag, head.size_bytes) == (info.tag, len(BODY))
        fetched = run(bucket.get("containers/ab/abcd"))
        assert fetched.data == BODY
        assert fetched.info.tag == info.tag

    def test_an_empty_object_is_one(self, run: Run, bucket: Bucket) -> None:
        run(put(bucket, "empty/object", b""))
        assert run(bucket.get("empty/object")).data == b""
        assert run(bucket.head("empty/object")).size_bytes == 0

    def test_a_range_of_a_file_is_put_and_ranges_are_read(
        self, run: Run, bucket: Bucket, tmp_path: Path
    ) -> None:
        path = tmp_path / "container"
        path.write_bytes(b"before" + BODY + b"behind")
        run(bucket.put("a/b", FileRange(path, len(BODY), 6), sha256(BODY)))
        assert run(bucket.get("a/b")).data == BODY
        assert run(bucket.get("a/b", offset=1000, size_bytes=500)).data == BODY[1000:1500]
        assert run(bucket.get("a/b", offset=len(BODY) - 3, size_bytes=500)).data == BODY[-3:]
        tail = run(bucket.get("a/b", offset=len(BODY) - 3))
        assert (tail.data, tail.info.size_bytes) == (BODY[-3:], len(BODY))
        with pytest.raises(UsageError, match="has only"):
            run(bucket.get("a/b", offset=len(BODY) + 1))

    def test_putting_again_is_harmless_and_heals(self, run: Run, bucket: Bucket) -> None:
        for _ in range(2):
            run(put(bucket, "a/b"))
        run(put(bucket, "a/b", b"damaged"))
        run(put(bucket, "a/b"))
        assert run(bucket.get("a/b")).data == BODY
        assert run(names(bucket, "a/")) == ["a/b"]

    @pytest.mark.parametrize("source", ["bytes", "file", "parts"])
    def test_other_bytes_than_announced_never_appear(
        self, run: Run, bucket: Bucket, tmp_path: Path, source: str
    ) -> None:
        path = tmp_path / "container"
        data = os.urandom(self.part_bytes + 1)
        path.write_bytes(data)
        body = BODY if source == "bytes" else FileRange(path, len(data))
        parts = self.part_bytes if source == "parts" else None
        with pytest.raises(IntegrityError, match="a/b"):
            run(bucket.put("a/b", body, sha256(b"other"), part_bytes=parts))
        assert run(names(bucket, "")) == []

    def test_a_file_shorter_than_announced_never_appears(
        self, run: Run, bucket: Bucket, tmp_path: Path
    ) -> None:
        path = tmp_path / "container"
        path.write_bytes(BODY)
        with pytest.raises(IntegrityError, match="a/b"):
            run(bucket.put("a/b", FileRange(path, len(BODY) + 9), sha256(BODY)))
        assert run(names(bucket, "")) == []

    def test_a_long_body_goes_in_parts(self, run: Run, bucket: Bucket, tmp_path: Path) -> None:
        data = random.Random(4).randbytes(2 * self.part_bytes + 17)
        path = tmp_path / "container"
        path.write_bytes(data)
        body = FileRange(path, len(data))
        info = run(bucket.put("a/b", body, sha256(data), part_bytes=self.part_bytes))
        assert info.size_bytes == len(data)
        assert run(bucket.get("a/b")).data == data

    def test_what_is_missing_is_missing(self, run: Run, bucket: Bucket) -> None:
        run(put(bucket, "a/b"))
        for name in ("a/c", "a", "a/b/c", "b"):
            with pytest.raises(MissingObjectError, match=name):
                run(bucket.get(name))
            with pytest.raises(MissingObjectError, match=name):
                run(bucket.head(name))

    def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(
        self, run: Run, bucket: Bucket
    ) -> None:
        run(put(bucket, "a/b"))
        run(put(bucket, "a/c"))
        for _ in range(2):
            run(bucket.delete("a/b"))
        with pytest.raises(MissingObjectError):
            run(bucket.head("a/b"))
        assert run(names(bucket, "a/")) == ["a/c"]

    def test_a_head_is_replaced_and_who_comes_late_is_told(self, run: Run, bucket: Bucket) -> None:
        first = run(bucket.replace("heads/m", b"one", tag=None))
        second = run(bucket.replace("heads/m", b"two", tag=first.tag))
        assert second.tag != first.tag
        assert run(bucket.get("heads/m")).data == b"two"
        if bucket.abilities.is_conditional:
            for tag in (None, first.tag):
                with pytest.raises(ConflictError, match="heads/m"):
                    run(bucket.replace("heads/m", b"late", tag=tag))
            with pytest.raises(ConflictError):
                run(bucket.replace("heads/other", b"late", tag=first.tag))
            assert run(bucket.get("heads/m")).data == b"two"
            assert run(names(bucket, "")) == ["heads/m"]

    def test_a_listing_is_sorted_by_whole_names_page_by_page(
        self, run: Run, bucket: Bucket
    ) -> None:
        wanted = sorted(
            ["a", "b-c/d", "b.c", "b/c", "b/c.d", "b/c/d", "b0/c", "ab/c", "b/d/e"][1:]
            + [f"many/{number:02}" for number in range(12)]
        )
        wanted.remove("b/c")  # in a directory a file and a folder cannot share a name
        for name in random.Random(2).sample(wanted, len(wanted)):
            run(put(bucket, name, name.encode()))
        assert run(names(bucket, "")) == wanted
        assert run(names(bucket, "b/c")) == ["b/c.d", "b/c/d"]
        assert run(names(bucket, "many/1")) == ["many/10", "many/11"]
        assert run(names(bucket, "nothing")) == []
        for number, name in enumerate(wanted):
            assert run(names(bucket, "", after=name)) == wanted[number + 1 :]
        assert run(names(bucket, "many/", after="many/05x")) == wanted[-6:]
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = run(bucket.list_page("", after=cursor, limit=5))
            assert len(page.objects) <= 5
            found += [info.name for info in page.objects]
            assert [info.size_bytes for info in page.objects] == [
                len(info.name) for info in page.objects
            ]
            cursor = page.next
        assert found == wanted

    def test_versions_are_listed_newest_first(self, run: Run, bucket: Bucket) -> None:
        async def versions() -> list[ObjectInfo]:
            return [info async for info in list_all_versions(bucket, "a/")]

        for data in (b"one", b"two"):
            run(put(bucket, "a/b", data))
        found = run(versions())
        assert found[0].is_latest
        assert found[0].name == "a/b"
        if not bucket.abilities.has_versions:
            assert len(found) == 1
            return
        assert [info.is_latest for info in found] == [True, False]
        old = run(bucket.get("a/b", version=found[1].version))
        assert (old.data, old.info.version) == (b"one", found[1].version)
        run(bucket.delete("a/b"))
        marker = run(versions())[0]
        assert (marker.is_marker, marker.is_latest) == (True, True)
        assert run(bucket.get("a/b", version=found[0].version)).data == b"two"

    def test_many_tasks_at_once(self, run: Run, bucket: Bucket) -> None:
        async def all_at_once() -> list[str]:
            await asyncio.gather(*(put(bucket, f"a/{number:02}") for number in range(20)))
            return await names(bucket, "a/")

        assert len(run(all_at_once())) == 20

    @pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a\0", "a b"])
    def test_names_that_could_lead_elsewhere_are_refused(
        self, run: Run, bucket: Bucket, name: str
    ) -> None:
        with pytest.raises(UsageError, match="cannot be the name"):
            run(put(bucket, name))
        with pytest.raises(UsageError, match="cannot be the name"):
            run(bucket.get(name))

    def test_requests_and_bytes_are_counted(self, run: Run, bucket: Bucket) -> None:
        before = bucket.traffic.requests.copy()
        run(put(bucket, "a/b"))
        run(bucket.get("a/b", offset=0, size_bytes=100))
        run(bucket.head("a/b"))
        run(names(bucket, "a/"))
        run(bucket.delete("a/b"))
        spent = bucket.traffic.requests - before
        assert spent == {"PUT": 1, "GET": 1, "HEAD": 1, "LIST": 1, "DELETE": 1}
        assert bucket.traffic.sent_bytes >= len(BODY)
        assert 100 <= bucket.traffic.received_bytes < len(BODY)


class TestDirectory(BucketContract):
    """A directory."""

    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Bucket:
        root = tmp_path / "vault"
        root.mkdir()
        return DirectoryBucket(root)
