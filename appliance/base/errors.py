"""The one error tree.

    HoldfastError            exit 1   something failed; the message says what and the way out
    +-- UsageError           exit 2   the request itself is wrong
    +-- IntegrityError       exit 4   bytes are not what was written
    +-- NotFoundError        exit 5   the named thing does not exist
    +-- BusyError            exit 6   somebody else holds what is needed
    +-- NoSpaceError         exit 7   the disk is full
    +-- AccessError          exit 8   wrong key, locked box, or no permission
    +-- Cancelled            exit 130 or 143, by signal

Exit 0 is success and exit 3 is success with named gaps; neither is an error.
Messages are one line, name the thing, and end with the way out where there is one. Beside the line
an error has a code, which never changes and is what pages know it by: that of its class, or a
closer one that whoever raises it gives.
Low rows raise; only the command line turns an error into an exit code (`appliance.cli.exit_codes`).
"""

from __future__ import annotations

import re
import signal


class HoldfastError(Exception):
    """Something failed. The text is one line meant for a person, `code` a word for programs."""

    def __init__(self, text: str = "", *, code: str = "") -> None:
        super().__init__(text)
        self.code = code or code_of(type(self))


def code_of(kind: type[HoldfastError]) -> str:
    """The code of a class.

    >>> code_of(NotFoundError), code_of(HoldfastError)
    ('not-found', 'failed')
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__.strip("_").removesuffix("Error"))
    return "failed" if kind is HoldfastError else name.lower()


class UsageError(HoldfastError):
    """The request is wrong: a bad name, a missing option, a source that cannot be one."""


class IntegrityError(HoldfastError):
    """Bytes do not authenticate, do not parse, or are missing although something refers to them."""


class NotFoundError(HoldfastError):
    """The named machine, point, disk, VM, file or store does not exist."""


class BusyError(HoldfastError):
    """The thing is in use by another process or VM."""


class NoSpaceError(HoldfastError):
    """A write failed because the filesystem is full."""


class AccessError(HoldfastError):
    """Wrong key or passphrase, a locked box, or missing permission."""


class Cancelled(HoldfastError):
    """The person or the system asked to stop. Nothing half-made remains visible."""

    def __init__(self, signal_number: int = signal.SIGINT) -> None:
        super().__init__("cancelled")
        self.signal_number = signal_number
