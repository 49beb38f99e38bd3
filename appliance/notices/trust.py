"""Whose certificates are trusted: the box's authorities, or those a channel brings."""

from __future__ import annotations

import ssl

from appliance.base.errors import UsageError


def make_context(ca: str) -> ssl.SSLContext:
    """A client's context that verifies; `ca` in PEM instead of the box's. Raises UsageError."""
    try:
        return ssl.create_default_context(cadata=ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"these are no certificates in PEM: {error}") from error
