"""Answers to writes, kept for a day by their Idempotency-Key: asking twice is asking once.

Owns which requests are the same. Secrets are not kept: a repetition of such a request is told that
it was done. While the first one is being answered, a second one is told to wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import msgspec
from aiohttp import web

from appliance.api.problem import describe
from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog.answer_file import AnswerFile, KeptAnswer

HEADER = "Idempotency-Key"
KEPT = timedelta(days=1)
_KEY = re.compile(r"[!-~]{1,128}")
_SHOWN = ("Location", "Content-Type")
_REFUSED = 400  # nothing was done: asking again, confirmed or corrected, is a new question


class Answers:
    """The answers of the last day. For the event loop; the file is used in threads."""

    def __init__(self, file: AnswerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._begun: set[str] = set()

    async def once(
        self,
        request: web.Request,
        caller: str,
        data: bytes,
        answer: Callable[[], Awaitable[web.StreamResponse]],
        is_secret: bool,
    ) -> web.StreamResponse:
        """What `answer` gives; or what it gave, if this request was answered before."""
        key = request.headers.get(HEADER)
        if key is None:
            return await answer()
        if not _KEY.fullmatch(key):
            return describe(400, "idempotency-key", f"{HEADER} has 1 to 128 visible characters")
        place = hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()
        digest = hashlib.sha256(f"{request.method} {request.path_qs}\0".encode() + data).hexdigest()
        if place in self._begun:
            return describe(
                409, "in-progress", "the same request is being answered", retry_after_s=1
            )
        self._begun.add(place)
        try:
            now_s = self._clock.now().timestamp()
            since_s = now_s - KEPT.total_seconds()
            known = await asyncio.to_thread(self._file.find, place, since_s)
            if known is not None:
                return _repeat(known, digest)
            made = await answer()
            if isinstance(made, web.Response) and made.status < _REFUSED:
                kept = _keep(made, digest, is_secret=is_secret)
                with suppress(HoldfastError):  # it was done: that is what has to be said
                    await asyncio.to_thread(self._file.put, place, kept, now_s, since_s)
            return made
        finally:
            self._begun.discard(place)


def _keep(made: web.Response, digest: str, *, is_secret: bool) -> KeptAnswer:
    body = made.body if isinstance(made.body, bytes) and not is_secret else b""
    headers = {name: made.headers[name] for name in _SHOWN if name in made.headers}
    return KeptAnswer(digest, made.status, msgspec.json.encode(headers), body, is_secret)


def _repeat(known: KeptAnswer, digest: str) -> web.Response:
    if known.digest != digest:
        return describe(422, "idempotency-key", "this key was used for another request")
    if known.is_secret and known.status != 204:
        return describe(409, "already-done", "this was done, and what it said is told only once")
    headers = msgspec.json.decode(known.headers, type=dict[str, str])
    return web.Response(
        status=known.status, body=known.body, headers={**headers, "Idempotency-Replayed": "true"}
    )
