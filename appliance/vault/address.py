"""Where a vault is: the URL that a person types, taken apart and refused where it would harm.

Owns the two kinds of addresses and their checks. It never resolves a name: who connects checks
what the name led to (`transport`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from appliance.base.errors import UsageError
from appliance.vault.bucket import is_name
from appliance.vault.providers import Provider, Style, find_provider

LOCK_DAYS_MAX = 3650  # ten years: compliance cannot be undone, a typing error either
LOCK_DAYS_FREE = 90  # above this the command asks for a confirmation
_DEFAULT_REGION = "us-east-1"
_PARAMETERS = ("endpoint", "region", "style")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_EXAMPLE = "s3://BUCKET[/PREFIX]?endpoint=URL&region=R&style=path|virtual or file:///DIR"


@dataclass(frozen=True)
class S3Address:
    """A bucket, or what lies below a prefix in it.

    Attributes:
        prefix: empty, or names of folders, each followed by `/`.
        endpoint: `https://HOST[:PORT]`; `http` only to this computer itself.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    style: Style

    @property
    def host(self) -> str:
        """The endpoint's host, without port and brackets."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def provider(self) -> Provider:
        """Who runs the endpoint."""
        return find_provider(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether the person named this computer itself."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        place = f"{self.bucket}/{self.prefix}".rstrip("/")
        query = urlencode(
            {"endpoint": self.endpoint, "region": self.region, "style": self.style}, safe=":/[]"
        )
        return f"s3://{place}?{query}"


@dataclass(frozen=True)
class DirectoryAddress:
    """A directory by its absolute path."""

    path: Path

    def __str__(self) -> str:
        return f"file://{quote(str(self.path))}"


Address = S3Address | DirectoryAddress


def parse_address(url: str) -> Address:
    """The place that `url` names. Raises UsageError that says what is wrong with it."""
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in url):
        raise UsageError("the vault's URL contains spaces or control characters")
    try:
        parts = urlsplit(url)
        has_login = "@" in parts.netloc
    except ValueError:
        raise UsageError(
            f"the vault's URL is none: expected {_EXAMPLE}", code="bad-vault-address"
        ) from None
    if has_login:
        raise UsageError("a URL must not contain keys: give them with --credentials-file")
    if parts.fragment or "#" in url:
        raise UsageError("a vault's URL has no part after '#'")
    if parts.scheme == "file":
        return _parse_directory(parts.netloc, parts.path, "?" in url)
    if parts.scheme == "s3":
        return _parse_s3(parts.netloc, parts.path, parts.query)
    # What may hold a key is not shown: whoever forgot the scheme may have put one in.
    given = f"{parts.scheme}://" if parts.scheme else "that" if "@" in url else f"'{url[:80]}'"
    raise UsageError(f"{given} is no vault: expected {_EXAMPLE}", code="bad-vault-address")


def check_lock(address: Address, days: int, *, is_confirmed: bool) -> None:
    """Whether objects there may be locked for `days`; nothing can be shortened afterwards.

    Raises UsageError, also when a person has to confirm and has not.
    """
    if isinstance(address, DirectoryAddress):
        raise UsageError(
            "a directory cannot lock objects: leave out --lock", code="place-without-lock"
        )
    provider = address.provider
    if not provider.lock:
        raise UsageError(
            f"{provider.name} has no S3 object lock: leave out --lock", code="place-without-lock"
        )
    if not 1 <= days <= LOCK_DAYS_MAX:
        raise UsageError(f"--lock takes 1 to {LOCK_DAYS_MAX} days")
    if days > LOCK_DAYS_FREE and not is_confirmed:
        raise UsageError(
            f"--lock {days}: nobody, not even the provider, can delete anything for {days} days "
            "after it was uploaded, and you pay for all of it: confirm that",
            code="long-lock",
        )


def check_as_of(address: Address) -> None:
    """Raises UsageError where there are no versions to go back to."""
    if isinstance(address, DirectoryAddress):
        raise UsageError("a directory keeps no versions: leave out --as-of")


def is_loopback(host: str) -> bool:
    """Whether `host`, as it is written, can only be this computer."""
    if host.lower() == "localhost":
        return True
    try:
        return _unmap(host).is_loopback
    except ValueError:
        return False


def _parse_directory(host: str, path_text: str, has_query: bool) -> DirectoryAddress:
    if host:
        raise UsageError(
            f"file://{host}: write file:///DIR with three slashes", code="bad-vault-address"
        )
    if has_query:
        raise UsageError("file:///DIR takes no parameters")
    try:
        text = unquote(path_text, errors="strict")
    except UnicodeDecodeError:
        raise UsageError("file:///DIR: the path is not UTF-8") from None
    names = text.split("/")[1:]
    if "\0" in text or ".." in names or not set(names) - {"", "."}:
        raise UsageError(
            "file:///DIR needs the absolute path of a directory, without '..'",
            code="bad-vault-address",
        )
    return DirectoryAddress(Path("/", *names))


def _parse_s3(bucket: str, path: str, query: str) -> S3Address:
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _is_address(bucket):
        raise UsageError(
            f"{bucket[:80]!r} is no name of a bucket: 3 to 63 of a-z, 0-9, '-' and '.'",
            code="bad-bucket-name",
        )
    prefix = path.strip("/")
    if prefix and not is_name(prefix):
        raise UsageError(f"{prefix[:80]!r} cannot be a prefix: letters, digits and ._=+- only")
    options = _parse_query(query)
    region = options.get("region", _DEFAULT_REGION)
    if not _REGION.fullmatch(region):
        raise UsageError(f"region={region[:80]!r} is no region")
    endpoint = _parse_endpoint(options.get("endpoint") or _amazon(region))
    provider = find_provider(urlsplit(endpoint).hostname or "")
    style = options.get("style", provider.styles[0])
    if style not in provider.styles:
        raise UsageError(f"{provider.name}: style is {' or '.join(provider.styles)}")
    if style == "virtual" and "." in bucket:
        raise UsageError(f"{bucket}: no certificate fits a bucket with dots: use style=path")
    return S3Address(
        bucket,
        f"{prefix}/" if prefix else "",
        endpoint,
        region,
        "virtual" if style == "virtual" else "path",
    )


def _parse_query(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"the part after '?' cannot be read: expected {_EXAMPLE}") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in _PARAMETERS:
            raise UsageError(f"{name[:80]!r} is no parameter of a vault: {', '.join(_PARAMETERS)}")
        if name in options or not value:
            raise UsageError(f"{name}= is given {'twice' if name in options else 'without value'}")
        options[name] = value
    return options


def _parse_endpoint(text: str) -> str:
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in text):
        raise UsageError("endpoint= contains spaces or control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(
            "endpoint= is no URL: expected https://HOST[:PORT]", code="bad-vault-address"
        ) from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("endpoint= must not contain keys: give them with --credentials-file")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.scheme not in _SCHEMES:
        raise UsageError(
            "endpoint= is https://HOST[:PORT] and nothing more", code="bad-vault-address"
        )
    if not (_HOST.fullmatch(host) or _is_address(host)):
        raise UsageError("endpoint= names no host", code="bad-vault-address")
    if _is_address(host) and is_forbidden(host):
        raise UsageError(f"endpoint={host} is an address that no vault can have")
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"http://{host}: anybody on the way could read and change it: use https://",
            code="insecure-address",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")


_SCHEMES = ("http", "https")


def is_forbidden(address: str) -> bool:
    """Whether a resolved address is one that a name on the network must never lead to.

    Loopback is judged by the caller: a person may name it, a name on the network may not.
    """
    found = _unmap(address)
    return (
        found.is_link_local
        or found.is_unspecified
        or found.is_multicast
        or (found.version == 4 and found.is_reserved)
    )


def _unmap(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, of IPv4 also where it is written as one of IPv6."""
    found = ipaddress.ip_address(text.split("%", maxsplit=1)[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _amazon(region: str) -> str:
    tail = ".cn" if region.startswith("cn-") else ""
    return f"https://s3.{region}.amazonaws.com{tail}"
