"""What of a box itself goes into a vault: wraps of recovery keys, and its settings.

Owns the choice of files and the bundle's seal. Box keys and passphrases never travel: a passphrase
that somebody can try at leisure is no protection.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.formats.keyfile import RECOVERY
from appliance.formats.vault_settings import decode_bundle, encode_bundle
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wrap_files import read_wrap_files

PLACE = "settings"
_PATTERNS = (
    *("holds/*.hold", "policies/*.policy", "vaults/*.vault", "vaults/*.credentials"),
    *("policies/*.protection", "names.record"),
)


def gather_files(root: Path) -> dict[str, bytes]:
    """The sealed records below the store `root` that travel, by place."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in _PATTERNS
        for path in sorted(root.glob(pattern))
        if not path.name.startswith(".")
    }


def fingerprint(files: dict[str, bytes]) -> str:
    """Changes whenever one of the files does."""
    digest = hashlib.sha256()
    for place, data in sorted(files.items()):
        digest.update(f"{place} {hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()


def seal_bundle(master: MasterKey, files: dict[str, bytes]) -> bytes:
    """The object that carries these files."""
    return master.seal_record(PLACE, encode_bundle(files))


def unpack_bundle(master: MasterKey, data: bytes, root: Path) -> list[str]:
    """Put the files of a bundle below the store `root`, durably; gives their places.

    Raises IntegrityError if the bundle does not open.
    """
    files = decode_bundle(master.open_record(PLACE, data))
    for place, content in files.items():
        make_directory((root / place).parent)
        write_file(root / place, content)
    return sorted(files)


def recovery_wraps(state: Path) -> list[bytes]:
    """The files of all wraps of recovery keys."""
    return [
        file.path.read_bytes()
        for file in read_wrap_files(state)
        if file.wrap is not None and file.wrap.kind == RECOVERY
    ]
