"""Row 1: the one door to the C library (`native/`). Thin, typed, without policy.

Every call that may take long runs without the interpreter's lock. Objects free their C side when
they are closed or collected. Errors of the library arrive as the error tree.
"""

from appliance.native.delta import Delta
from appliance.native.index import Index
from appliance.native.library import (
    CHUNK_MAX_BYTES,
    CONTAINER_MAX_BYTES,
    EXTENT_BYTES,
    FRAME_MAX_BYTES,
    HEADER_BYTES,
    KIND_DATA,
    KIND_DELTA,
    KIND_PAGE,
    TRAILER_BYTES,
    confine_process,
    kernels,
)
from appliance.native.reading import Directory, Location, Reader, ReadItem
from appliance.native.writing import Batch, ExtentResult, Ingester, Ref, Stats, Writer, cut

__all__ = [
    "CHUNK_MAX_BYTES",
    "CONTAINER_MAX_BYTES",
    "EXTENT_BYTES",
    "FRAME_MAX_BYTES",
    "HEADER_BYTES",
    "KIND_DATA",
    "KIND_DELTA",
    "KIND_PAGE",
    "TRAILER_BYTES",
    "Batch",
    "Delta",
    "Directory",
    "ExtentResult",
    "Index",
    "Ingester",
    "Location",
    "ReadItem",
    "Reader",
    "Ref",
    "Stats",
    "Writer",
    "confine_process",
    "cut",
    "kernels",
]
