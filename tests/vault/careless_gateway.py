"""A server that accepts lock headers, forgets them, and says that everything is locked.

Owns a proxy that strips them before the real gateway and signs what is left anew, as a careless
server would that has the data behind itself. OpenStack Swift's S3 layer behaves much like this.
"""

from __future__ import annotations

from aiohttp import web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict

from tests.vault.fault_proxy import Answer, FaultProxy, Forward, name_operation, respond
from tests.vault.gateway import BOX

_LOCK = "x-amz-object-lock-"
_CONFIGURATION = (
    b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
    b"</ObjectLockConfiguration>"
)


class CarelessGateway(FaultProxy):
    """The proxy."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._locks: dict[str, str] = {}
        self.fail(CarelessGateway._answer, times=1 << 30)

    @staticmethod
    async def _answer(
        proxy: FaultProxy, request: web.Request, forward: Forward
    ) -> web.StreamResponse:
        assert isinstance(proxy, CarelessGateway)
        operation = name_operation(request.method, request.path, request.query_string)
        if operation == "get_object_lock_configuration":
            return web.Response(body=_CONFIGURATION, content_type="application/xml")
        if operation == "put_object_retention":
            await request.read()
            return web.Response()
        answer = await proxy.ask_again(request)
        until = request.headers.get(f"{_LOCK}retain-until-date")
        if operation == "put_object" and until:
            proxy._locks[request.path] = until
        if operation == "head_object" and request.path in proxy._locks:
            answer.headers[f"{_LOCK}mode"] = "COMPLIANCE"
            answer.headers[f"{_LOCK}retain-until-date"] = proxy._locks[request.path]
        return respond(answer, request.method)

    async def ask_again(self, request: web.Request) -> Answer:
        """Ask the gateway without any word of a lock."""
        body = await request.read()
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in ("content-type", "content-length", "range")
        }
        signed = AWSRequest(request.method, self.target + request.raw_path, kept, body)
        S3SigV4Auth(Credentials(BOX.access_key, BOX.secret_key), "s3", "us-east-1").add_auth(signed)
        headers = CIMultiDict({name: str(value) for name, value in signed.headers.items()})
        return await self.ask(request.method, request.raw_path, headers, body)
