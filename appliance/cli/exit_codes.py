"""What the process says with its exit code. A test holds this map and the error tree together."""

from __future__ import annotations

from appliance.base import errors

DONE = 0
FAILED = 1
DONE_WITH_GAPS = 3

EXIT_CODES: dict[type[errors.HoldfastError], int] = {
    errors.HoldfastError: FAILED,
    errors.UsageError: 2,
    errors.IntegrityError: 4,
    errors.NotFoundError: 5,
    errors.BusyError: 6,
    errors.NoSpaceError: 7,
    errors.AccessError: 8,
}


def exit_code(error: errors.HoldfastError) -> int:
    """The exit code for an error: that of its nearest listed class, or 128 + signal."""
    if isinstance(error, errors.Cancelled):
        return 128 + error.signal_number
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
