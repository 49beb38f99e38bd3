"""The owner's side of the confined reader: starts it, feeds it blocks, ends it when it hangs.

Owns the process and its deadline. A reader that crashes, hangs or chatters costs the one request
it was busy with: the next request begins with a new one. What it answers is checked before it is
believed, because a hostile filesystem may have taken it over.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from appliance.base import errors
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.process import Peer
from appliance.base.progress import Progress
from appliance.browse.wire import READ_MAX_BYTES, Frame, Line, parse_object, parse_read

SILENCE_S = 120.0
# Reads in a row without a piece of content: at 64 KiB each this is more than any metadata needs.
_READS_MAX = 1 << 18
_ERRORS = ("IntegrityError", "NotFoundError", "UsageError")


class Disk(Protocol):
    """What a disk must be able to do."""

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there. Raises IntegrityError where they are damaged."""


class ReaderGoneError(IntegrityError):
    """The reader crashed or hung at something hostile; a new one starts with the next request."""


class ConfinedReader:
    """Asks a confined process about disks. For one thread. `read_bytes` counts what it was fed."""

    def __init__(
        self,
        disks: Sequence[Disk],
        progress: Progress | None = None,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.disks = tuple(disks)
        self.read_bytes = 0
        self._progress = progress or Progress()
        self._silence_s = silence_s
        self._line: Line | None = None
        self._peer: Peer | None = None
        self._volumes: dict[int, bool] = {}
        self._opened: dict[str, Any] = {}

    # ---- life ----

    def open(self) -> dict[str, Any]:
        """Start, and give the volumes of the disks."""
        ours, theirs = socket.socketpair()
        ours.settimeout(self._silence_s)
        try:
            with theirs:
                argv = [sys.executable, "-W", "ignore", "-m", "appliance.browse.worker"]
                self._peer = Peer(argv, theirs)
        except BaseException:
            ours.close()
            raise
        self._line = Line(ours)
        sizes = [disk.size_bytes for disk in self.disks]
        return self._ask("looking at the disks", None, {"do": "open", "sizes_bytes": sizes})

    def close(self) -> None:
        """End the process."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._peer is not None:
            self._peer.kill()
            self._peer = None

    def probe(self, volume: int) -> dict[str, Any]:
        """Open what is on a volume. Raises ReaderGoneError where that ends the reader."""
        self._volumes[volume] = False
        answer = self.request(f"volume {volume}", do="probe", volume=volume)
        self._volumes[volume] = bool(answer.get("is_open"))
        return answer

    def request(
        self,
        what: str,
        on_content: Callable[[bytes], None] | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """The answer to a request; `what` names its subject in errors.

        Raises what the reader reported, or ReaderGoneError if it ended, hung, or lied.
        """
        if self._line is None:
            self.open()
            for volume, was_open in self._volumes.items():
                if was_open:
                    self._ask(f"volume {volume}", None, {"do": "probe", "volume": volume})
        return self._ask(what, on_content, request)

    def _ask(
        self, what: str, on_content: Callable[[bytes], None] | None, request: dict[str, Any]
    ) -> dict[str, Any]:
        assert self._line is not None
        try:
            self._line.send_object(Frame.REQUEST, request)
            answer = self._serve(self._line, on_content)
        except TimeoutError:
            self._give_up(what, f"said nothing for {self._silence_s:.0f} s")
        except ConnectionError:
            self._give_up(what, "")
        except BaseException:
            self.close()  # in the midst of an answer: nobody can go on from here
            raise
        if answer is None:
            self._give_up(what, "")
        kind, value = answer
        if kind is Frame.ANSWER:
            return value
        name, text = value.get("error"), str(value.get("text"))
        error = getattr(errors, name) if name in _ERRORS else HoldfastError
        raise error(f"{what}: {text}" if error is IntegrityError else text)

    def _serve(
        self, line: Line, on_content: Callable[[bytes], None] | None
    ) -> tuple[Frame, dict[str, Any]] | None:
        """Give blocks until the answer comes; None when the reader is gone."""
        reads = 0
        while (frame := line.receive()) is not None:
            kind, data = frame
            self._progress.check()
            if kind is Frame.READ:
                reads += 1
                if reads > _READS_MAX:
                    raise ReaderGoneError("the filesystem is damaged: reading it finds no end")
                self._give(line, data)
            elif kind is Frame.CONTENT and on_content is not None:
                reads = 0
                on_content(data)
            elif kind in (Frame.ANSWER, Frame.FAILURE):
                return kind, parse_object(data)
            else:
                raise IntegrityError("the reader sent something nobody asked for")
        return None

    def _give(self, line: Line, data: bytes) -> None:
        number, offset, length = parse_read(data)
        if number >= len(self.disks) or length > READ_MAX_BYTES:
            raise IntegrityError("the reader asked for something that is no range")
        try:
            block = self.disks[number].read(offset, length)
        except IntegrityError as error:
            line.send(Frame.UNREADABLE, str(error).encode())
            return
        self.read_bytes += len(block)
        line.send(Frame.BLOCKS, block)

    def _give_up(self, what: str, why: str) -> NoReturn:
        if not why and self._peer is not None:
            why = self._peer.describe_end()
        self.close()
        raise ReaderGoneError(f"{what}: the filesystem is damaged: its reader {why}")
