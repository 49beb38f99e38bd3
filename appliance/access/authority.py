"""An authority of the box's own, and the certificates that it issues.

Owns what these certificates say. The authority may vouch for the names and addresses of this box
and of private networks only (name constraints): whoever steals its key cannot use the trust that a
person gave it for anything else. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.base.errors import IntegrityError

AUTHORITY_LIFETIME = timedelta(days=3652)
LIFETIME = timedelta(days=397)
"""What browsers take from anybody (CA/Browser Forum, ballot SC31); Apple's up to 825 days."""
_EARLIER = timedelta(days=1)  # clocks of others are behind
_COMMON_NAME_MAX = 64
_PRIVATE_NETWORKS = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
    *("fc00::/7", "fe80::/10", "::1/128"),
)
_PRIVATE_DOMAINS = ("localhost", "local", "lan", "internal", "home.arpa")


@dataclass(frozen=True)
class Pair:
    """A key and its certificate, both in PEM."""

    key: bytes
    certificate: bytes


def make_authority(box: str, names: Sequence[str], now: datetime) -> Pair:
    """A new authority that may vouch for `names` (and addresses among them) and private ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"Holdfast authority of {box}")
    builder = (
        _begin(subject, subject, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=_permitted(names), excluded_subtrees=None),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _finish(key, builder.sign(key, SHA256()))


def issue(authority: Pair, names: Sequence[str], now: datetime) -> Pair:
    """A certificate for all `names` that the authority may vouch for, with a key of its own.

    Raises IntegrityError if the authority cannot be read or does not allow a single one.
    """
    try:
        issuer_key = load_pem_private_key(authority.key, None)
        issuer = x509.load_pem_x509_certificate(authority.certificate)
    except ValueError as error:
        raise IntegrityError(f"the authority of this box cannot be read: {error}") from error
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    allowed = [name for name in names if may_vouch(issuer, name)]
    if not allowed:
        raise IntegrityError("the authority of this box allows none of its names")
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in allowed])
    builder = (
        _begin(_name(allowed[0]), issuer.subject, key.public_key(), now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    return _finish(key, builder.sign(issuer_key, SHA256()))


def may_vouch(authority: x509.Certificate, name: str) -> bool:
    """Whether the constraints of `authority` allow `name`."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    wanted = general_name(name)
    return any(_covers(permitted, wanted) for permitted in constraints.permitted_subtrees or ())


def _covers(permitted: x509.GeneralName, wanted: x509.GeneralName) -> bool:
    if isinstance(wanted, x509.IPAddress) and isinstance(permitted, x509.IPAddress):
        network, address = permitted.value, wanted.value
        assert isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
        assert isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
        return address in network
    if isinstance(wanted, x509.DNSName) and isinstance(permitted, x509.DNSName):
        return f".{wanted.value}".endswith(f".{permitted.value}")
    return False


def general_name(name: str) -> x509.GeneralName:
    """A name or an address as certificates hold it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _permitted(names: Sequence[str]) -> list[x509.GeneralName]:
    networks = [ipaddress.ip_network(text) for text in _PRIVATE_NETWORKS]
    domains = list(_PRIVATE_DOMAINS)
    for name in names:
        try:
            networks.append(ipaddress.ip_network(name))
        except ValueError:
            domains.append(name)
    return [
        *(x509.DNSName(domain) for domain in dict.fromkeys(domains)),
        *(x509.IPAddress(network) for network in dict.fromkeys(networks)),
    ]


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now - _EARLIER + lifetime)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_COMMON_NAME_MAX])])


def _finish(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Pair:
    return Pair(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )
