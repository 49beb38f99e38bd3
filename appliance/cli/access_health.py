"""Findings about the box itself: who gets in, its certificates and keys, its releases."""

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
from appliance.updates.findings import judge_releases
from appliance.updates.releases import Releases, find_root


def judge_own_releases(session: Session) -> list[Finding]:
    """An update that undid itself; nothing in a checkout."""
    root = find_root()
    return [] if root is None else judge_releases(Releases(root, session.clock))


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
