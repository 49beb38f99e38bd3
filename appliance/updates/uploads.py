"""The file that somebody uploads: bounded, one at a time, durable, and nothing but a file.

Owns where it lies until it is installed. Nothing of it is read here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.base.durable import (
    make_directory,
    named_os_errors,
    open_durably,
    remove_temporaries,
)
from appliance.base.errors import NoSpaceError, UsageError
from appliance.base.locks import FileLock
from appliance.base.text import size
from appliance.formats.update import HEADER_MAX_BYTES, PAYLOAD_MAX_BYTES
from appliance.updates.releases import SPARE_BYTES, Releases

UPLOAD_MAX_BYTES = PAYLOAD_MAX_BYTES + 2 * HEADER_MAX_BYTES
_BUSY = "another update is being uploaded: try again when it is through"


@contextmanager
def receive_upload(releases: Releases, size_bytes: int) -> Iterator[int]:
    """Give a descriptor for `size_bytes`; when the block ends well, they are the uploaded file.

    Raises UsageError if they are too many, NoSpaceError if they do not fit, BusyError while
    somebody else uploads. When the block raises, the file of before is still there.
    """
    if not 0 < size_bytes <= UPLOAD_MAX_BYTES:
        raise UsageError(f"an update has at most {size(UPLOAD_MAX_BYTES)}")
    folder = releases.uploaded.parent
    make_directory(folder)
    with FileLock(folder / "lock", wait=False, busy=_BUSY):
        remove_temporaries(folder)
        with named_os_errors(folder):
            free = shutil.disk_usage(folder).free
        if free < size_bytes + SPARE_BYTES:
            raise NoSpaceError(f"{folder} has {size(free)} free, the update has {size(size_bytes)}")
        with open_durably(releases.uploaded) as descriptor:
            yield descriptor
