"""The host's name, through hostnamed."""

from __future__ import annotations

import socket

from appliance.base.errors import UsageError
from appliance.formats.host_names import is_host_name
from appliance.host.host import Host, require

NAME_MAX = 64
"""HOST_NAME_MAX of Linux: gethostname(2)."""


def read_name() -> str:
    """What the host is called now."""
    return socket.gethostname()


def set_name(host: Host, name: str) -> None:
    """Call the host `name`, durably. Raises UsageError for what no host can be called."""
    wanted = name.strip().lower()
    if len(wanted) > NAME_MAX or not is_host_name(wanted) or wanted == "localhost":
        raise UsageError(
            f"'{name}' cannot be the name of a host: letters, digits and '-', "
            f"parts with dots between them, at most {NAME_MAX} characters"
        )
    require(host.find_obstacle())
    host.run("hostnamectl", "set-hostname", wanted)
