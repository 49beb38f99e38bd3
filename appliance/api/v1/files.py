"""/points/{machine}/{time}/files: what is inside a point."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from appliance.api.route import PAGE, PAGE_MAX, Ask, Count, Reply, Route, read_number
from appliance.base.errors import UsageError

_PATH_MAX = 8192


class FileEntry(msgspec.Struct, kw_only=True):
    """A name in a directory. `name` is made harmless to show.

    Where that differs from what is stored, `name_base64` has the bytes: ask for it by
    `path_base64`. `trouble` says why nothing more is known.
    """

    name: str
    trouble: str
    name_base64: str | None = None
    kind: str | None = None
    mode: str | None = None
    uid: int | None = None
    gid: int | None = None
    links: int | None = None
    size_bytes: Count | None = None
    modified: str | None = None
    modified_ns: int | None = None
    link: str | None = None


class Filesystem(msgspec.Struct, kw_only=True):
    """Another filesystem of the point, at `path`."""

    path: str
    kind: str
    label: str
    size_bytes: Count


class Listing(msgspec.Struct, kw_only=True):
    """Part of a directory, by name. `notes` say what could not be looked into."""

    point: str
    path: str
    items: list[FileEntry]
    filesystems: list[Filesystem]
    notes: list[str]
    is_cut: bool
    next: str | None


class PathQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which path: as text, or as the bytes that are stored (base64)."""

    path: Annotated[str, msgspec.Meta(max_length=_PATH_MAX)] | None = None
    path_base64: Annotated[str, msgspec.Meta(max_length=2 * _PATH_MAX)] | None = None


class FilesQuery(PathQuery, forbid_unknown_fields=True, kw_only=True):
    """Which directory (default /), and which part of it."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = PAGE
    after: str | None = None


class ArchiveQuery(PathQuery, forbid_unknown_fields=True, kw_only=True):
    """Which tree, and in what."""

    format: Literal["tar", "zip"] = "zip"


def read_path(query: PathQuery, default: str | None = None) -> str:
    """The path that a query names. Raises UsageError."""
    if query.path is not None and query.path_base64 is not None:
        raise UsageError("path: not together with path_base64")
    path = query.path if query.path is not None else default
    if query.path_base64 is not None:
        try:
            path = os.fsdecode(base64.b64decode(query.path_base64, validate=True))
        except (binascii.Error, ValueError) as error:
            raise UsageError("path_base64: is no base64") from error
    if not path:
        raise UsageError("path: is missing")
    if "\0" in path:
        raise UsageError("path: holds a zero byte, which no path can")
    return path


def _point(ask: Ask) -> str:
    return f"{ask.name('machine')}@{ask.name('time')}"


async def list_files(ask: Ask) -> Reply:
    """A directory of the point."""
    query: FilesQuery = ask.query
    listing = await ask.parts.workers.list_files(_point(ask), read_path(query, "/"))
    # A point never changes: a number is as good as a name, of which two may look the same.
    start = 0 if query.after is None else read_number(query.after)
    end = start + query.limit
    entries = listing["entries"]
    return Reply(
        {
            "point": listing["point"],
            "path": listing["path"],
            "items": entries[start:end],
            "filesystems": listing["filesystems"],
            "notes": listing["notes"],
            "is_cut": listing["is_cut"],
            "next": str(end) if end < len(entries) else None,
        }
    )


async def read_content(ask: Ask) -> web.StreamResponse:
    """A file, as it was."""
    path = read_path(ask.query)
    name = PurePosixPath(path).name or "file"
    return await ask.parts.workers.download(
        ask, ["cat", "--", _point(ask), path], name, "application/octet-stream"
    )


async def read_archive(ask: Ask) -> web.StreamResponse:
    """A tree as an archive."""
    query: ArchiveQuery = ask.query
    path = read_path(query, "/")
    name = f"{PurePosixPath(path).name or ask.name('machine')}.{query.format}"
    kind = "application/zip" if query.format == "zip" else "application/x-tar"
    words = ["get", f"--format={query.format}", "--", _point(ask), path, "-"]
    return await ask.parts.workers.download(ask, words, name, kind)


_FILES = "/points/{machine}/{time}/files"
ROUTES = (
    Route(
        *("GET", _FILES, "A directory inside a point", list_files, "operator"),
        query=FilesQuery,
        answer=Listing,
        problems=(409, 503),
    ),
    Route(
        *("GET", f"{_FILES}/content", "A file inside a point", read_content, "operator"),
        query=PathQuery,
        answer=bytes,
        content_type="application/octet-stream",
        problems=(409, 503),
    ),
    Route(
        *("GET", f"{_FILES}/archive", "A tree inside a point", read_archive, "operator"),
        query=ArchiveQuery,
        answer=bytes,
        content_type="application/zip",
        problems=(409, 503),
    ),
)
