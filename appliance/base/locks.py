"""Advisory locks between processes that die with their owner.

flock locks belong to the open file, so the kernel drops them when the process ends, however it
ends. (POSIX record locks were rejected: closing any descriptor of the file drops them.)
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from appliance.base.durable import named_os_errors
from appliance.base.errors import BusyError


class FileLock:
    """A lock on a file, shared or exclusive, held from `__enter__` to `__exit__` or process end."""

    def __init__(
        self, path: Path, *, shared: bool = False, wait: bool = True, busy: str = ""
    ) -> None:
        self._path = path
        self._operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._wait = wait
        self._busy = busy or f"{path} is in use by another process: try again when it has ended"
        self._descriptor: int | None = None

    def __enter__(self) -> FileLock:
        """Take the lock. Raises BusyError if it is held elsewhere and waiting was not asked."""
        with named_os_errors(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, self._operation | (0 if self._wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            os.close(descriptor)
            raise BusyError(self._busy) from error
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_descriptor(descriptor: int) -> None:
    """Lock an open file exclusively until it is closed everywhere; waits."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock_descriptor(descriptor: int) -> bool:
    """Lock an open file exclusively if nobody holds it; says whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
