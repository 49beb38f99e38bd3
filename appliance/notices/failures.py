"""What an error of a connection is called in a notice's log: one short line for a person."""

from __future__ import annotations

from appliance.base.text import printable

REASON_MAX_CHARACTERS = 300


def describe_failure(error: Exception) -> str:
    """The system's words without its number, else the error's own, else its kind."""
    said = getattr(error, "strerror", "") or str(error)
    return printable(said or type(error).__name__)[:REASON_MAX_CHARACTERS]
