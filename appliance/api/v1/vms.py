"""/vms: recovered machines that run, and their screens."""

from __future__ import annotations

import msgspec
from aiohttp import web

from appliance.api.route import Ask, Count, Known, Reply, Route
from appliance.api.screen import bridge_screen


class Vm(msgspec.Struct, kw_only=True):
    """A recovered machine. `state` as `holdfast vms` says it; `warning` says what will pause it."""

    name: str
    point: str
    state: str
    overlay_bytes: Count
    overlay_limit_bytes: Count
    warning: str | None
    is_wanted: bool
    memory_mib: Count
    cpus: Count
    firmware: str
    bus: str
    network: str
    forwarded: str | None
    ready_s: float | None
    accelerator: str
    accelerator_reason: str
    has_screen: bool


class ScreenKey(msgspec.Struct, kw_only=True):
    """What the guest's screen asks for (RFB's own password)."""

    password: str


async def list_vms(ask: Ask) -> Reply:
    """All VMs. Sockets, paths and passwords are left out."""
    known = ask.parts.snapshots.known("vms", "vms")
    hidden = ("vnc", "vnc_password", "serial", "serial_log", "lives_at")
    return Reply(
        {
            **known,
            "items": [
                {
                    **{name: value for name, value in vm.items() if name not in hidden},
                    "has_screen": bool(vm.get("vnc")),
                }
                for vm in known["items"]
            ],
        }
    )


async def get_screen_key(ask: Ask) -> Reply:
    """The password that `screen` asks for."""
    screen = await ask.parts.screens.find(ask.name("vm"))
    return Reply(ScreenKey(password=screen.password))


async def open_screen(ask: Ask) -> web.StreamResponse:
    """Bytes of the RFB protocol, both ways."""
    return await bridge_screen(ask, await ask.parts.screens.find(ask.name("vm")))


ROUTES = (
    Route(
        *("GET", "/vms", "Recovered machines that run or may run again", list_vms, "viewer"),
        answer=Known[Vm],
    ),
    Route(
        *("GET", "/vms/{vm}/screen/key", "What its screen asks for", get_screen_key, "operator"),
        answer=ScreenKey,
        is_secret=True,
    ),
    Route(
        "GET",
        "/vms/{vm}/screen",
        "Its screen and keyboard: a web socket with the bytes of RFB",
        open_screen,
        "operator",
        status=101,
        content_type="",
        is_stream=True,
    ),
)
