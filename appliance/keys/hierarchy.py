"""The master key and everything that is derived from it: docs/format/keys.md.

Owns the names of the derived keys. It never touches a file, and never shows a key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property

from appliance.base.errors import IntegrityError
from appliance.formats.keyfile import KEY_BYTES, STORE_ID_BYTES
from appliance.formats.point import HEADER_BYTES, SALT_BYTES, decode_header, encode_header
from appliance.formats.record import (
    RECORD_HEADER_BYTES,
    decode_record_header,
    encode_record_header,
)
from appliance.keys import cipher

_MACHINE_DIRECTORY_BYTES = 16


@dataclass(frozen=True)
class MasterKey:
    """The key of one store. Derived keys are made on first use; no key appears in its repr.

    Attributes:
        secret: 32 random bytes.
        store_id: the 16 bytes of the store's id.
    """

    secret: bytes = field(repr=False)
    store_id: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES or len(self.store_id) != STORE_ID_BYTES:
            raise ValueError("a master key has 32 bytes and a store id 16")

    @cached_property
    def chunk_id_key(self) -> bytes:
        """Names data chunks."""
        return self._derive(self.store_id, b"chunk id")

    @cached_property
    def page_id_key(self) -> bytes:
        """Names pages."""
        return self._derive(self.store_id, b"page id")

    @cached_property
    def cut_key(self) -> bytes:
        """Decides where data is cut into chunks."""
        return self._derive(self.store_id, b"cut")

    @cached_property
    def extent_tag_key(self) -> bytes:
        """Recognises unchanged extents."""
        return self._derive(self.store_id, b"extent tag")

    @cached_property
    def machine_key(self) -> bytes:
        """Hides the names of machines."""
        return self._derive(self.store_id, b"machine")

    def container_key(self, container_id: bytes) -> bytes:
        """Seals the one container with this 16-byte id."""
        return self._derive(container_id, b"container")

    def delta_key(self, container_id: bytes) -> bytes:
        """Seals the one container of deltas with this 16-byte id."""
        return self._derive(container_id, b"delta")

    @cached_property
    def sketch_key(self) -> bytes:
        """Decides what chunks are recognised by that resemble each other."""
        return self._derive(self.store_id, b"sketch")

    def machine_directory(self, machine: str) -> str:
        """The name of the directory in `points/` that holds the points of `machine`."""
        name = unicodedata.normalize("NFC", machine).encode()
        digest = hmac.digest(self.machine_key, name, hashlib.sha256)
        return digest[:_MACHINE_DIRECTORY_BYTES].hex()

    def seal_point(self, manifest: bytes) -> bytes:
        """The whole point file for an encoded manifest, under a fresh random salt."""
        header = encode_header(secrets.token_bytes(SALT_BYTES))
        return header + cipher.seal(self._point_key(header), manifest, header)

    def open_point(self, data: bytes) -> bytes:
        """The encoded manifest in a whole point file.

        Raises IntegrityError if the file is damaged or was sealed under another master key.
        """
        header = data[:HEADER_BYTES]
        try:
            return cipher.unseal(self._point_key(header), data[HEADER_BYTES:], header)
        except IntegrityError as error:
            raise IntegrityError(f"point: {str(error).removeprefix('point: ')}") from None

    def seal_record(self, place: str, plain: bytes) -> bytes:
        """The whole file of a record that will lie at `place`, under a fresh random salt."""
        header = encode_record_header(secrets.token_bytes(SALT_BYTES))
        return header + cipher.seal(self._record_key(header), plain, header + place.encode())

    def open_record(self, place: str, data: bytes) -> bytes:
        """What was sealed for `place`.

        Raises IntegrityError if the file is damaged, lay elsewhere, or is of another master key.
        """
        header = data[:RECORD_HEADER_BYTES]
        key = self._record_key(header)
        return cipher.unseal(key, data[RECORD_HEADER_BYTES:], header + place.encode())

    def _record_key(self, header: bytes) -> bytes:
        return self._derive(decode_record_header(header), b"record")

    def _point_key(self, header: bytes) -> bytes:
        return self._derive(decode_header(header), b"point")

    def _derive(self, salt: bytes, purpose: bytes) -> bytes:
        return cipher.derive_key(self.secret, salt, b"holdfast " + purpose + b" v1")
