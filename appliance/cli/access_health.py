"""Findings about who gets in: certificates that end, a recovery key that nobody has shown."""

from __future__ import annotations

from contextlib import suppress

from appliance.access.access import Access
from appliance.access.certificates import Certificates
from appliance.base.errors import HoldfastError
from appliance.catalog.access_file import FILE_NAME
from appliance.cli.session import Session
from appliance.formats.finding import Finding
from appliance.formats.names import parse_time
from appliance.keys import keyring


def judge_access(session: Session) -> list[Finding]:
    """What somebody should know; nothing where the box has not been set up to let anybody in."""
    if not (session.state / FILE_NAME).exists():
        return []
    with suppress(HoldfastError), Access(session.state, session.clock) as access:
        found = Certificates(session.state, session.clock, "box").findings()
        if session.has_store():
            made = parse_time(keyring.read_descriptor(session.state).created)
            found += access.steps().findings(session.clock.now(), made)
        return found
    return []
