"""Builds the update file of this checkout: what is tested here is what a box gets.

Owns what goes into a release: the package, its native parts, the page, and the Python packages that
it needs, as they are installed in this environment. The key is the builder's, and is only read.

    openssl genpkey -algorithm ed25519 -out release-key.pem
    python -m image.update_file --key release-key.pem --follows 0.1.0 [--notes FILE] [--out DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import IO

import zstandard
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa
from packaging.requirements import Requirement

from appliance import __version__
from appliance.base.clock import SystemClock
from appliance.base.durable import open_durably, write_all
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.process import run
from appliance.base.text import size
from appliance.formats.keyfile import STORE_FORMAT
from appliance.formats.names import format_time
from appliance.formats.update import (
    NOTES_MAX,
    SUFFIX,
    UpdateHeader,
    encode_header,
    join_head,
    signed_bytes,
    version_key,
)
from appliance.keys.release_keys import name_key

ROOT = Path(__file__).resolve().parent.parent
LEVEL = 19
FORMATS = {"store": STORE_FORMAT}
BUILT = ("appliance/native/libholdfast.so", "appliance/native/holdfast-smart")
SERVED = "appliance/web/vendor"
_PIECE_BYTES = 1 << 20
Tree = Mapping[str, Path]
"""Name in the release -> the file that it is here."""


def list_checkout(root: Path = ROOT) -> dict[str, Path]:
    """The package as it is committed or about to be, and what `make setup` made of it."""
    argv = ["git", "ls-files", "--cached", "-z", "--", "appliance"]
    names = [*run(argv, cwd=root).split("\0"), *BUILT]
    names += [str(path.relative_to(root)) for path in (root / SERVED).rglob("*") if path.is_file()]
    tree = {name: root / name for name in names if name}
    if missing := [name for name, path in tree.items() if not path.is_file()]:
        raise HoldfastError(f"{missing[0]} is missing: 'make setup' makes it")
    return tree


def list_packages(name: str = "holdfast") -> dict[str, Path]:
    """The files of all Python packages that `name` needs, and theirs."""
    tree: dict[str, Path] = {}
    for needed in sorted(_close({name}) - {name}):
        for file in distribution(needed).files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                path = Path(str(file.locate()))
                if path.is_file():
                    tree[file.as_posix()] = path
    return tree


def _close(names: set[str]) -> set[str]:
    """These packages and all that they need here."""
    known: set[str] = set()
    waiting = [(name, frozenset[str]()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        name, extras = one
        known.add(name)
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})
            ):
                waiting.append((needed.name.lower(), frozenset(needed.extras)))
    return known


def build_update(
    tree: Tree,
    key_pem: str,
    folder: Path,
    *,
    version: str,
    follows: str,
    notes: str = "",
    level: int = LEVEL,
) -> Path:
    """Write `holdfast-VERSION.update` into `folder`, durably, signed; gives its path.

    Raises UsageError for a key that cannot sign, a wrong version, or a file that is there already.
    """
    version_key(version)
    version_key(follows)
    if len(notes) > NOTES_MAX:
        raise UsageError(f"the notes are longer than {NOTES_MAX} characters")
    key = _read_key(key_pem)
    path = folder / f"holdfast-{version}{SUFFIX}"
    with tempfile.TemporaryFile(dir=folder) as payload:
        _pack(tree, payload, level)
        payload_bytes = payload.tell()
        payload.seek(0)
        digest = hashlib.file_digest(payload, "sha256").digest()
        header = UpdateHeader(
            version=version,
            follows=follows,
            machine=platform.machine(),
            python=sys.implementation.cache_tag,
            built=format_time(SystemClock().now().replace(microsecond=0)),
            notes=notes,
            formats=FORMATS,
            key=name_key(export_public(key_pem).encode()),
            payload_sha256=digest,
            payload_bytes=payload_bytes,
            tree_bytes=sum(one.stat().st_size for one in tree.values()),
            tree_files=len(tree),
        )
        data = encode_header(header)
        signature = eddsa.new(key, "rfc8032").sign(signed_bytes(data))
        payload.seek(0)
        try:
            with open_durably(path, 0o644, replace=False) as descriptor:
                write_all(descriptor, join_head(data, signature))
                while piece := payload.read(_PIECE_BYTES):
                    write_all(descriptor, piece)
        except FileExistsError as error:
            raise UsageError(f"{path} exists already: a release is built once") from error
    return path


def export_public(key_pem: str) -> str:
    """The public half, as boxes keep it."""
    return str(_read_key(key_pem).public_key().export_key(format="PEM"))


def _read_key(pem: str) -> ECC.EccKey:
    try:
        key = ECC.import_key(pem)
    except ValueError as error:
        raise UsageError("the key is no private key in PEM") from error
    if key.curve != "Ed25519" or not key.has_private():
        raise UsageError("the key is no private key of Ed25519: 'openssl genpkey' makes one")
    return key


def _pack(tree: Tree, out: IO[bytes], level: int) -> None:
    """The same tree gives the same bytes."""
    compressor = zstandard.ZstdCompressor(level=level, threads=os.cpu_count() or 1)
    with (
        compressor.stream_writer(out, closefd=False) as writer,
        tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in sorted(tree.items()):
            info = tarfile.TarInfo(name)
            found = path.stat()
            info.size, info.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
            with path.open("rb") as file:
                archive.addfile(info, file)


def main() -> None:
    """As the head of this module shows."""
    parser = argparse.ArgumentParser(description="Build the update file of this checkout.")
    parser.add_argument("--key", type=Path, required=True, help="the private key, in PEM")
    parser.add_argument("--follows", default=__version__, help="the least version it may follow")
    parser.add_argument("--notes", type=Path, help="what is new, a text for people")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "update")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        path = build_update(
            {**list_packages(), **list_checkout()},
            options.key.read_text(),
            options.out,
            version=__version__,
            follows=options.follows,
            notes="" if options.notes is None else options.notes.read_text(),
        )
        public = options.out / "release-key.pub.pem"
        public.write_text(export_public(options.key.read_text()) + "\n")
    except (HoldfastError, OSError) as error:
        sys.exit(f"update: {error}")
    print(f"{path}, {size(path.stat().st_size)}; boxes that trust {public} take it")


if __name__ == "__main__":
    main()
