"""The certificates of the box: TLS from the first start, its own authority, or one brought along.

Owns the folder `STATE/tls`, in which every file is readable to its owner only, and when a
certificate is made anew. What is served is one file, key and chain together, so that a crash never
leaves a key beside somebody else's certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from appliance.access import authority
from appliance.access.certificate_check import Description, check_upload, describe, is_issued
from appliance.base.clock import Clock
from appliance.base.durable import make_directory, remove_file, write_file
from appliance.base.errors import HoldfastError, NotFoundError, UsageError
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.formats.names import format_time

RENEW_BEFORE = timedelta(days=60)
_WARN_BEFORE = timedelta(days=21)
_LEAST = timedelta(days=3)
_AUTHORITY, _OWN, _UPLOADED = "authority.pem", "box.pem", "uploaded.pem"


@dataclass(frozen=True)
class Served:
    """What browsers are shown: `path` holds the chain and the key."""

    path: Path
    is_uploaded: bool
    description: Description


class Certificates:
    """The certificates of one box."""

    def __init__(self, state: Path, clock: Clock, box: str) -> None:
        """`box`: what the authority is called after."""
        self._folder = state / "tls"
        self._clock = clock
        self._box = box

    def ensure(self, names: Sequence[str]) -> Served:
        """What to serve now, durable on return: made, or made anew, where that is needed.

        An uploaded certificate is served as long as it can be; then the box's own. That is made
        anew when it ends soon or a name or an address came to the box.
        """
        uploaded = self._read(_UPLOADED)
        now = self._clock.now()
        if uploaded is not None and uploaded.description.not_after > now:
            return uploaded
        own = self._read(_OWN)
        if own is None or self._needs_renewal(own, names, now):
            self.make(names)
            own = self._read(_OWN)
        assert own is not None
        return own

    def _needs_renewal(self, served: Served, names: Sequence[str], now: datetime) -> bool:
        own = served.description
        is_ending = own.not_after - now < RENEW_BEFORE or own.not_before > now
        ca = self._read_authority()
        if ca is None or not is_issued(
            x509.load_pem_x509_certificate(served.path.read_bytes()), ca
        ):
            return True
        vouched = {name for name in names if authority.may_vouch(ca, name)}
        return is_ending or not vouched <= set(own.names)

    def make(self, names: Sequence[str]) -> None:
        """A new certificate of the box's own, durable on return; the authority stays.

        That too is made anew if it is missing, damaged, ends before the certificate would, or may
        not vouch for the first of `names`: then browsers have to be told to trust it again.
        """
        now = self._clock.now()
        make_directory(self._folder)
        path = self._folder / _AUTHORITY
        ca = self._read_authority()
        if (
            ca is None
            or ca.not_valid_after_utc < now + authority.LIFETIME
            or not authority.may_vouch(ca, names[0])
        ):
            pair = authority.make_authority(self._box, names, now)
            write_file(path, pair.certificate + pair.key)
        both = path.read_bytes()
        made = authority.issue(authority.Pair(both, both), names, now)
        write_file(self._folder / _OWN, made.certificate + self.export_authority() + made.key)

    def upload(self, certificate: bytes, key: bytes, names: Sequence[str]) -> Served:
        """Serve this one from now on, durable on return. Raises UsageError if it will not do."""
        data = check_upload(certificate, key, names, self._clock.now())
        make_directory(self._folder)
        write_file(self._folder / _UPLOADED, data)
        served = self._read(_UPLOADED)
        assert served is not None
        return served

    def forget_upload(self) -> None:
        """Serve the box's own again, durable on return."""
        remove_file(self._folder / _UPLOADED)

    def export_authority(self) -> bytes:
        """The authority's certificate in PEM, to be trusted. Raises NotFoundError."""
        ca = self._read_authority()
        if ca is None:
            raise NotFoundError("there is no authority yet: 'holdfast certificates make'")
        return ca.public_bytes(Encoding.PEM)

    def findings(self) -> list[Finding]:
        """What somebody should know: an uploaded certificate that ends soon or has ended."""
        uploaded = self._read(_UPLOADED)
        if uploaded is None:
            return []
        ends, now = uploaded.description.not_after, self._clock.now()
        if ends - now > _WARN_BEFORE:
            return []
        severity: Severity = "warning" if ends - now > _LEAST else "critical"
        is_over = ends <= now
        return [
            Finding(
                "box",
                "box.certificate-expiry",
                severity,
                f"the uploaded certificate {'ended' if is_over else 'ends'} on {ends:%Y-%m-%d}",
                (Evidence("certificate ends", ((now, format_time(ends)),)),),
                "browsers warn of this box, and passkeys do not work there",
                "upload a new one: 'holdfast certificates import', or Settings, Certificates",
                measure=max(0.0, (_WARN_BEFORE - (ends - now)).total_seconds() / 86400),
            )
        ]

    def _read_authority(self) -> x509.Certificate | None:
        """The authority, if certificate and key are there and readable."""
        try:
            data = (self._folder / _AUTHORITY).read_bytes()
            load_pem_private_key(data, None)
            return x509.load_pem_x509_certificate(data)
        except (OSError, ValueError):
            return None

    def _read(self, name: str) -> Served | None:
        """What a file holds, if OpenSSL can serve it; anything else is as good as missing."""
        path = self._folder / name
        try:
            make_context(path)
            return Served(path, name == _UPLOADED, describe(path.read_bytes()))
        except (HoldfastError, OSError):
            return None


def make_context(path: Path) -> ssl.SSLContext:
    """What serves TLS with the chain and key in `path`. Raises UsageError if that cannot be.

    TLS 1.2 with forward secrecy, or 1.3. Nothing else is to be loaded into it while it serves.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{path} cannot be served: {error}") from error
    return context


class ServedBy:
    """What a server is given to serve TLS with; `renew` needs no other server.

    Another certificate is another context. OpenSSL frees what a context held as soon as something
    else is loaded into it, and a connection that takes the old one up in that moment ends the
    process.
    """

    def __init__(self, path: Path) -> None:
        """Serve what is in `path`. Raises UsageError if that cannot be."""
        self.context = self._newest = make_context(path)
        self.context.sni_callback = self._choose

    def renew(self, path: Path) -> None:
        """Serve what is in `path` from the next connection on; for any thread.

        Raises UsageError if that cannot be; then what was served is served on.
        """
        self._newest = make_context(path)

    def _choose(self, connection: ssl.SSLObject, *_: object) -> None:
        """Called for each connection, whether it names a host or not."""
        connection.context = self._newest
