"""Long objects on slow lines: sent in parts, and taken up where somebody was interrupted.

Owns the upload of one object in parts. No state is kept here: the server's list of parts says what
is there, and only parts whose MD5 is that of our bytes are believed.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import NotFoundError
from appliance.vault.bucket import Body, TransientError, check_digest, measure
from appliance.vault.providers import PART_COUNT_MAX, PART_MIN_BYTES
from appliance.vault.s3_calls import S3Calls
from appliance.vault.s3_errors import LostUploadError
from appliance.vault.transport import Outgoing

_ROUNDS = 3  # of sending what the server lost
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """A range of the object. `md5` is of its bytes, hex: what the server will call it."""

    number: int
    offset: int
    size_bytes: int
    md5: str


class MultipartUpload:
    """One object on its way in parts."""

    def __init__(
        self,
        calls: S3Calls,
        name: str,
        body: Body,
        sha256: bytes,
        *,
        part_bytes: int,
    ) -> None:
        self._calls = calls
        self._name = name
        self._key = calls.address.prefix + name
        self._body = body
        self._sha256 = sha256
        smallest = -(-measure(body) // PART_COUNT_MAX)
        self._part_bytes = max(part_bytes, PART_MIN_BYTES, smallest)

    async def run(self, lock: dict[str, Any]) -> None:
        """Send what is missing and put it together; on return the object is there, whole.

        `lock` are members of the request that begins an upload. Raises IntegrityError before
        anything is sent if the body is not what was announced, and the errors of a bucket.
        """
        parts = await asyncio.to_thread(self._read_parts)
        for _ in range(_ROUNDS):
            try:
                upload, there = await self._take_up(parts, lock)
                for part in parts:
                    if there.get(part.number) != (part.size_bytes, part.md5):
                        await self._send_part(upload, part)
                await self._complete(upload, parts)
            except LostUploadError:
                if await self._is_there(parts):
                    return
            else:
                if await self._is_there(parts):
                    return
        raise TransientError(f"{self._name}: the server keeps losing parts of it")

    def _read_parts(self) -> list[Part]:
        """Cut the body into parts, and check it as a whole."""
        whole = hashlib.sha256()
        parts: list[Part] = []
        outgoing = Outgoing(self._name, self._body, self._sha256)
        try:
            while (offset := outgoing.tell()) < outgoing.size_bytes:
                digest = hashlib.md5(usedforsecurity=False)
                end = min(offset + self._part_bytes, outgoing.size_bytes)
                while (left := end - outgoing.tell()) and (
                    piece := outgoing.read(min(left, _PIECE_BYTES))
                ):
                    digest.update(piece)
                    whole.update(piece)
                parts.append(Part(len(parts) + 1, offset, end - offset, digest.hexdigest()))
        finally:
            outgoing.close()
        check_digest(self._name, whole.digest(), self._sha256)
        return parts

    async def _take_up(
        self, parts: list[Part], lock: dict[str, Any]
    ) -> tuple[str, dict[int, tuple[int, str]]]:
        """An upload of this object, and what is there of it."""
        upload = await self._find()
        if upload is None:
            return await self._begin(lock), {}
        there = await self._list_parts(upload)
        if max(there, default=0) <= len(parts):
            return upload, there
        # It was cut in another way, and some servers want every part in the end.
        await _abort(self._calls, self._key, upload)
        return await self._begin(lock), {}

    async def _find(self) -> str | None:
        """The newest unfinished upload of this object."""
        answer = await self._calls.call(
            "list_multipart_uploads", "LIST", self._name, Prefix=self._key
        )
        found = [
            (str(upload.get("Initiated", "")), str(upload["UploadId"]))
            for upload in answer.get("Uploads", [])
            if upload.get("Key") == self._key and upload.get("UploadId")
        ]
        return max(found)[1] if found else None

    async def _begin(self, lock: dict[str, Any]) -> str:
        answer = await self._calls.call(
            "create_multipart_upload", "POST", self._name, Key=self._key, **lock
        )
        return str(answer["UploadId"])

    async def _list_parts(self, upload: str) -> dict[int, tuple[int, str]]:
        found: dict[int, tuple[int, str]] = {}
        marker = 0
        while True:
            answer = await self._calls.call(
                "list_parts",
                "LIST",
                self._name,
                Key=self._key,
                UploadId=upload,
                PartNumberMarker=marker,
            )
            for part in answer.get("Parts", []):
                number = int(part["PartNumber"])
                found[number] = (int(part.get("Size", -1)), str(part.get("ETag", "")).strip('"'))
            following = max([marker, *found])
            if not answer.get("IsTruncated") or following <= marker:
                return found
            marker = following

    async def _send_part(self, upload: str, part: Part) -> None:
        def open_part() -> Outgoing:
            return Outgoing(
                self._name, self._body, None, offset=part.offset, size_bytes=part.size_bytes
            )

        await self._calls.send(
            "upload_part",
            f"{self._name} part {part.number}",
            open_part,
            Key=self._key,
            UploadId=upload,
            PartNumber=part.number,
        )

    async def _complete(self, upload: str, parts: list[Part]) -> None:
        """Put the parts together. An answer that was lost, or says little, is looked at later."""
        await self._calls.call(
            "complete_multipart_upload",
            "POST",
            self._name,
            Key=self._key,
            UploadId=upload,
            MultipartUpload={
                "Parts": [{"PartNumber": part.number, "ETag": f'"{part.md5}"'} for part in parts]
            },
        )

    async def _is_there(self, parts: list[Part]) -> bool:
        """Whether the object is the one made of these parts, by its size and its entity tag.

        An entity tag that is no MD5 (of an encrypting server, or an empty one) proves nothing
        either way; the server checked the signed SHA-256 of each part.
        """
        try:
            head = await self._calls.call("head_object", "HEAD", self._name, Key=self._key)
        except NotFoundError:
            return False
        sums = b"".join(bytes.fromhex(part.md5) for part in parts)
        expected = f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(parts)}"
        found = str(head.get("ETag", "")).strip('"')
        is_same = found == expected or "-" not in found
        return int(head.get("ContentLength", -1)) == measure(self._body) and is_same


async def _abort(calls: S3Calls, key: str, upload: str) -> None:
    try:
        await calls.call("abort_multipart_upload", "DELETE", key, Key=key, UploadId=upload)
    except LostUploadError:
        return  # somebody was faster


async def drop_uploads(calls: S3Calls, prefix: str, before: str) -> int:
    """Give up unfinished uploads below `prefix` that began before `before` (ISO 8601); how many.

    Their parts are invisible, and are paid for.
    """
    dropped = 0
    answer = await calls.call("list_multipart_uploads", "LIST", "uploads", Prefix=prefix)
    for upload in answer.get("Uploads", []):
        began = upload.get("Initiated")
        if began is not None and began.isoformat() < before:
            await _abort(calls, str(upload["Key"]), str(upload["UploadId"]))
            dropped += 1
    return dropped
