"""A line between two ports of loopback: so fast, so long, and cut now and then.

    python -m tests.vault.line TARGET_PORT [--mbit N] [--delay-ms N] [--cut-share F] [--port N]

runs one in a process of its own (for benches, so that it does not share the interpreter with what
is measured); tests use `Line` in a thread. Delay is one way; the round trip is twice that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Sequence

from tests.vault.server_thread import ServerThread

_PIECE_BYTES = 128 << 10
_CUT_EVERY_S = 0.1
_WINDOW_BYTES = 16 << 20  # most in flight per connection and direction


class _Rate:
    """Shares a rate between all who send in one direction."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self.bytes_per_s = bytes_per_s
        self.passed_bytes = 0
        self._free_s = 0.0

    async def spend(self, size_bytes: int) -> None:
        self.passed_bytes += size_bytes
        if self.bytes_per_s is None:
            return
        now_s = asyncio.get_running_loop().time()
        self._free_s = max(self._free_s, now_s) + size_bytes / self.bytes_per_s
        await asyncio.sleep(self._free_s - now_s)


class Line(ServerThread):
    """Accepts on `port` and passes bytes to `target_port` and back. A context manager."""

    def __init__(
        self,
        target_port: int,
        *,
        bytes_per_s: float | None = None,
        delay_s: float = 0.0,
        cut_share_per_s: float = 0.0,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        """`cut_share_per_s` of the connections are reset each second."""
        super().__init__()
        self.port = port
        self.delay_s = delay_s
        self.cut_share_per_s = cut_share_per_s
        self.is_up = True
        self.cuts = 0
        self.accepted = 0
        self._target_port = target_port
        self._up, self._down = _Rate(bytes_per_s), _Rate(bytes_per_s)
        self._chance = random.Random(seed)
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    @property
    def sent_bytes(self) -> int:
        """From the client to the server, so far."""
        return self._up.passed_bytes

    @property
    def received_bytes(self) -> int:
        """From the server to the client, so far."""
        return self._down.passed_bytes

    def set_rate(self, bytes_per_s: float | None) -> None:
        """From now on as fast as this, each direction on its own."""
        self._up.bytes_per_s = self._down.bytes_per_s = bytes_per_s

    def cut(self) -> None:
        """Reset every connection, once."""
        self.call(self._cut_some, 1.0)

    async def _serve(self, ready: threading.Event, ending: asyncio.Event) -> None:
        server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=2 * _PIECE_BYTES
        )
        self.port = server.sockets[0].getsockname()[1]
        cutter = asyncio.create_task(self._cut_now_and_then())
        ready.set()
        await ending.wait()
        server.close()
        tasks = [cutter, *self._open]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task
        self._open[task] = (writer,)
        try:
            await self._join(task, reader, writer)
        except (OSError, asyncio.CancelledError):
            for end in self._open.pop(task):
                reset_connection(end.transport)
        else:
            for end in self._open.pop(task):
                end.close()

    async def _join(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if not self.is_up:
            raise ConnectionResetError
        await asyncio.sleep(2 * self.delay_s)  # the handshake's round trip
        there, back = await asyncio.open_connection(
            "127.0.0.1", self._target_port, limit=2 * _PIECE_BYTES
        )
        self._open[task] = (writer, back)
        pumps = [
            asyncio.create_task(self._pump(reader, back, self._up)),
            asyncio.create_task(self._pump(there, writer, self._down)),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, rate: _Rate
    ) -> None:
        """Bytes arrive `delay_s` after they were let through."""
        loop = asyncio.get_running_loop()
        flying: deque[tuple[float, bytes]] = deque()
        changed = asyncio.Event()
        flying_bytes = 0

        async def deliver() -> None:
            nonlocal flying_bytes
            while True:
                while not flying:
                    changed.clear()
                    await changed.wait()
                due_s, piece = flying.popleft()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
                flying_bytes -= len(piece)
                changed.set()
                if not piece:
                    target.write_eof()
                    return
                target.write(piece)
                await target.drain()

        delivery = asyncio.create_task(deliver())
        try:
            while not delivery.done():
                piece = await source.read(_PIECE_BYTES)
                await rate.spend(len(piece))
                flying.append((loop.time() + self.delay_s, piece))
                flying_bytes += len(piece)
                changed.set()
                if not piece:
                    break
                while flying_bytes > _WINDOW_BYTES and not delivery.done():
                    await asyncio.sleep(0.001)
            await delivery
        finally:
            delivery.cancel()

    async def _cut_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_CUT_EVERY_S)
            self._cut_some(self.cut_share_per_s * _CUT_EVERY_S)

    def _cut_some(self, share: float) -> None:
        for ends in list(self._open.values()):
            # What was cut a moment ago may still be on its way out.
            if not ends[0].is_closing() and self._chance.random() < share:
                self.cuts += 1
                for end in ends:
                    reset_connection(end.transport)


def reset_connection(transport: asyncio.BaseTransport) -> None:
    """End a connection with a reset, as a line that breaks does; a plain close would be polite."""
    taken = transport.get_extra_info("socket")
    if taken is not None:
        with contextlib.suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.WriteTransport)
    transport.abort()


def main(arguments: Sequence[str]) -> int:
    """Run a line until standard input ends; the first line printed is its port."""
    parser = argparse.ArgumentParser(prog="line", description="A line with a rate and a delay.")
    parser.add_argument("target_port", type=int)
    parser.add_argument("--mbit", type=float, help="megabits per second, each way")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="one way")
    parser.add_argument("--cut-share", type=float, default=0.0, help="of connections per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    line = Line(
        options.target_port,
        bytes_per_s=options.mbit * 125_000 if options.mbit else None,
        delay_s=options.delay_ms / 1000,
        cut_share_per_s=options.cut_share,
        seed=options.seed,
        port=options.port,
    )
    with line:
        print(line.port, flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
