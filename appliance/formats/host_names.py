"""Names of hosts: what one may look like. It asks no resolver."""

from __future__ import annotations

import re

HOST_NAME_MAX = 253
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def is_host_name(name: str) -> bool:
    """Whether `name`, in lower case, can be a host's."""
    labels = name.split(".")
    is_right = len(name) <= HOST_NAME_MAX and all(map(_LABEL.fullmatch, labels))
    return is_right and not labels[-1].isdigit()
