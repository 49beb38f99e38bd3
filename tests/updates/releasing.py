"""Releases for tests: keys of their own, small trees, and the real package under other versions."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import zstandard
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from appliance.base.clock import SystemClock
from appliance.formats.update import UpdateHeader, encode_header, join_head, signed_bytes
from appliance.keys.release_keys import name_key
from appliance.updates.releases import Releases
from image.box_root import make_root
from image.update_file import build_update, export_public, list_checkout

CLOCK = SystemClock()


def make_key() -> str:
    """A new private key in PEM."""
    return ECC.generate(curve="Ed25519").export_key(format="PEM")


class Builder:
    """Builds updates below a folder, with a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = make_key()
        folder.mkdir(exist_ok=True)
        self.public = folder / "key.pub.pem"
        self.public.write_text(export_public(self.key))

    def write(self, name: str, text: str) -> Path:
        """A file to put into a release."""
        path = self.folder / name.replace("/", "_")
        path.write_text(text)
        return path

    def build(
        self,
        version: str,
        tree: dict[str, Path] | None = None,
        *,
        follows: str = "0.1.0",
        notes: str = "",
        key: str = "",
    ) -> Path:
        """An update; without a `tree` of a package that only says its version."""
        if tree is None:
            say = f"def run():\n    print('{version}')\n"
            tree = {
                "appliance/__init__.py": self.write("empty", ""),
                "appliance/cli/__init__.py": self.write("empty", ""),
                "appliance/cli/main.py": self.write(f"main-{version}", say),
            }
        return build_update(
            tree,
            key or self.key,
            self.folder,
            version=version,
            follows=follows,
            notes=notes,
            level=1,
        )

    def build_real(self, version: str, changed: dict[str, str]) -> Path:
        """This checkout under another version; `changed` are modules with another text."""
        texts = {
            "appliance/__init__.py": f'"""A release."""\n\n__version__ = "{version}"\n',
            **changed,
        }
        files = {name: self.write(f"{version}/{name}", text) for name, text in texts.items()}
        return self.build(version, list_checkout() | files, notes=f"What is new in {version}.")

    def make_box(self, root: Path, update: Path, state: Path) -> Releases:
        """A box whose first release is `update`, which trusts this builder."""
        make_root(root, state, update, [self.public])
        return Releases(root, CLOCK)


def launch(root: Path, *words: str) -> list[str]:
    """The argument vector of the installed command."""
    return [sys.executable, str(root / "bin" / "holdfast"), *words]


def sign_header(signer: str, **members: Any) -> bytes:
    """A head whose header says whatever a test wants it to say."""
    public = export_public(signer).encode()
    header = {
        "version": "1.1.0",
        "follows": "0.1.0",
        "machine": os.uname().machine,
        "python": sys.implementation.cache_tag,
        "built": "2026-11-21T09:30:00Z",
        "notes": "",
        "formats": {"store": 2},
        "key": name_key(public),
        "tree_files": 1,
        **members,
    }
    data = encode_header(UpdateHeader(**header))
    signature = eddsa.new(ECC.import_key(signer), "rfc8032").sign(signed_bytes(data))
    return join_head(data, signature)


def sign_archive(signer: str, members: list[tuple[tarfile.TarInfo, bytes]], **header: Any) -> bytes:
    """A whole update around an archive of these members."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if content else None)
    payload = zstandard.compress(archive.getvalue())
    said = {
        "payload_sha256": hashlib.sha256(payload).digest(),
        "payload_bytes": len(payload),
        "tree_bytes": sum(len(content) for _, content in members) or 1,
        "tree_files": sum(bool(content) for _, content in members) or 1,
        **header,
    }
    return sign_header(signer, **said) + payload


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    """One member of an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content
