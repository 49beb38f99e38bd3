"""The screen of a VM: bytes of RFB between a web socket and QEMU, unread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from appliance.base.errors import BusyError, HoldfastError
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_note import find_folder, read_vm

if TYPE_CHECKING:
    from appliance.api.route import Ask

_CONNECT_S = 5.0
_PIECE_BYTES = 1 << 16
_MESSAGE_MAX_BYTES = 1 << 20
_HEARTBEAT_S = 20.0
_LOOK_AGAIN_S = 15.0


@dataclass(frozen=True)
class Screen:
    """Where QEMU offers a screen: `HOST:PORT`, or the path of a socket."""

    place: str
    password: str

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises HoldfastError when QEMU does not answer."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                if self.place.startswith("/"):
                    return await asyncio.open_unix_connection(self.place)
                host, _, port = self.place.rpartition(":")
                return await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError, TimeoutError) as error:
            raise HoldfastError(
                "the screen does not answer: does the VM still run?", code="screen-silent"
            ) from error


class Screens:
    """Finds the screens of VMs."""

    def __init__(self, state: Path) -> None:
        self._runtime = Runtime(state)

    async def find(self, name: str) -> Screen:
        """Raises NotFoundError for no VM, BusyError for one without a screen now."""
        return await asyncio.to_thread(self._find, name)

    def _find(self, name: str) -> Screen:
        note = read_vm(find_folder(self._runtime, name))
        if note.guest is None:
            raise BusyError(f"VM '{name}' does not run: start it first", code="vm-stopped")
        return Screen(note.guest.vnc, note.guest.vnc_password)


async def bridge_screen(ask: Ask, screen: Screen) -> web.WebSocketResponse:
    """Carry bytes both ways until one side ends, or the caller may not look any more."""
    reader, writer = await screen.connect()
    socket = web.WebSocketResponse(
        protocols=("binary",), heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_MAX_BYTES
    )
    try:
        await socket.prepare(ask.request)
        tasks = [
            asyncio.ensure_future(work)
            for work in (_show(reader, socket), _type(socket, writer), _watch(ask))
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await socket.close()
    finally:
        writer.close()
    return socket


async def _show(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        await socket.send_bytes(piece)


async def _type(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    async for message in socket:
        if message.type != WSMsgType.BINARY:
            return
        writer.write(message.data)
        await writer.drain()


async def _watch(ask: Ask) -> None:
    while await ask.is_still_admitted() and not ask.parts.is_stopping():
        await asyncio.sleep(_LOOK_AGAIN_S)
