"""What resembles what, and chunks compressed against what they resemble (native/src/delta.c)."""

from __future__ import annotations

from ctypes import c_int64, create_string_buffer

from appliance.native.library import E_FULL, FEATURES, check, lib, required


class Delta:
    """Sketches and packs for one thread."""

    def __init__(self, key: bytes, level: int) -> None:
        """`key`: what sketches depend on, 32 bytes; `level`: of zstd."""
        self._handle = required(lib.hf_delta_new(key, level), "delta")

    def __del__(self) -> None:
        if getattr(self, "_handle", 0):
            lib.hf_delta_free(self._handle)

    def sketch(self, data: bytes) -> tuple[int, ...]:
        """Numbers of 64 bits, with sign; chunks that share one probably have much in common."""
        features = (c_int64 * FEATURES)()
        lib.hf_delta_sketch(self._handle, data, len(data), features)
        return tuple(features)

    def pack(self, data: bytes, base: bytes | None, most_bytes: int) -> bytes | None:
        """`data` compressed, with `base` as what went before; None if that takes more."""
        out = create_string_buffer(most_bytes)
        length = 0 if base is None else len(base)
        code = lib.hf_delta_pack(self._handle, base, length, data, len(data), out, most_bytes)
        return None if code == E_FULL else out.raw[: check(code, "delta")]
