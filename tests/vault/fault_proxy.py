"""An HTTP proxy before the gateway that fails in the ways that S3 and its lines fail.

Owns the names of S3's operations as they look on the wire, and one handler per fault. It passes
bytes and headers on as they are, so that signatures stay right.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.vault.line import reset_connection
from tests.vault.server_thread import ServerThread

_HOP_HEADERS = ("connection", "transfer-encoding", "keep-alive")
_XML = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>no</Message>'
    "<Resource>/</Resource><RequestId>1</RequestId></Error>"
)


@dataclass(frozen=True)
class Answer:
    """What the gateway said."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


Forward = Callable[[], Awaitable[Answer]]
Handler = Callable[["FaultProxy", web.Request, Forward], Awaitable[web.StreamResponse]]


def name_operation(method: str, path: str, query: str) -> str:
    """What a request asks of S3, by the library's names."""
    is_bucket = path.strip("/").count("/") == 0
    names = {part.split("=")[0] for part in query.split("&") if part}
    if is_bucket:
        for mark, name in (
            ("versioning", "get_bucket_versioning"),
            ("object-lock", "get_object_lock_configuration"),
            ("versions", "list_object_versions"),
            ("uploads", "list_multipart_uploads"),
            ("list-type", "list_objects_v2"),
        ):
            if mark in names:
                return name
        return {"HEAD": "head_bucket", "PUT": "create_bucket"}.get(method, f"{method} bucket")
    if "retention" in names:
        return "put_object_retention"
    if "uploads" in names:
        return "create_multipart_upload"
    if "uploadId" in names:
        return {
            "PUT": "upload_part",
            "GET": "list_parts",
            "POST": "complete_multipart_upload",
            "DELETE": "abort_multipart_upload",
        }[method]
    return f"{method.lower()}_object"


class FaultProxy(ServerThread):
    """A proxy in a thread. Set `fault`, `operation` and `times`, and the next such calls fail."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.port = 0
        self.seen: Counter[str] = Counter()
        self.struck = 0
        self._fault: Handler | None = None
        self._operation = ""
        self._times = 0
        self._often: tuple[Sequence[str], float, random.Random] | None = None
        self.log: list[str] = []
        """What did not go as usual, for whoever looks why a test failed."""
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Handler | None, operation: str = "", times: int = 1) -> None:
        """Let the next `times` calls of `operation` (or of any) meet `fault`."""
        self._fault, self._operation, self._times = fault, operation, times
        self.struck = 0

    def fail_often(self, faults: Sequence[str], share: float, seed: int) -> None:
        """Let every call meet one of `faults` with this probability; without any, none."""
        self._often = (faults, share, random.Random(seed)) if faults else None

    async def _serve(self, ready: threading.Event, ending: asyncio.Event) -> None:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        timeout = aiohttp.ClientTimeout(total=60)
        # A kept connection that the gateway just closed would be tried again with a body that was
        # read already, and fail here for ever; nobody could tell that from the gateway's own 500.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, connector=connector
        ) as session:
            self._session = session
            ready.set()
            await ending.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        operation = name_operation(request.method, request.path, request.query_string)
        self.seen[operation] += 1

        async def forward() -> Answer:
            return await self.forward(request, await request.read())

        if self._often is not None and self._often[2].random() < self._often[1]:
            name = self._often[2].choice(self._often[0])
            self.log.append(f"{operation} {request.path}: {name}")
            return await FAULTS[name](self, request, forward)
        if self._fault and self._times > 0 and self._operation in ("", operation):
            self._times -= 1
            self.struck += 1
            return await self._fault(self, request, forward)
        answer = await forward()
        if answer.status >= 400:
            self.log.append(f"{operation} {request.path}: {answer.status} {answer.body[:300]!r}")
        return respond(answer, request.method)

    async def forward(self, request: web.Request, body: bytes) -> Answer:
        """Ask the gateway just what was asked here."""
        headers = CIMultiDict(request.headers)
        return await self.ask(request.method, request.raw_path, headers, body)

    async def ask(self, method: str, path: str, headers: CIMultiDict[str], body: bytes) -> Answer:
        """Ask the gateway."""
        for name in _HOP_HEADERS:
            headers.pop(name, None)
        try:
            return await self._ask(method, path, headers, body)
        except aiohttp.ClientError as failure:
            self.log.append(f"{method} {path}: {failure!r}")
            raise

    async def _ask(self, method: str, path: str, headers: CIMultiDict[str], body: bytes) -> Answer:
        assert self._session
        async with self._session.request(
            method,
            URL(self.target + path, encoded=True),
            headers=headers,
            data=io.BytesIO(body) if body else None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answer:
            return Answer(answer.status, CIMultiDict(answer.headers), await answer.read())


def respond(answer: Answer, method: str) -> web.Response:
    """Pass an answer on."""
    headers = answer.headers.copy()
    for name in _HOP_HEADERS:
        headers.pop(name, None)
    if method != "HEAD":
        headers.pop("Content-Length", None)
        return web.Response(status=answer.status, headers=headers, body=answer.body)
    return web.Response(status=answer.status, headers=headers)


def error(
    status: int, code: str, method: str, headers: dict[str, str] | None = None
) -> web.Response:
    """What S3 says when it says no."""
    body = b"" if method == "HEAD" else _XML.format(code=code).encode()
    return web.Response(
        status=status, body=body, headers={"Content-Type": "application/xml", **(headers or {})}
    )


def cut_off(request: web.Request) -> None:
    """Reset the connection."""
    assert request.transport
    reset_connection(request.transport)


def refusing(status: int, code: str, headers: dict[str, str] | None = None) -> Handler:
    """A fault that answers so, and does nothing."""

    async def refuse(
        proxy: FaultProxy, request: web.Request, forward: Forward
    ) -> web.StreamResponse:
        await request.read()
        return error(status, code, request.method, headers)

    return refuse


async def fail_after_commit(
    proxy: FaultProxy, request: web.Request, forward: Forward
) -> web.StreamResponse:
    """It was done, and the answer says that something went wrong."""
    await forward()
    return error(500, "InternalError", request.method)


async def hang(proxy: FaultProxy, request: web.Request, forward: Forward) -> web.StreamResponse:
    """Nothing ever comes back."""
    await request.read()
    await asyncio.sleep(60)
    return error(500, "InternalError", request.method)


async def reset(proxy: FaultProxy, request: web.Request, forward: Forward) -> web.StreamResponse:
    """The connection breaks, in the body where there is one."""
    if request.body_exists:
        await request.content.read(1000)
    cut_off(request)
    return web.Response()


async def truncate(proxy: FaultProxy, request: web.Request, forward: Forward) -> web.StreamResponse:
    """The answer is announced whole, and ends in its middle."""
    answer = await forward()
    if request.method == "HEAD":
        cut_off(request)
        return web.Response()
    response = web.StreamResponse(status=answer.status, headers=respond(answer, "HEAD").headers)
    response.content_length = max(len(answer.body), 2)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    cut_off(request)
    return response


async def shorten(proxy: FaultProxy, request: web.Request, forward: Forward) -> web.StreamResponse:
    """The answer is shorter than it should be, and says so consistently."""
    answer = await forward()
    half = answer.body[: len(answer.body) // 2]
    return respond(Answer(answer.status, answer.headers, half), request.method)


async def spoil_tag(
    proxy: FaultProxy, request: web.Request, forward: Forward
) -> web.StreamResponse:
    """Entity tags in the answer are not those of the object."""
    answer = await forward()
    if "ETag" in answer.headers:
        answer.headers["ETag"] = '"00000000000000000000000000000000"'
    body = re.sub(rb"[0-9a-f]{32}(?=(&quot;|\"|-|</ETag))", b"0" * 32, answer.body)
    return respond(Answer(answer.status, answer.headers, body), request.method)


async def forget_list(
    proxy: FaultProxy, request: web.Request, forward: Forward
) -> web.StreamResponse:
    """A listing that is behind: what is there is not in it yet."""
    answer = await forward()
    body = re.sub(
        rb"<(Contents|Version|DeleteMarker|Upload|Part)>.*?</\1>", b"", answer.body, flags=re.S
    )
    return respond(Answer(answer.status, answer.headers, body), request.method)


async def do_twice(proxy: FaultProxy, request: web.Request, forward: Forward) -> web.StreamResponse:
    """Something on the way repeats the request; the second answer comes back."""
    await forward()
    return respond(await forward(), request.method)


FAULTS: dict[str, Handler] = {
    "503 SlowDown": refusing(503, "SlowDown"),
    "500 after commit": fail_after_commit,
    "timeout": hang,
    "reset mid-body": reset,
    "truncated body": truncate,
    "shorter body": shorten,
    "bad ETag": spoil_tag,
    "stale list": forget_list,
    "lost part": refusing(400, "InvalidPart"),
    "412": refusing(412, "PreconditionFailed"),
    "403": refusing(403, "AccessDenied"),
    "expired credentials": refusing(400, "ExpiredToken"),
    "clock skew": refusing(403, "RequestTimeTooSkewed", {"Date": "Sat, 21 Nov 2026 08:30:00 GMT"}),
    "region redirect": refusing(
        301,
        "PermanentRedirect",
        {"Location": "http://169.254.169.254/", "x-amz-bucket-region": "eu-central-1"},
    ),
    "duplicate delete": do_twice,
    "rolled-back bucket": refusing(404, "NoSuchKey"),
}
