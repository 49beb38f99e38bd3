"""Certificates that somebody brings: read, checked, and described.

Owns what is asked of one before it is served: its key fits, its chain is whole, it is valid now, it
is made for servers, and it names this box. Pure: bytes in, facts out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.base.errors import UsageError

PEM_MAX_BYTES = 256 << 10
_CHAIN_MAX = 10
_RSA_MIN_BITS = 2048


@dataclass(frozen=True)
class Description:
    """What a certificate says."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str


def describe(certificate: bytes) -> Description:
    """The first certificate of a PEM text. Raises UsageError if there is none."""
    leaf = _read_chain(certificate)[0]
    return Description(
        leaf.subject.rfc4514_string(),
        leaf.issuer.rfc4514_string(),
        tuple(names_of(leaf)),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        leaf.fingerprint(SHA256()).hex(),
    )


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [
        *(name.lower() for name in alternatives.value.get_values_for_type(x509.DNSName)),
        *map(str, alternatives.value.get_values_for_type(x509.IPAddress)),
    ]


def check_upload(certificate: bytes, key: bytes, names: Collection[str], now: datetime) -> bytes:
    """What is to be served: the chain, leaf first, and the key, as one PEM text.

    Raises UsageError saying what is wrong and what to do.
    """
    chain = _read_chain(certificate)
    private = _read_key(key)
    leaf = _find_leaf(chain, private)
    ordered = _order(leaf, chain)
    _check_leaf(leaf, names, now)
    for one in ordered:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise UsageError(
                f"the certificate of {one.subject.rfc4514_string()} is good from "
                f"{one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d} only"
            )
    return b"".join(
        [
            *(one.public_bytes(Encoding.PEM) for one in ordered),
            private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ]
    )


def _read_chain(data: bytes) -> list[x509.Certificate]:
    if len(data) > PEM_MAX_BYTES:
        raise UsageError(f"a certificate has at most {PEM_MAX_BYTES >> 10} KiB")
    try:
        chain = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise UsageError(
            "this is no certificate in PEM: it begins -----BEGIN CERTIFICATE-----"
        ) from error
    if not 0 < len(chain) <= _CHAIN_MAX:
        raise UsageError(f"a chain has 1 to {_CHAIN_MAX} certificates")
    return chain


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def _read_key(data: bytes) -> Key:
    if len(data) > PEM_MAX_BYTES:
        raise UsageError(f"a key has at most {PEM_MAX_BYTES >> 10} KiB")
    try:
        key = load_pem_private_key(data, None)
    except TypeError as error:
        raise UsageError(
            "the key has a password: take it off first, 'openssl pkey'", code="key-has-password"
        ) from error
    except ValueError as error:
        raise UsageError("this is no private key in PEM", code="no-private-key") from error
    if not isinstance(key, Key):
        raise UsageError("the key is none of RSA, ECDSA and Ed25519")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_MIN_BITS:
        raise UsageError(f"the key has {key.key_size} bits: browsers ask for {_RSA_MIN_BITS}")
    return key


def _find_leaf(chain: list[x509.Certificate], key: Key) -> x509.Certificate:
    wanted = _public_bytes(key.public_key())
    for certificate in chain:
        if _public_bytes(certificate.public_key()) == wanted:
            return certificate
    raise UsageError(
        "the key does not belong to the certificate: upload the pair", code="key-of-another"
    )


def _public_bytes(key: object) -> bytes:
    assert hasattr(key, "public_bytes")
    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _order(leaf: x509.Certificate, chain: list[x509.Certificate]) -> list[x509.Certificate]:
    """From the leaf up, each issued by the next; what does not belong there is an error."""
    ordered = [leaf]
    left = [one for one in chain if one != leaf]
    while left:
        issuer = next((one for one in left if is_issued(ordered[-1], one)), None)
        if issuer is None:
            stray = left[0].subject.rfc4514_string()
            raise UsageError(
                f"the chain is broken: nothing here was issued by {stray}", code="chain-broken"
            )
        left.remove(issuer)
        ordered.append(issuer)
    last = ordered[-1]
    if len(ordered) == 1 and last.issuer != last.subject:
        issuer_name = last.issuer.rfc4514_string()
        raise UsageError(
            f"the certificate of its issuer {issuer_name} is missing: add the chain",
            code="chain-incomplete",
        )
    return ordered


def is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_leaf(leaf: x509.Certificate, names: Collection[str], now: datetime) -> None:
    if now > leaf.not_valid_after_utc:
        raise UsageError(
            f"the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}",
            code="certificate-expired",
        )
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = None
    if purposes is not None and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        raise UsageError("the certificate is not made for servers", code="certificate-not-server")
    offered = names_of(leaf)
    if not offered:
        raise UsageError(
            "the certificate names no host (subject alternative names)", code="certificate-no-name"
        )
    if not any(covers(pattern, name) for pattern in offered for name in names):
        raise UsageError(
            f"the certificate is for {', '.join(offered[:5])}, and this box is "
            f"{', '.join(sorted(names)[:5])}"
        )


def covers(pattern: str, name: str) -> bool:
    """Whether a name in a certificate stands for `name`; a `*` for one label."""
    if pattern == name:
        return True
    label, _, rest = name.partition(".")
    return pattern.startswith("*.") and bool(label) and bool(rest) and pattern[2:] == rest
