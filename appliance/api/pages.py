"""The pages of the box: the files of one folder, read once, sent compressed, checked by hash.

Owns which names there are: nothing but the files that lie in the folder can be asked for. A file
that changes on the disk is read again.
"""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from aiohttp import web

from appliance.access.browser_rules import PAGE_HEADERS
from appliance.api.problem import describe

_KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/json"}
_TEXTS = ("text/", "application/json", "image/svg+xml")
_SMALL_BYTES = 512
_LEFT_OUT = (".gz", ".br", ".md")
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))


@dataclass(frozen=True)
class Page:
    """A file as it is sent. `packed` is by the name of the encoding."""

    stamp: tuple[int, int]
    kind: str
    etag: str
    data: bytes
    packed: dict[str, bytes]


class Pages:
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Page] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A file, or 304 for one that the browser has."""
        page = await asyncio.to_thread(self.find, request.match_info.get("name", ""))
        if page is None:
            return describe(404, "not-found", "there is no such page")
        headers = {**PAGE_HEADERS, "ETag": page.etag, "Vary": "Accept-Encoding"}
        if page.etag in [
            tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")
        ]:
            return web.Response(status=304, headers=headers)
        taken = {one.split(";")[0].strip() for one in _accepted(request)}
        data = page.data
        for encoding, _ in _ENCODINGS:
            if encoding in taken and encoding in page.packed:
                headers["Content-Encoding"] = encoding
                data = page.packed[encoding]
                break
        charset = "utf-8" if page.kind.startswith(_TEXTS) else None
        return web.Response(body=data, content_type=page.kind, charset=charset, headers=headers)

    def find(self, name: str) -> Page | None:
        """The file that is called `name`; index.html for nothing."""
        name = name or "index.html"
        path = self._folder / name
        known = self._known.get(name)
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if known is not None and known.stamp == stamp:
                return known
            if not self._holds(name):
                return None
            page = _read(path, stamp)
        except (OSError, ValueError):
            return None
        self._known[name] = page
        return page

    def _holds(self, name: str) -> bool:
        """Whether this is how a file of the folder is called. Looks at that one only."""
        path = self._folder / name
        return (
            path.relative_to(self._folder).as_posix() == name
            and ".." not in Path(name).parts
            and path.is_file()
            and path.suffix not in _LEFT_OUT
            and not path.name.startswith(".")
        )


def _accepted(request: web.Request) -> list[str]:
    return request.headers.get("Accept-Encoding", "").lower().split(",")


def _read(path: Path, stamp: tuple[int, int]) -> Page:
    data = path.read_bytes()
    kind = _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    kind = kind or "application/octet-stream"
    packed = {}
    for encoding, suffix in _ENCODINGS:
        beside = path.with_name(path.name + suffix)
        if beside.is_file():
            packed[encoding] = beside.read_bytes()
    if "gzip" not in packed and len(data) > _SMALL_BYTES and kind.startswith(_TEXTS):
        packed["gzip"] = gzip.compress(data, 9, mtime=0)
    etag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
    return Page(stamp, kind, etag, data, packed)
