"""A volume as the file that the C reader of NTFS wants."""

from __future__ import annotations

import os

from appliance.browse.blocks import Volume


class VolumeFile:
    """Reads a volume like a file. Damage is an OSError to the C library, which hands it on."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._at = 0

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes."""
        rest = max(0, self._volume.size_bytes - self._at)
        count = rest if size is None or size < 0 else min(size, rest)
        data = self._volume.read(self._at, count)
        self._at += count
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._volume.size_bytes}
        self._at = max(0, base[whence] + offset)
        return self._at

    def tell(self) -> int:
        """Where we are."""
        return self._at

    def get_offset(self) -> int:
        """Where we are."""
        return self._at

    def get_size(self) -> int:
        """How large it is."""
        return self._volume.size_bytes
