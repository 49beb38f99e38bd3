"""The part of the NBD protocol that Holdfast speaks: docs/format/nbd.md.

Owns numbers and layouts of the fixed newstyle handshake, of requests and of both kinds of replies.
Never reads or writes a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from appliance.base.errors import IntegrityError

# Handshake.
GREETING = b"NBDMAGICIHAVEOPT"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x0003E889045565A9
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST = 1, 2, 3
OPT_STARTTLS, OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY = 5, 6, 7, 8
OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT = 9, 10
REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
REP_ERR = 1 << 31
REP_ERR_UNSUP, REP_ERR_INVALID = REP_ERR + 1, REP_ERR + 3
REP_ERR_TLS_REQD, REP_ERR_UNKNOWN, REP_ERR_TOO_BIG = REP_ERR + 5, REP_ERR + 6, REP_ERR + 9
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
# Of an export.
HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_WRITE_ZEROES = 1, 2, 4, 64
SEND_DF, CAN_MULTI_CONN = 128, 256
# Requests and replies.
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF
CMD_READ, CMD_WRITE, CMD_DISCONNECT, CMD_FLUSH = 0, 1, 2, 3
CMD_WRITE_ZEROES, CMD_BLOCK_STATUS = 6, 7
FLAG_NO_HOLE, FLAG_REQ_ONE = 2, 8
CHUNK_DONE = 1
CHUNK_NONE, CHUNK_DATA, CHUNK_HOLE, CHUNK_BLOCK_STATUS = 0, 1, 2, 5
CHUNK_ERROR_BIT = 1 << 15
CHUNK_ERROR = CHUNK_ERROR_BIT + 1
EPERM, EIO, EINVAL, ENOTSUP = 1, 5, 22, 95
# base:allocation: bit 0 is a hole, bit 1 reads as zeros.
BASE_ALLOCATION = "base:allocation"
STATE_HOLE_OF_ZEROS = 3

OPTION_MAX_BYTES = 64 << 10
REQUEST_MAX_BYTES = 32 << 20  # what every client may count on, says the protocol
STATUS_MAX_BYTES = 1 << 32  # one request for status covers less than this

REQUEST = struct.Struct(">IHHQQI")
SIMPLE_REPLY = struct.Struct(">IIQ")
CHUNK = struct.Struct(">IHHQI")
OPTION = struct.Struct(">8sII")
OPTION_REPLY = struct.Struct(">QIII")
EXTENT = struct.Struct(">II")
NUMBER = struct.Struct(">I")
OFFSET = struct.Struct(">Q")
EXPORT = struct.Struct(">QH")
ERROR = struct.Struct(">IH")
_EXPORT_INFO = struct.Struct(">HQH")
_BLOCK_SIZE_INFO = struct.Struct(">HIII")


class Request(NamedTuple):
    """What a client wants. `cookie` names it in the reply."""

    flags: int
    kind: int
    cookie: int
    offset: int
    length: int


class Status(NamedTuple):
    """So many bytes in one state of a metadata context."""

    length: int
    state: int


def decode_request(data: bytes) -> Request:
    """The request in 28 bytes. Raises IntegrityError if it is none."""
    magic, flags, kind, cookie, offset, length = REQUEST.unpack(data)
    if magic != REQUEST_MAGIC:
        raise IntegrityError("NBD: not a request")
    return Request(flags, kind, cookie, offset, length)


def encode_request(request: Request) -> bytes:
    """The 28 bytes of a request."""
    return REQUEST.pack(REQUEST_MAGIC, *request)


def encode_option(option: int, data: bytes = b"") -> bytes:
    """An option of the handshake, from the client."""
    return OPTION.pack(OPTION_MAGIC, option, len(data)) + data


def encode_option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """The server's answer to an option."""
    return OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def encode_chunk(flags: int, kind: int, cookie: int, payload: bytes = b"") -> bytes:
    """A structured reply chunk."""
    return CHUNK.pack(CHUNK_MAGIC, flags, kind, cookie, len(payload)) + payload


def encode_name(name: str) -> bytes:
    """A name behind its length."""
    data = name.encode()
    return NUMBER.pack(len(data)) + data


def encode_export_info(size_bytes: int, flags: int) -> bytes:
    """What NBD_INFO_EXPORT tells."""
    return _EXPORT_INFO.pack(INFO_EXPORT, size_bytes, flags)


def encode_block_size_info(preferred_bytes: int) -> bytes:
    """What NBD_INFO_BLOCK_SIZE tells: single bytes may be read."""
    return _BLOCK_SIZE_INFO.pack(INFO_BLOCK_SIZE, 1, preferred_bytes, REQUEST_MAX_BYTES)


def decode_export_info(data: bytes) -> tuple[int, int] | None:
    """(size in bytes, flags) of NBD_INFO_EXPORT; None for any other kind of information."""
    if len(data) < 2 or int.from_bytes(data[:2], "big") != INFO_EXPORT:
        return None
    if len(data) != _EXPORT_INFO.size:
        raise IntegrityError("NBD: a description of an export has the wrong length")
    _, size_bytes, flags = _EXPORT_INFO.unpack(data)
    return size_bytes, flags


def decode_name(data: bytes) -> tuple[str, bytes]:
    """(name, what follows it). Raises IntegrityError for garbage."""
    if len(data) < NUMBER.size:
        raise IntegrityError("NBD: a name is cut short")
    length = NUMBER.unpack_from(data)[0]
    rest = data[NUMBER.size :]
    if length > len(rest):
        raise IntegrityError("NBD: a name is longer than its option")
    try:
        return rest[:length].decode(), rest[length:]
    except UnicodeDecodeError as error:
        raise IntegrityError("NBD: a name is not UTF-8") from error


def encode_meta_query(export: str, contexts: Sequence[str]) -> bytes:
    """The data of SET_META_CONTEXT."""
    queries = b"".join(encode_name(context) for context in contexts)
    return encode_name(export) + NUMBER.pack(len(contexts)) + queries


def decode_meta_query(data: bytes) -> tuple[str, list[str]]:
    """(export, contexts asked for). Raises IntegrityError for garbage."""
    export, rest = decode_name(data)
    if len(rest) < NUMBER.size:
        raise IntegrityError("NBD: a list of contexts is cut short")
    count, rest = NUMBER.unpack_from(rest)[0], rest[NUMBER.size :]
    contexts = []
    for _ in range(min(count, OPTION_MAX_BYTES)):
        context, rest = decode_name(rest)
        contexts.append(context)
    if rest:
        raise IntegrityError("NBD: bytes behind a list of contexts")
    return export, contexts


def encode_statuses(context_id: int, statuses: Sequence[Status]) -> bytes:
    """The payload of a block status chunk."""
    return NUMBER.pack(context_id) + b"".join(EXTENT.pack(*status) for status in statuses)


def decode_statuses(payload: bytes) -> tuple[int, list[Status]]:
    """(context id, states in order). Raises IntegrityError for garbage."""
    body = payload[NUMBER.size :]
    if len(payload) < NUMBER.size + EXTENT.size or len(body) % EXTENT.size:
        raise IntegrityError("NBD: a list of states has the wrong length")
    statuses = [Status(*pair) for pair in EXTENT.iter_unpack(body)]
    if not all(status.length for status in statuses):
        raise IntegrityError("NBD: a state of no bytes")
    return NUMBER.unpack_from(payload)[0], statuses
