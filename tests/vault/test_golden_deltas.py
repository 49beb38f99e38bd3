"""A container of deltas that was made once, read from its page and by the product."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.native import KIND_DELTA, Reader
from appliance.store.containers import read_directory
from tests.command import ROOT
from tests.store.stores import KEYS

GOLDEN = ROOT / "tests" / "golden" / "deltas.container"
NAME = bytes.fromhex("3e90f363e82cc7b61f49eb7a84157650fe46e7a6af62a39a0c686cdde365e77b")
# SHA-256 of the chunk that is the base, and of the one that is a delta.
BASE = "68cf11aeb57733e0449122eca3a2c8d1318032e1d4252128d37c430eabd3cc55"
CHUNK = "93f4f7e8a05ad033ff3f638224c46ad85e22567a8aff9763838b8af6c75977a2"


def test_the_golden_container_is_what_its_page_says() -> None:
    """docs/format/delta.md and container.md, without the product's code."""
    data = GOLDEN.read_bytes()
    assert hashlib.sha256(data).digest() == NAME
    header = data[:64]
    assert header[:12] == b"HFCONT01\x01\x00\x03\x00"
    key = HKDF(SHA256(), 32, header[16:32], b"holdfast delta v1").derive(KEYS.secret)
    cipher = AESGCM(key)
    end, length, magic = struct.unpack("<QQ8s8x", data[-32:])
    assert magic == b"HFCEND01"
    place = header + b"HFDIR001" + struct.pack("<Q", end)
    plain = cipher.decrypt(b"\xff" * 12, data[end : end + length], place)
    frames, chunks, bases, extra = struct.unpack_from("<IIII", plain)
    assert (frames, chunks, bases) == (2, 2, 1)
    assert len(plain) == 16 + 24 * frames + 36 * chunks + 32 * bases + extra
    ids_at = 16 + 24 * frames
    ids = [plain[ids_at + 32 * i : ids_at + 32 * i + 32] for i in range(chunks)]
    lengths = struct.unpack_from(f"<{chunks}I", plain, ids_at + 32 * chunks)
    base_id = plain[ids_at + 36 * chunks :][:32]
    assert base_id == ids[0]
    opened: list[bytes] = []
    for number, entry in enumerate(struct.iter_unpack("<IIIIHBBI", plain[16:ids_at])):
        offset, stored, size, first, count, codec, flags, base = entry
        assert (first, count, flags) == (number, 1, 0)
        assert (codec, base) == ((1, 0xFFFFFFFF), (2, 0))[number]
        associated = b"HFFRAME1" + header[16:32] + bytes([3, codec, 0, 0])
        associated += struct.pack("<III", number, offset, size)
        associated += base_id if codec == 2 else bytes(32)
        associated += ids[number] + struct.pack("<I", lengths[number])
        nonce = struct.pack("<I8x", number)
        packed = cipher.decrypt(nonce, data[offset : offset + stored], associated)
        prefix = None
        if codec == 2:
            raw = zstandard.DICT_TYPE_RAWCONTENT
            prefix = zstandard.ZstdCompressionDict(opened[0], dict_type=raw)
        opened.append(zstandard.ZstdDecompressor(dict_data=prefix).decompress(packed))
        assert len(opened[number]) == size == lengths[number]
        assert hmac.digest(KEYS.chunk_id_key, opened[number], "sha256") == ids[number]
    assert [hashlib.sha256(chunk).hexdigest() for chunk in opened] == [BASE, CHUNK]


def test_the_golden_container_is_read() -> None:
    descriptor = os.open(GOLDEN, os.O_RDONLY)
    try:
        directory = read_directory(descriptor, GOLDEN.stat().st_size, KEYS, NAME)
        assert directory.kind == KIND_DELTA
        reader, ids = Reader(), directory.ids()
        assert directory.bases() == {ids[0]}
        base = reader.read_chunk(directory, descriptor, ids[0], 0)
        location = directory.locate(ids[1], 1)
        assert location is not None
        assert directory.base(location.frame) == ids[0]
        chunk = reader.read_delta(directory, descriptor, location.frame, location.length, base)
    finally:
        os.close(descriptor)
    assert [hashlib.sha256(one).hexdigest() for one in (base, chunk)] == [BASE, CHUNK]
