"""Names that move in a failover: RFC 2136 updates, signed with TSIG (RFC 8945).

Owns the conversation with the name server. Every change says first what must be there (an RFC 2136
prerequisite), so that nothing is overwritten that somebody else has changed meanwhile.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import msgspec

from appliance.base.errors import AccessError, BusyError, HoldfastError, UsageError
from appliance.base.secret_file import read_secret
from appliance.drills.plan import DnsUpdate

_TIMEOUT_S = 10.0


class Found(msgspec.Struct, frozen=True):
    """What a name said: its addresses, and for how many seconds they may be remembered."""

    addresses: tuple[str, ...]
    ttl_s: int


def look_up(update: DnsUpdate) -> Found:
    """What the server says now about the name and the kind of address. Raises HoldfastError."""
    name, kind = _name(update.name), _kind(update.address)
    answer = _ask(update, dns.message.make_query(name, kind))
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise _refused(update, answer)
    for rrset in answer.answer:
        if rrset.name == name and rrset.rdtype == kind:
            return Found(tuple(sorted(item.to_text() for item in rrset)), rrset.ttl)
    return Found((), update.ttl_s)


def point_elsewhere(update: DnsUpdate, before: Found) -> None:
    """Let the name say only `update.address`, if it still says `before`.

    Done already is fine. Raises BusyError when it says something else by now, AccessError when
    the server does not take the key, HoldfastError otherwise.
    """
    _change(update, before, Found((update.address,), update.ttl_s))


def point_back(update: DnsUpdate, before: Found) -> None:
    """Let the name say `before` again, if it still says what `point_elsewhere` made it say.

    Raises as `point_elsewhere`.
    """
    _change(update, Found((update.address,), update.ttl_s), before)


def _change(update: DnsUpdate, old: Found, new: Found) -> None:
    if set(look_up(update).addresses) == set(_normal(new.addresses)):
        return
    request = _request(update)
    name, kind = _name(update.name), _kind(update.address)
    if old.addresses:
        request.present(name, kind, *old.addresses)
    else:
        request.absent(name, kind)
    request.delete(name, kind)
    for address in new.addresses:
        request.add(name, new.ttl_s, kind, address)
    answer = _ask(update, request)
    if answer.rcode() in (dns.rcode.NXRRSET, dns.rcode.YXRRSET):
        raise BusyError(
            f"{update.name} has been changed by somebody else meanwhile: look at it, then go on"
        )
    if answer.rcode() != dns.rcode.NOERROR:
        raise _refused(update, answer)


def _request(update: DnsUpdate) -> dns.update.UpdateMessage:
    secret = read_secret(Path(update.key_file))
    try:
        keyring = dns.tsigkeyring.from_text({update.key_name: secret})
        return dns.update.UpdateMessage(
            update.zone,
            keyring=keyring,
            keyname=dns.name.from_text(update.key_name),
            keyalgorithm=update.algorithm,
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise UsageError(f"{update.key_file} holds no TSIG key in base64") from error


def _ask(update: DnsUpdate, request: dns.message.Message) -> dns.message.Message:
    try:
        return dns.query.tcp(request, update.server, timeout=_TIMEOUT_S, port=update.port)
    except dns.exception.DNSException as error:
        raise HoldfastError(
            f"name server {update.server} does not answer as it should: {error}"
        ) from error
    except OSError as error:
        raise HoldfastError(f"name server {update.server}: {error.strerror or error}") from error


def _refused(update: DnsUpdate, answer: dns.message.Message) -> HoldfastError:
    word = dns.rcode.to_text(answer.rcode())
    text = f"name server {update.server} refuses {update.name}: {word}"
    if answer.rcode() in (dns.rcode.NOTAUTH, dns.rcode.REFUSED):
        return AccessError(f"{text}: does it know the key '{update.key_name}'?")
    return HoldfastError(text)


def _name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise UsageError(f"'{text}' is no name of a host") from error


def _kind(address: str) -> dns.rdatatype.RdataType:
    is_old = ipaddress.ip_address(address).version == 4
    return dns.rdatatype.A if is_old else dns.rdatatype.AAAA


def _normal(addresses: tuple[str, ...]) -> list[str]:
    return [str(ipaddress.ip_address(address)) for address in addresses]
