"""Where Debian packages come from: the mirror and proxy that this host's own apt uses.

Owns: asking apt. Never does: naming a mirror itself, so the checkout works behind any of them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from appliance.base.errors import HoldfastError
from appliance.base.process import run

SUITE = "bookworm"


@dataclass(frozen=True)
class Mirror:
    """A Debian archive. `proxy` is an address for plain HTTP, or empty."""

    url: str
    proxy: str


def find_mirror() -> Mirror:
    """The Debian archive of this host's apt, whatever suite the host itself follows.

    Raises HoldfastError if apt knows none.
    """
    listing = run(["apt-get", "indextargets", "Created-By: Packages", "Component: main"])
    targets = [_parse_stanza(stanza) for stanza in listing.split("\n\n") if stanza.strip()]
    # Origin and Label are known only after the first 'apt-get update'; the path is always.
    candidates = [
        target
        for target in targets
        if target.get("Label", "Debian") == "Debian"
        and target.get("Repo-URI", "").rstrip("/").endswith("debian")
    ]
    candidates.sort(key=lambda target: target.get("Release", "") != SUITE)
    if not candidates:
        raise HoldfastError("apt knows no Debian archive: check /etc/apt and run 'apt-get update'")
    return Mirror(candidates[0]["Repo-URI"].rstrip("/"), _find_proxy())


def _parse_stanza(stanza: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in stanza.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _find_proxy() -> str:
    dump = run(["apt-config", "shell", "PROXY", "Acquire::http::Proxy"])
    values = [word.partition("=")[2] for word in shlex.split(dump)]
    return values[0] if values and values[0] != "DIRECT" else ""
