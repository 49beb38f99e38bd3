"""Where the keys of a bucket come from, and where they are kept.

Owns reading them from an INI file or the environment, and the sealed record of them in the store.
They are never in an argument vector, a status, a message or a log.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import NotFoundError, UsageError
from appliance.formats.vault_credentials import (
    Credentials,
    decode_credentials,
    encode_credentials,
)
from appliance.store.records import Records

FOLDER = "vaults"
_FILE_MAX_BYTES = 64 << 10
_SECTION = "default"
_ACCESS, _SECRET, _TOKEN = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
# Regions and output formats in the same file are somebody else's.
_VAULT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def read_credentials_file(path: Path) -> Credentials:
    """The keys under `[default]` of an INI file as other S3 tools write it.

    Raises UsageError, which names the file and never shows what is in it, and NotFoundError.
    """
    with durable.named_os_errors(path), path.open("rb") as stream:
        data = stream.read(_FILE_MAX_BYTES + 1)
    return parse_credentials(data, str(path))


def parse_credentials(data: bytes, where: str) -> Credentials:
    """The keys in the text of such a file. `where` begins the messages. Raises UsageError."""
    if len(data) > _FILE_MAX_BYTES:
        raise UsageError(f"{where}: longer than {_FILE_MAX_BYTES >> 10} KiB")
    parser = configparser.RawConfigParser(
        strict=True, default_section="\0", delimiters=("=",), comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(data.decode("utf-8-sig"))
    except configparser.DuplicateOptionError as error:
        raise UsageError(f"{where} line {error.lineno}: given twice") from None
    except (configparser.Error, UnicodeDecodeError, AttributeError):
        # Their messages quote the line, which may be the secret.
        raise UsageError(f"{where} is not an INI file: expected {_example()}") from None
    if not parser.has_section(_SECTION):
        raise UsageError(f"{where} has no section [{_SECTION}]: expected {_example()}")
    values = dict(parser.items(_SECTION))
    return _credentials(values, (_ACCESS, _SECRET, _TOKEN), where)


def read_environment(environment: Mapping[str, str]) -> Credentials | None:
    """The keys in the variables that other S3 tools read; None without any of them.

    Raises UsageError if only one of the two is there.
    """
    names = (_ACCESS.upper(), _SECRET.upper(), _TOKEN.upper())
    if not any(environment.get(name) for name in names[:2]):
        return None
    return _credentials(environment, names, "the environment")


def _credentials(values: Mapping[str, str], names: tuple[str, str, str], where: str) -> Credentials:
    access, secret, token = (values.get(name, "").strip() for name in names)
    for name, value in zip(names, (access, secret), strict=False):
        if not value:
            raise UsageError(f"{where} has no {name}")
    try:
        return Credentials(access, secret, token or None)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _example() -> str:
    return f"[{_SECTION}], {_ACCESS} = ..., {_SECRET} = ..."


class KeptCredentials:
    """The sealed records of one store, one per vault."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def find(self, vault: str) -> Credentials:
        """The keys of `vault`. Raises NotFoundError, or IntegrityError for a damaged record."""
        place = self._place(vault)
        data = self._records.read(place)
        if data is None:
            raise NotFoundError(
                f"the box has no credentials for vault {vault}: 'holdfast vault set-credentials'",
                code="needs-credentials",
            )
        return decode_credentials(data)

    def keep(self, vault: str, credentials: Credentials) -> None:
        """Seal the keys, in the place of earlier ones, durably on return."""
        place = self._place(vault)
        durable.make_directory(self._records.path(place).parent)
        self._records.write(place, encode_credentials(credentials))

    def drop(self, vault: str) -> None:
        """Forget the keys of `vault`, durably on return; none are fine."""
        place = self._place(vault)
        if self._records.path(place).exists():
            self._records.remove(place)

    @staticmethod
    def _place(vault: str) -> str:
        if not _VAULT_NAME.fullmatch(vault):
            raise UsageError(
                f"{vault[:40]!r}: a vault's name is 1 to 32 of a-z, 0-9 and '-'",
                code="bad-vault-name",
            )
        return f"{FOLDER}/{vault}.credentials"
