"""Short work in processes of their own, on behalf of one request.

Owns how many of them run at once and how long anybody waits for one: whatever hangs, hangs there.
What is long is a job instead (`appliance.jobs`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from appliance.access.browser_rules import FOREIGN_HEADERS
from appliance.base.errors import (
    AccessError,
    BusyError,
    HoldfastError,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
    UsageError,
)
from appliance.base.process import Program
from appliance.jobs.secrets import SecretFiles

if TYPE_CHECKING:
    from appliance.api.route import Ask
    from appliance.jobs.verb import Verb

TIMEOUT_S = 60.0
AT_ONCE = 4
DOWNLOADS_AT_ONCE = 4
_QUEUE_S = 10.0
_OUTPUT_MAX_BYTES = 64 << 20
_PIECE_BYTES = 1 << 18
_LISTINGS_KEPT = 8
_LISTING_MAX = 100_000
_ERRORS: Mapping[int, type[HoldfastError]] = {
    2: UsageError,
    4: IntegrityError,
    5: NotFoundError,
    6: BusyError,
    7: NoSpaceError,
    8: AccessError,
}
_GOOD = (0, 3)
_SAID = re.compile(r"holdfast: \[([a-z0-9-]{1,40})\] (.*)", re.DOTALL)
Argv = Callable[[Sequence[str]], list[str]]


class Overloaded(HoldfastError):
    """Too much is asked at once."""

    status = 503
    retry_after_s = 5.0


class Workers:
    """Runs the command. For the event loop only."""

    def __init__(self, argv: Argv, secrets: SecretFiles) -> None:
        """`argv` puts the words of a command behind what starts it on this state."""
        self._argv = argv
        self._secrets = secrets
        self._seats = asyncio.Semaphore(AT_ONCE)
        self._downloads = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
        self._listings: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    async def ask(self, words: Sequence[str], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """What a command prints with --json. Raises the error that it ended with."""
        async with _seat(self._seats):
            return await self.look(words, timeout_s)

    async def look(self, words: Sequence[str], timeout_s: float) -> dict[str, Any]:
        """As `ask`, for nobody who waits: takes no seat of those who do."""
        code, out, said = await self._run(words, timeout_s)
        if code not in _GOOD and not out:
            raise error_of(code, said)
        return _parse(out)

    async def run(self, verb: Verb, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A verb to its end, as `Ran` describes it."""
        async with _seat(self._seats), self._with_secrets(verb, arguments) as given:
            code, out, said = await self._run(verb.argv(given), TIMEOUT_S)
        return {
            "verb": verb.name,
            "exit_code": code,
            "error": None if code in _GOOD else split_error(said)[1],
            "error_code": None if code in _GOOD else split_error(said)[0],
            "result": _parse(out) if out else None,
        }

    async def _run(self, words: Sequence[str], timeout_s: float) -> tuple[int, bytes, str]:
        worker = await Program.start(self._argv(["--json", *words]))
        try:
            async with asyncio.timeout(timeout_s):
                out, code = await worker.read_all(_OUTPUT_MAX_BYTES), await worker.wait()
        except TimeoutError as error:
            raise Overloaded(f"no answer within {timeout_s:.0f} s: try again later") from error
        finally:
            await worker.close()
        return code, out, worker.last_words()

    @asynccontextmanager
    async def _with_secrets(
        self, verb: Verb, arguments: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """The arguments, with private files in place of contents that are secret."""
        given = dict(arguments)
        for parameter in verb.secrets():
            parameter.check(given.get(parameter.name, [] if parameter.is_list else ""))
        named = {one.name: one for one in verb.secrets() if given.get(one.name)}
        contents = {
            f"{name}.{number}" if one.is_list else name: text
            for name, one in named.items()
            for number, text in enumerate(given[name] if one.is_list else [given[name]])
        }
        paths = await asyncio.to_thread(self._secrets.keep, contents, None)
        try:
            for name, one in named.items():
                found = [path for key, path in paths.items() if key.split(".")[0] == name]
                given[name] = found if one.is_list else found[0]
            yield given
        finally:
            for path in paths.values():
                await asyncio.to_thread(self._secrets.drop, path)

    @asynccontextmanager
    async def secret_folder(self, contents: Mapping[str, str]) -> AsyncIterator[Path]:
        """A private folder with these files, gone after the block."""
        paths = await asyncio.to_thread(self._secrets.keep, {"mark": "", **contents}, None)
        try:
            yield Path(paths["mark"]).parent
        finally:
            await asyncio.to_thread(self._secrets.drop, paths["mark"])

    async def list_files(self, point: str, path: str) -> dict[str, Any]:
        """A directory of a point, which never changes: the last few are remembered."""
        key = (point, path)
        if key not in self._listings:
            words = ["ls", f"--limit={_LISTING_MAX}", "--", point, path]
            self._listings[key] = await self.ask(words)
        self._listings.move_to_end(key)
        listing = self._listings[key]
        while len(self._listings) > _LISTINGS_KEPT:
            self._listings.popitem(last=False)
        return listing

    async def download(
        self, ask: Ask, words: Sequence[str], name: str, content_type: str
    ) -> web.StreamResponse:
        """Send what a command writes, as it writes it.

        What fails before its first byte is a problem; later, the connection is cut, so that nobody
        takes a part for the whole.
        """
        async with _seat(self._downloads):
            worker = await Program.start(self._argv(words))
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    piece = await worker.read(_PIECE_BYTES)
                    code = None if piece else await worker.wait()
                if code is not None and code not in _GOOD:
                    raise error_of(code, worker.last_words())
                response = web.StreamResponse(headers=_file_headers(name, content_type))
                await response.prepare(ask.request)
                while piece:
                    await response.write(piece)
                    piece = await worker.read(_PIECE_BYTES)
                if await worker.wait() not in _GOOD:
                    if ask.request.transport is not None:
                        ask.request.transport.abort()
                    return response
                await response.write_eof()
            except TimeoutError as error:
                raise Overloaded("the store does not answer: try again later") from error
            else:
                return response
            finally:
                await worker.close()

    async def stream(
        self, ask: Ask, verb: Verb, arguments: Mapping[str, Any]
    ) -> web.StreamResponse:
        """A verb that gives bytes."""
        return await self.download(ask, verb.argv(arguments), verb.name, "application/octet-stream")


@asynccontextmanager
async def _seat(seats: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_QUEUE_S):
            await seats.acquire()
    except TimeoutError as error:
        raise Overloaded("too much is asked at once: try again in a moment") from error
    try:
        yield
    finally:
        seats.release()


def error_of(code: int, said: str) -> HoldfastError:
    """The error that a command ended with, out of its exit code and its last words."""
    name, text = split_error(said)
    return _ERRORS.get(code, HoldfastError)(text or f"exit code {code}", code=name or "")


def split_error(said: str) -> tuple[str | None, str]:
    """The code and the line of an error, as the console writes both for programs."""
    found = _SAID.fullmatch(said)
    return (found[1], found[2]) if found else (None, said.removeprefix("holdfast: "))


def _parse(out: bytes) -> dict[str, Any]:
    try:
        value = json.loads(out)
    except (ValueError, RecursionError) as error:
        raise HoldfastError("a worker gave no JSON: the log of the box says more") from error
    return value if isinstance(value, dict) else {"value": value}


def _file_headers(name: str, content_type: str) -> dict[str, str]:
    """Names in a backup are foreign text: RFC 6266's encoded form takes all of them."""
    encoded = quote(name.encode("utf-8", "surrogateescape"), safe="")
    return {
        **FOREIGN_HEADERS,
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; filename=\"download\"; filename*=UTF-8''{encoded}",
    }
