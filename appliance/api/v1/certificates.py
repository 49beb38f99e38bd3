"""/certificates and /bundle: what browsers are shown, and how the box is, to be sent to support."""

from __future__ import annotations

from asyncio import to_thread
from typing import Annotated

import msgspec
from aiohttp import web

from appliance.access.certificates import Served
from appliance.api.route import Ask, Reply, Route, Time
from appliance.formats.names import format_time

Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=256 << 10)]


class Certificate(msgspec.Struct, kw_only=True):
    """What is served. `is_uploaded`: brought along, not the box's own."""

    is_uploaded: bool
    subject: str
    issuer: str
    names: list[str]
    not_before: Time
    not_after: Time
    sha256: str


class NewCertificate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Chain and key in PEM."""

    certificate: Pem
    key: Pem


def show(served: Served) -> Certificate:
    """As it is shown."""
    found = served.description
    return Certificate(
        is_uploaded=served.is_uploaded,
        subject=found.subject,
        issuer=found.issuer,
        names=list(found.names),
        not_before=format_time(found.not_before.replace(microsecond=0)),
        not_after=format_time(found.not_after.replace(microsecond=0)),
        sha256=found.sha256,
    )


async def get_certificate(ask: Ask) -> Reply:
    """What is served now."""
    tls = ask.parts.tls
    return Reply(show(await to_thread(tls.certificates.ensure, tls.names)))


async def upload_certificate(ask: Ask) -> Reply:
    """Serve another one, from the next connection on."""
    body: NewCertificate = ask.body
    tls = ask.parts.tls
    served = await to_thread(
        tls.certificates.upload, body.certificate.encode(), body.key.encode(), tls.names
    )
    await to_thread(tls.reload)
    return Reply(show(served))


async def forget_certificate(ask: Ask) -> Reply:
    """Serve the box's own again."""
    await to_thread(ask.parts.tls.certificates.forget_upload)
    await to_thread(ask.parts.tls.reload)
    return await get_certificate(ask)


async def get_authority(ask: Ask) -> web.StreamResponse:
    """The box's own authority, to be trusted."""
    data = await to_thread(ask.parts.tls.certificates.export_authority)
    headers = {"Content-Disposition": 'attachment; filename="holdfast-authority.pem"'}
    return web.Response(body=data, content_type="application/x-pem-file", headers=headers)


async def get_bundle(ask: Ask) -> web.StreamResponse:
    """Logs, settings and facts without secrets."""
    name = f"holdfast-bundle-{ask.parts.name}.tar.gz"
    return await ask.parts.workers.download(ask, ["bundle", "-"], name, "application/gzip")


_PATH = "/certificates"
ROUTES = (
    Route("GET", _PATH, "What browsers are shown", get_certificate, "admin", answer=Certificate),
    Route(
        *("PUT", _PATH, "Serve a certificate that you bring", upload_certificate, "admin"),
        body=NewCertificate,
        answer=Certificate,
        is_destructive=True,
    ),
    Route(
        *("DELETE", _PATH, "Serve the box's own certificate again", forget_certificate, "admin"),
        answer=Certificate,
        is_destructive=True,
    ),
    Route(
        *("GET", f"{_PATH}/authority", "The box's authority, to trust", get_authority, "nobody"),
        answer=bytes,
        content_type="application/x-pem-file",
    ),
    Route(
        *("GET", "/bundle", "The support bundle, without secrets", get_bundle, "admin"),
        answer=bytes,
        content_type="application/gzip",
        problems=(503,),
    ),
)
