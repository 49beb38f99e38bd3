"""One client of one S3 account: each request tried a bounded number of times, and counted.

Owns the library's client, its settings, the retries and the hedging of reads. It knows requests,
not objects: what they are for is in `s3`, `multipart` and `object_lock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.handlers import add_expect_header

from appliance import __version__
from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError
from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import S3Address
from appliance.vault.bucket import Throttle, TransientError, check_digest
from appliance.vault.s3_errors import LostUploadError, is_library_error, outcome_of, translate
from appliance.vault.traffic import Request, Traffic
from appliance.vault.transport import Guard, GuardedResolver, Outgoing, PacedPayload

CONNECTIONS_MAX = 64
_SHA256_HEADER = "X-Amz-Content-SHA256"
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try.

    Attributes:
        attempts: of one request, all together.
        first_s, most_s: pauses between them grow from one to the other, with jitter.
        connect_s: until a connection stands.
        idle_s: without any byte in either direction.
        slowest_bytes_per_s: a request has a deadline, and this much per second is allowed for.
    """

    attempts: int = 5
    first_s: float = 0.3
    most_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float = 30.0
    slowest_bytes_per_s: int = 16 << 10

    def pause_s(self, attempt: int) -> float:
        """How long to wait after failed attempt number `attempt`, which is 1 or more."""
        top_s = min(self.most_s, self.first_s * 2.0**attempt)
        return random.uniform(top_s / 3, top_s)  # noqa: S311 - spreads load, guards nothing

    def deadline_s(self, size_bytes: int) -> float:
        """The most that one attempt may take."""
        return self.connect_s + 4 * self.idle_s + size_bytes / self.slowest_bytes_per_s


@dataclass
class _Answer:
    """When the first byte of an answer came; None before that."""

    came_s: float | None = None


class S3Calls:
    """Requests to one bucket. Belongs to the event loop it was opened in."""

    def __init__(
        self,
        address: S3Address,
        credentials: Credentials,
        *,
        clock: Clock,
        throttle: Throttle | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.address = address
        self.clock = clock
        self.traffic = Traffic()
        self.patience = patience or Patience()
        self._credentials = credentials
        self._throttle = throttle
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client. Nothing is asked of the server yet."""
        guard = Guard(self.address.host)
        config = AioConfig(
            connector_args={
                "resolver": GuardedResolver(guard),
                "socket_factory": guard.make_socket,
                "keepalive_timeout": 15,
            },
            connect_timeout=self.patience.connect_s,
            read_timeout=self.patience.idle_s,
            max_pool_connections=CONNECTIONS_MAX,
            # Requests of a restore cost a processor more than their bytes: names were checked here,
            # and what the library would tell the server of this machine it makes anew for each.
            user_agent=f"holdfast/{__version__}",
            parameter_validation=False,
            retries={"total_max_attempts": 1, "mode": "standard"},
            proxies={},
            ignore_configured_endpoint_urls=True,
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": self.address.style, "payload_signing_enabled": True},
        )
        self._client = await self._stack.enter_async_context(
            _make_session().create_client(
                "s3",
                region_name=self.address.region,
                endpoint_url=self.address.endpoint,
                aws_access_key_id=self._credentials.access_key,
                aws_secret_access_key=self._credentials.secret_key,
                aws_session_token=self._credentials.session_token,
                config=config,
            )
        )
        events = self._client.meta.events
        events.register("before-send.s3", self._before_send)
        # Asking before each body whether it is welcome costs a round trip of a long line.
        events.unregister("before-call.s3", add_expect_header)

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()

    def now(self) -> datetime:
        """The time of this box."""
        return self.clock.now()

    async def call(self, operation: str, kind: str, what: str, **members: Any) -> dict[str, Any]:
        """One request without a body of ours, and its answer. Raises the errors of a bucket."""

        async def ask() -> dict[str, Any]:
            return await self._ask(operation, members)

        return await self._retry(lambda: self._once(kind, what, ask))

    async def send(
        self, operation: str, what: str, body: Callable[[], Outgoing], **members: Any
    ) -> dict[str, Any]:
        """A PUT of what `body` opens anew for each attempt."""

        async def once() -> dict[str, Any]:
            outgoing = await asyncio.to_thread(body)
            try:
                given = {**members, "Body": outgoing, "ContentLength": outgoing.size_bytes}

                async def ask() -> dict[str, Any]:
                    return await self._ask(operation, given)

                return await self._once("PUT", what, ask, outgoing=outgoing)
            finally:
                outgoing.close()

        return await self._retry(once)

    async def fetch(
        self, what: str, size_bytes: int, **members: Any
    ) -> tuple[dict[str, Any], bytes]:
        """A GET of at most `size_bytes`, all of them read. More raise IntegrityError."""

        async def read(came: _Answer) -> tuple[dict[str, Any], bytes]:
            answer = await self._ask("get_object", members)
            came.came_s = self.clock.monotonic_s()
            length = int(answer.get("ContentLength", 0))
            if length > size_bytes:
                raise IntegrityError(f"{what}: the server sends {length} bytes, more than asked")
            pieces, left = [], length
            async with answer["Body"] as stream:
                while left and (piece := await stream.read(left)):
                    pieces.append(piece)
                    left -= len(piece)
            if left:
                raise TransientError(f"{what}: the answer ended after {length - left} bytes")
            return answer, b"".join(pieces)

        async def once() -> tuple[dict[str, Any], bytes]:
            came = _Answer()
            return await self._once(
                "GET", what, lambda: read(came), expected_bytes=size_bytes, answer=came
            )

        return await self._retry(once)

    # ---- one attempt, and several ----

    async def _ask(self, operation: str, members: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(self._client, operation)(
            Bucket=self.address.bucket, **members
        )
        return answer

    async def _once(
        self,
        kind: str,
        what: str,
        work: Callable[[], Awaitable[_Result]],
        *,
        outgoing: Outgoing | None = None,
        expected_bytes: int = 0,
        answer: _Answer | None = None,
    ) -> _Result:
        """Do `work` within its deadline, and count it however it ends."""
        began_s = self.clock.monotonic_s()
        size_bytes = outgoing.size_bytes if outgoing else expected_bytes
        failure: BaseException | None = None
        received = 0
        try:
            # What is held back on purpose must not run into a deadline.
            deadline_s = (
                None if self._throttle and outgoing else self.patience.deadline_s(size_bytes)
            )
            async with asyncio.timeout(deadline_s):
                result = await work()
        except BaseException as error:
            failure = error
            if not is_library_error(error):
                raise
            failure = translate(error, what, self.now())
            raise failure from error
        else:
            received = len(result[1]) if isinstance(result, tuple) else 0
            return result
        finally:
            ended_s = self.clock.monotonic_s()
            sent_s = outgoing.sent_s if outgoing and outgoing.sent_s else began_s
            came_s = answer.came_s if answer and answer.came_s else ended_s
            self.traffic.note(
                Request(
                    kind,
                    outcome_of(failure),
                    outgoing.sent_bytes if outgoing else 0,
                    received,
                    ended_s - began_s,
                    came_s - sent_s,
                    "" if failure is None else str(failure),
                )
            )

    async def _retry(self, once: Callable[[], Awaitable[_Result]]) -> _Result:
        """Try until it works, the error is one that repeating does not mend, or patience ends."""
        attempt = 1
        while True:
            try:
                return await once()
            except LostUploadError:
                raise
            except TransientError as error:
                if attempt >= self.patience.attempts:
                    tried = f" (tried {attempt} times)" if attempt > 1 else ""
                    raise type(error)(f"{error}{tried}", code=error.code) from error
            await asyncio.sleep(self.patience.pause_s(attempt))
            attempt += 1

    def _before_send(self, request: Any, **_: Any) -> None:
        """Check what was signed, and let the body be fed at the pace of the line."""
        body = request.body
        if isinstance(body, Outgoing):
            if body.sha256 is not None:
                signed = request.headers[_SHA256_HEADER]
                text = signed.decode() if isinstance(signed, bytes) else str(signed)
                check_digest(body.name, bytes.fromhex(text), body.sha256)
            request.body = PacedPayload(body, self._throttle, self.clock, self.patience.idle_s)


@cache
def _make_session() -> AioSession:
    """The library's tables, read once per process, which takes longer than many requests.

    Nothing but what is given with each client decides where it goes and as whom.
    """
    return AioSession(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, "/dev/null", None),
            "credentials_file": (None, None, "/dev/null", None),
        }
    )
