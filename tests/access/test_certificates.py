"""TLS from the first start by an authority that can do no harm, or what was brought along."""

from __future__ import annotations

import http.client
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from appliance.access import authority
from appliance.access.box_names import list_names
from appliance.access.certificate_check import covers, describe
from appliance.access.certificates import Certificates, ServedBy, make_context
from appliance.base.clock import SystemClock
from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.host_names import is_host_name
from tests.access.conftest import HandClock

NAMES = ["box1", "box1.branch.example", "localhost", "127.0.0.1", "2001:db8::1"]


@pytest.fixture
def certificates(tmp_path: Path, clock: HandClock) -> Certificates:
    clock.time = SystemClock().now().replace(microsecond=0)
    return Certificates(tmp_path, clock, "box1")


def brought(clock: HandClock, names: list[str]) -> tuple[bytes, bytes]:
    """A chain and a key as a company's authority gives them."""
    company = authority.make_authority("company", names, clock.now())
    pair = authority.issue(company, names, clock.now())
    return pair.certificate + company.certificate, pair.key


@contextmanager
def serving(path: Path) -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = make_context(path).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int, host: str, trusted: bytes) -> int:
    context = ssl.create_default_context(cadata=trusted.decode())
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_browser_that_trusts_the_authority_trusts_the_box(certificates: Certificates) -> None:
    served = certificates.ensure(NAMES)
    with serving(served.path) as port:
        for host in ("localhost", "127.0.0.1"):
            assert ask(port, host, certificates.export_authority()) == 501
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(
                port,
                "localhost",
                authority.make_authority("x", NAMES, SystemClock().now()).certificate,
            )


def begin(context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a connection on which nothing was said yet: a client's without a name."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return anybody.wrap_bio(back, there), context.wrap_bio(there, back, server_side=True)


def shake_hands(client: ssl.SSLObject, server: ssl.SSLObject) -> bytes | None:
    """The certificate that the client is shown."""
    for _ in range(3):
        for end in (client, server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return client.getpeercert(binary_form=True)


def der_of(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_another_certificate_is_served_while_hands_are_shaken(
    certificates: Certificates, tmp_path: Path, clock: HandClock
) -> None:
    """It was loaded into the context that served: one in some hundreds ended the box."""
    own = certificates.ensure(NAMES).path
    other = tmp_path / "other.pem"
    chain, key = brought(clock, NAMES)
    other.write_bytes(chain + key)
    served_by = ServedBy(own)
    assert shake_hands(*begin(served_by.context)) == der_of(own.read_bytes())
    over = threading.Event()

    def renew() -> None:
        while not over.is_set():
            for path in (own, other):
                served_by.renew(path)

    renewing = threading.Thread(target=renew)
    renewing.start()
    both = {der_of(path.read_bytes()) for path in (own, other)}
    seen = [shake_hands(*begin(served_by.context)) for _ in range(150)]
    over.set()
    renewing.join()
    assert set(seen) <= both
    assert shake_hands(*begin(served_by.context)) == der_of(chain)
    with pytest.raises(UsageError):
        served_by.renew(tmp_path / "none.pem")
    assert shake_hands(*begin(served_by.context)) == der_of(chain)


def test_keys_are_readable_to_their_owner_only_and_never_exported(
    certificates: Certificates, tmp_path: Path, clock: HandClock
) -> None:
    certificates.ensure(NAMES)
    certificates.upload(*brought(clock, NAMES), NAMES)
    files = list((tmp_path / "tls").iterdir())
    assert len(files) == 3
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    assert b"PRIVATE" not in certificates.export_authority()


def test_the_authority_vouches_for_this_box_and_private_places_only(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificates.ensure(NAMES)
    both = (tmp_path / "tls" / "authority.pem").read_bytes()
    stolen = authority.Pair(both, both)
    ca = x509.load_pem_x509_certificate(both)
    for name in ("box1.branch.example", "www.box1", "box9.local", "10.1.2.3", "fd00::1"):
        assert authority.may_vouch(ca, name), name
    for name in ("bank.example", "branch.example", "xbox1", "8.8.8.8", "2001:db8::2"):
        assert not authority.may_vouch(ca, name), name
    with pytest.raises(IntegrityError):
        authority.issue(stolen, ["bank.example"], SystemClock().now())


def test_openssl_keeps_the_constraints_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that a stolen key signed for somebody else is not trusted."""
    now = SystemClock().now()
    pair = authority.make_authority("box1", ["box1"], now)
    monkeypatch.setattr(authority, "may_vouch", lambda *_: True)
    bank = authority.issue(pair, ["bank.example", "127.0.0.1"], now)
    path = tmp_path / "bank.pem"
    path.write_bytes(bank.certificate + pair.certificate + bank.key)
    with serving(path) as port, pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
        ask(port, "127.0.0.1", pair.certificate)


def test_it_is_made_anew_before_it_ends_and_when_the_box_gets_an_address(
    certificates: Certificates, clock: HandClock
) -> None:
    first = certificates.ensure(NAMES).description
    assert certificates.ensure(NAMES).description == first
    more = certificates.ensure([*NAMES, "192.168.7.7"]).description
    assert "192.168.7.7" in more.names
    assert certificates.ensure(NAMES).description == more
    trusted = certificates.export_authority()
    clock.time += timedelta(days=340)
    assert certificates.ensure(NAMES).description.not_after - clock.now() > timedelta(days=390)
    assert certificates.export_authority() == trusted
    clock.time += timedelta(days=3400)
    certificates.ensure(NAMES)
    assert certificates.export_authority() != trusted


@pytest.mark.parametrize("name", ["authority.pem", "box.pem", "uploaded.pem"])
@pytest.mark.parametrize("data", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAA=="])
def test_damaged_files_are_made_anew(
    certificates: Certificates, tmp_path: Path, clock: HandClock, name: str, data: bytes
) -> None:
    certificates.ensure(NAMES)
    certificates.upload(*brought(clock, NAMES), NAMES)
    (tmp_path / "tls" / name).write_bytes(data)
    make_context(certificates.ensure(NAMES).path)


def test_a_crash_between_authority_and_certificate_heals(
    certificates: Certificates, tmp_path: Path
) -> None:
    certificates.ensure(NAMES)
    other = authority.make_authority("box1", NAMES, SystemClock().now())
    (tmp_path / "tls" / "authority.pem").write_bytes(other.certificate + other.key)
    served = certificates.ensure(NAMES)
    with serving(served.path) as port:
        assert ask(port, "localhost", certificates.export_authority()) == 501


# ---- brought along ----


def test_what_was_uploaded_is_served_until_it_ends(
    certificates: Certificates, clock: HandClock
) -> None:
    chain, key = brought(clock, NAMES)
    leaf, issuer = x509.load_pem_x509_certificates(chain)
    pem = Encoding.PEM
    certificates.upload(issuer.public_bytes(pem) + leaf.public_bytes(pem), key, NAMES)
    served = certificates.ensure(NAMES)
    assert served.is_uploaded
    assert served.description.sha256 == describe(leaf.public_bytes(pem)).sha256
    assert not certificates.findings()
    clock.time = served.description.not_after - timedelta(days=20)
    assert certificates.findings()[0].severity == "warning"
    clock.time += timedelta(days=18)
    assert certificates.findings()[0].severity == "critical"
    clock.time += timedelta(days=3)
    assert not certificates.ensure(NAMES).is_uploaded
    assert "ended" in certificates.findings()[0].summary
    certificates.forget_upload()
    assert not certificates.findings()


def test_what_will_not_do_is_refused_with_the_reason(
    certificates: Certificates, clock: HandClock
) -> None:
    chain, key = brought(clock, NAMES)
    other_chain, other_key = brought(clock, NAMES)
    leaf = x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.PEM)
    encrypted = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    cases = [
        (b"garbage", key, "no certificate in PEM"),
        (chain, b"garbage", "no private key"),
        (chain, encrypted, "has a password"),
        (chain, other_key, "does not belong"),
        (leaf, key, "add the chain"),
        (chain + other_chain, key, "chain is broken"),
        (b"x" * (1 << 20), key, "at most"),
        (*brought(clock, ["elsewhere.local"]), "this box is"),
    ]
    for certificate, private, reason in cases:
        with pytest.raises(UsageError, match=reason):
            certificates.upload(certificate, private, NAMES)
    clock.time += timedelta(days=400)
    with pytest.raises(UsageError, match="expired"):
        certificates.upload(chain, key, NAMES)
    assert not certificates.ensure(NAMES).is_uploaded


def test_a_star_stands_for_one_label() -> None:
    assert covers("*.branch.example", "box1.branch.example")
    assert not covers("*.branch.example", "a.b.branch.example")
    assert not covers("*.branch.example", "branch.example")
    assert not covers("*", "box1")


def test_the_box_knows_its_names_and_addresses() -> None:
    names = list_names(("backup.branch.example", "-bad-", "a b"))
    assert names[0] == "backup.branch.example"
    assert "localhost" in names
    assert "127.0.0.1" in names
    assert "a b" not in names
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            assert is_host_name(name)
