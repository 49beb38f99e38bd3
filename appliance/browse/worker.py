"""The confined process: it alone parses what a backup holds, and owns nothing worth having.

    python -m appliance.browse.worker      standard input is the socket (see `wire`)

It has no key, no file and no network: blocks come over the socket. Limits of memory and processor
are set before the first byte is looked at. Anything may go wrong in here; the owner sees an answer,
a failure, or the end of the socket.
"""

from __future__ import annotations

import base64
import itertools
import os
import resource
import socket
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from appliance.base.errors import HoldfastError, NotFoundError
from appliance.browse.blocks import Disks
from appliance.browse.node import Filesystem, Node, text_of
from appliance.browse.volumes import Found, find_entry, probe, reason_of, scan
from appliance.browse.wire import Frame, Line, parse_object
from appliance.native import confine_process

MEMORY_MAX_BYTES = 1 << 30
PROCESSOR_MAX_S = 4 * 3600
_NOBODY = 65534
_PAGE_ENTRIES = 500
_PAGE_EXTENTS = 20_000
# Maps up to this long travel with the entry of the directory.
_SHORT_MAP = 16
_INLINE_MAX_BYTES = 4096
_OPEN_LISTINGS = 1024
_LINKS_MAX = 40
_PIECE_BYTES = 1 << 20


class Worker:
    """Answers requests about one set of disks after the other."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._found: list[Found] = []
        self._listings: OrderedDict[int, tuple[int, Iterator[tuple[bytes, int]]]] = OrderedDict()
        self._tokens = itertools.count(1)

    def serve(self) -> None:
        """Answer until the owner hangs up."""
        while (frame := self._line.receive()) is not None:
            kind, data = frame
            if kind is not Frame.REQUEST:
                return
            request = parse_object(data)
            try:
                answer = getattr(self, f"do_{request.pop('do')}")(**request)
            except ConnectionError:
                return
            except HoldfastError as error:
                self._fail(type(error).__name__, str(error))
            except Exception as error:
                # Whatever a hostile filesystem provokes ends here, and costs one answer.
                self._fail("IntegrityError", reason_of(error))
            else:
                self._line.send_object(Frame.ANSWER, answer)

    def _fail(self, error: str, text: str) -> None:
        self._line.send_object(Frame.FAILURE, {"error": error, "text": text})

    # ---- requests ----

    def do_open(self, sizes_bytes: list[int]) -> dict[str, Any]:
        """Other disks from now on; gives their volumes."""
        self._listings.clear()
        self._found, remarks = scan(Disks(self._line, sizes_bytes))
        volumes = [
            {"name": found.name, "kind": found.kind, "size_bytes": found.volume.size_bytes}
            for found in self._found
        ]
        return {"volumes": volumes, "remarks": remarks}

    def do_probe(self, volume: int) -> dict[str, Any]:
        """What is on a volume; opens it."""
        return probe(self._found[volume])

    def do_find(self, volume: int, path: str, is_followed: bool) -> dict[str, Any]:
        """The file at a path, links on the way followed within the volume."""
        number, names = _resolve(self._filesystem(volume), os.fsencode(path), is_followed)
        filesystem = self._filesystem(volume)
        return {
            "entry": self._entry(volume, names[-1] if names else b"", number),
            "path": "/" + "/".join(map(text_of, names)),
            "is_case_blind": filesystem.is_case_blind,
        }

    def do_list(
        self, volume: int, number: int, token: int | None, *, is_brief: bool
    ) -> dict[str, Any]:
        """A page of the entries of a directory, and the token for the next one.

        Brief entries have no attributes and no map.
        """
        if token is None:
            names: Iterator[tuple[bytes, int]] = iter(self._filesystem(volume).entries(number))
        else:
            open_number, names = self._listings.pop(token, (-1, iter(())))
            if open_number != number:
                raise NotFoundError("the listing is too old: list again")
        page, trouble = [], ""
        try:
            for name, below in itertools.islice(names, _PAGE_ENTRIES):
                page.append(self._entry(volume, name, below, is_brief=is_brief))
        except Exception as error:
            trouble = reason_of(error)  # what was listed so far is still true
        following = None
        if len(page) == _PAGE_ENTRIES and not trouble:
            following = next(self._tokens)
            self._listings[following] = (number, names)
            while len(self._listings) > _OPEN_LISTINGS:
                self._listings.popitem(last=False)
        return {"entries": page, "token": following, "trouble": trouble}

    def do_map(self, volume: int, number: int, start: int) -> dict[str, Any]:
        """Extents of a file from the `start`-th on, as ranges of disks."""
        extents = self._filesystem(volume).extents(number)
        if extents is None:
            return {"map": None}
        page = list(itertools.islice(extents, start, start + _PAGE_EXTENTS))
        return {"map": self._located(volume, page), "is_more": len(page) == _PAGE_EXTENTS}

    def do_content(self, volume: int, number: int) -> dict[str, Any]:
        """The content of a file as CONTENT frames."""
        for piece in self._filesystem(volume).content(number):
            for at in range(0, len(piece), _PIECE_BYTES):
                self._line.send(Frame.CONTENT, piece[at : at + _PIECE_BYTES])
        return {}

    # ---- what they need ----

    def _filesystem(self, volume: int) -> Filesystem:
        filesystem = self._found[volume].filesystem
        if filesystem is None:
            raise NotFoundError(
                f"{self._found[volume].name} has no filesystem that can be read",
                code="no-filesystem",
            )
        return filesystem

    def _located(self, volume: int, extents: list[Any]) -> list[list[int]]:
        """File offset, length, disk and offset there."""
        found = []
        for offset, length, at in extents:
            start = offset
            for disk, place, count in self._found[volume].volume.locate(at, length):
                found.append([start, count, disk, place])
                start += count
        return found

    def _entry(
        self, volume: int, name: bytes, number: int, *, is_brief: bool = False
    ) -> dict[str, Any]:
        """A file with all that a restore needs of it, unless its content is long."""
        filesystem = self._filesystem(volume)
        entry: dict[str, Any] = {"name": text_of(name), "number": number}
        try:
            node = filesystem.node(number)
            entry["node"] = node.to_wire()
            if node.is_link:
                entry["link"] = text_of(filesystem.link_target(number))
            if is_brief:
                return entry
            attributes = filesystem.attributes(number)
            if attributes:
                entry["attributes"] = {
                    key: base64.b64encode(value).decode() for key, value in attributes.items()
                }
            if node.is_file:
                entry |= self._short_content(volume, node)
        except Exception as error:
            # One file that cannot be read must not hide its neighbours.
            entry["trouble"] = reason_of(error)
        return entry

    def _short_content(self, volume: int, node: Node) -> dict[str, Any]:
        filesystem = self._filesystem(volume)
        extents = filesystem.extents(node.number)
        if extents is not None:
            first = list(itertools.islice(extents, _SHORT_MAP + 1))
            return {} if len(first) > _SHORT_MAP else {"map": self._located(volume, first)}
        if node.size_bytes > _INLINE_MAX_BYTES:
            return {}
        content = b"".join(filesystem.content(node.number))
        return {"content": base64.b64encode(content).decode()}


def _resolve(filesystem: Filesystem, path: bytes, is_followed: bool) -> tuple[int, list[bytes]]:
    """The number of the file at `path` and its real names from the root; as in a chroot."""
    waiting = [part for part in reversed(path.split(b"/")) if part]
    numbers, names, links = [filesystem.root], list[bytes](), 0
    while waiting:
        part = waiting.pop()
        if part == b".":
            continue
        if part == b"..":
            if names:
                names.pop()
                numbers.pop()
            continue
        if not filesystem.node(numbers[-1]).is_directory:
            raise NotFoundError(f"/{text_of(b'/'.join(names))} is no directory", code="no-file")
        number = find_entry(filesystem, numbers[-1], part)
        if number is None:
            raise NotFoundError(
                f"there is no /{text_of(b'/'.join([*names, part]))}", code="no-file"
            )
        if filesystem.node(number).is_link and (waiting or is_followed):
            links += 1
            if links > _LINKS_MAX:
                raise NotFoundError(f"/{text_of(path)}: too many links")
            target = filesystem.link_target(number)
            if target.startswith(b"/"):
                numbers, names = numbers[:1], []
            waiting += [step for step in reversed(target.split(b"/")) if step]
            continue
        numbers.append(number)
        names.append(part)
    return numbers[-1], names


def confine() -> None:
    """Give up what a parser does not need; what is opened already stays open."""
    limits = (
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_CPU, PROCESSOR_MAX_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    )
    for kind, most in limits:
        resource.setrlimit(kind, (most, most))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    confine_process()


def main() -> None:
    """Serve the socket on standard input."""
    line = Line(socket.socket(fileno=0))
    confine()
    Worker(line).serve()


if __name__ == "__main__":
    main()
