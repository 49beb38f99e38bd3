"""The server's side of the NBD handshake: TLS first where it is wanted, then a choice of export.

Owns the haggling over options. Never reads a disk.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.base.errors import IntegrityError
from appliance.formats import nbd
from appliance.recovery.points_view import DiskReader
from appliance.sources.wire import HungUpError, receive, send

CONTEXT_ID = 1
PREFERRED_BYTES = 64 << 10
_OPTIONS_MAX = 256
_FLAGS = nbd.HAS_FLAGS | nbd.READ_ONLY | nbd.SEND_FLUSH | nbd.CAN_MULTI_CONN


@dataclass
class Agreement:
    """What a client chose. `has_status`: it may ask which ranges are zeros."""

    disk: DiskReader
    is_structured: bool
    has_status: bool


class Handshake:
    """One connection's way to an `Agreement`."""

    def __init__(
        self,
        connection: socket.socket,
        disks: Mapping[str, DiskReader],
        tls: ssl.SSLContext | None,
    ) -> None:
        """`disks` by the names of their exports; the first is also the one without a name."""
        self.connection = connection
        self._disks = disks
        self._tls = tls
        self._needs_tls = tls is not None
        self._is_structured = False
        self._context_of: str | None = None
        self._agreed: Agreement | None = None

    def run(self) -> Agreement | None:
        """Haggle; None if the client only wanted to ask.

        Afterwards `connection` is the one to go on with. Raises IntegrityError or HungUpError for
        a client that does not keep to the protocol, OSError as sockets do.
        """
        send(self.connection, nbd.GREETING, (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES).to_bytes(2, "big"))
        said = int.from_bytes(receive(self.connection, 4), "big")
        if not said & nbd.FIXED_NEWSTYLE:
            raise IntegrityError("NBD: the client is too old for this protocol")
        no_zeroes = bool(said & nbd.NO_ZEROES)
        for _ in range(_OPTIONS_MAX):
            option, data = self._receive_option()
            if option == nbd.OPT_ABORT:
                self._reply(option, nbd.REP_ACK)
                return None
            if option == nbd.OPT_EXPORT_NAME:
                return self._choose_by_name(data, no_zeroes=no_zeroes)
            self._answer(option, data)
            if self._agreed is not None:
                return self._agreed
        raise IntegrityError("NBD: the client haggles without end")

    def _receive_option(self) -> tuple[int, bytes]:
        magic, option, length = nbd.OPTION.unpack(receive(self.connection, nbd.OPTION.size))
        if magic != nbd.OPTION_MAGIC or length > nbd.OPTION_MAX_BYTES:
            raise IntegrityError("NBD: not an option")
        return option, receive(self.connection, length)

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        send(self.connection, nbd.encode_option_reply(option, kind, data))

    def _find(self, name: str) -> DiskReader | None:
        return self._disks.get(name or next(iter(self._disks), ""))

    def _choose_by_name(self, data: bytes, *, no_zeroes: bool) -> Agreement:
        """The old way to choose, which has no answer that says no but to hang up."""
        disk = None if self._needs_tls else self._find(data.decode(errors="replace"))
        if disk is None:
            raise HungUpError("NBD: no such export")
        tail = b"" if no_zeroes else bytes(124)
        send(self.connection, nbd.EXPORT.pack(disk.size_bytes, self._flags()) + tail)
        return Agreement(disk, self._is_structured, has_status=False)

    def _answer(self, option: int, data: bytes) -> None:
        answers: dict[int, Callable[[int, bytes], None]] = {
            nbd.OPT_STARTTLS: self._start_tls,
            nbd.OPT_LIST: self._list,
            nbd.OPT_INFO: self._inform,
            nbd.OPT_GO: self._inform,
            nbd.OPT_STRUCTURED_REPLY: self._be_structured,
            nbd.OPT_LIST_META_CONTEXT: self._choose_contexts,
            nbd.OPT_SET_META_CONTEXT: self._choose_contexts,
        }
        if option not in answers:
            self._reply(option, nbd.REP_ERR_UNSUP)
        elif self._needs_tls and option != nbd.OPT_STARTTLS:
            self._reply(option, nbd.REP_ERR_TLS_REQD, b"this server speaks TLS only")
        else:
            try:
                answers[option](option, data)
            except IntegrityError as error:
                self._reply(option, nbd.REP_ERR_INVALID, str(error).encode())

    def _start_tls(self, option: int, data: bytes) -> None:
        if data:
            raise IntegrityError("NBD: STARTTLS carries data")
        if self._tls is None or not self._needs_tls:
            self._reply(option, nbd.REP_ERR_UNSUP)
            return
        self._reply(option, nbd.REP_ACK)
        self.connection = self._tls.wrap_socket(self.connection, server_side=True)
        self._needs_tls = self._is_structured = False

    def _list(self, option: int, data: bytes) -> None:
        if data:
            raise IntegrityError("NBD: LIST carries data")
        for name in self._disks:
            self._reply(option, nbd.REP_SERVER, nbd.encode_name(name))
        self._reply(option, nbd.REP_ACK)

    def _inform(self, option: int, data: bytes) -> None:
        name, _ = nbd.decode_name(data)
        disk = self._find(name)
        if disk is None:
            self._reply(option, nbd.REP_ERR_UNKNOWN, b"there is no such disk")
            return
        info = nbd.encode_export_info(disk.size_bytes, self._flags())
        self._reply(option, nbd.REP_INFO, info)
        self._reply(option, nbd.REP_INFO, nbd.encode_block_size_info(PREFERRED_BYTES))
        self._reply(option, nbd.REP_ACK)
        if option == nbd.OPT_GO:
            has_status = self._context_of is not None and self._find(self._context_of) is disk
            self._agreed = Agreement(disk, self._is_structured, has_status)

    def _flags(self) -> int:
        return _FLAGS | (nbd.SEND_DF if self._is_structured else 0)

    def _be_structured(self, option: int, data: bytes) -> None:
        if data:
            raise IntegrityError("NBD: STRUCTURED_REPLY carries data")
        self._is_structured = True
        self._reply(option, nbd.REP_ACK)

    def _choose_contexts(self, option: int, data: bytes) -> None:
        export, asked = nbd.decode_meta_query(data)
        if self._find(export) is None:
            self._reply(option, nbd.REP_ERR_UNKNOWN, b"there is no such disk")
            return
        is_choice = option == nbd.OPT_SET_META_CONTEXT
        if is_choice and not self._is_structured:
            raise IntegrityError("NBD: contexts need structured replies")
        lists_all = not is_choice and (not asked or "base:" in asked)
        found = nbd.BASE_ALLOCATION in asked or lists_all
        if is_choice:
            self._context_of = export if found else None
        if found:
            number = nbd.NUMBER.pack(CONTEXT_ID if is_choice else 0)
            self._reply(option, nbd.REP_META_CONTEXT, number + nbd.BASE_ALLOCATION.encode())
        self._reply(option, nbd.REP_ACK)
