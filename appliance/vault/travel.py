"""What of a box itself goes into a vault: wraps of recovery keys, and its settings.

Owns the choice of files, the bundle's seal, and which of them only the box takes over that goes on
in the place of another. Box keys, passphrases and accounts never travel: a password that somebody
can try at leisure is no protection.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.base.errors import NotFoundError
from appliance.formats.keyfile import RECOVERY
from appliance.formats.vault_settings import decode_bundle, encode_bundle
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wrap_files import read_wrap_files
from appliance.store.layout import Layout
from appliance.vault.contents import Contents

PLACE = "settings"
_RECORDS = (
    *("holds/*.hold", "policies/*.policy", "policies/*.protection", "names.record"),
    *("machines/*.machine", "notices/*.channel", "vaults/*.vault", "vaults/*.credentials"),
)
# Files of the state directory that somebody wrote; the bundle is what seals them.
_FILES = ("daemon.toml", "plans/*.toml", "presets/*.json")
_BOX = "box/"
_FILE_MAX_BYTES = 1 << 20
# By these a box acts by itself: two boxes would back up, rehearse and tell the same.
_ACTING = ("machines/", "notices/", "box/daemon.toml", "box/plans/")
# Folders in which a file that goes is a change. Claims change with each sync, so not `vaults`.
_FOLDERS = ("holds", "policies", "machines", "notices")


def gather_files(layout: Layout) -> dict[str, bytes]:
    """What travels of a box, by place: records as they are sealed, files below `box/`."""
    return {place: path.read_bytes() for place, path in _list_files(layout)}


def _list_files(layout: Layout) -> Iterator[tuple[str, Path]]:
    for root, prefix, patterns in (
        (layout.root, "", _RECORDS),
        (layout.state, _BOX, _FILES),
    ):
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                is_kept = path.is_file() and not path.is_symlink() and not path.name.startswith(".")
                if is_kept and path.stat().st_size <= _FILE_MAX_BYTES:
                    yield prefix + path.relative_to(root).as_posix(), path


def find_change_s(layout: Layout) -> float:
    """When something that travels came, changed or went last, in seconds since the epoch."""
    folders = [layout.root / name for name in _FOLDERS]
    folders += [layout.state / "plans", layout.state / "presets"]
    newest_s = 0.0
    for path in (*folders, *(path for _, path in _list_files(layout))):
        with contextlib.suppress(FileNotFoundError):
            newest_s = max(newest_s, path.stat().st_mtime)
    return newest_s


def fingerprint(files: dict[str, bytes]) -> str:
    """Changes whenever one of the files does."""
    digest = hashlib.sha256()
    for place, data in sorted(files.items()):
        digest.update(f"{place} {hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()


def seal_bundle(master: MasterKey, files: dict[str, bytes]) -> bytes:
    """The object that carries these files."""
    return master.seal_record(PLACE, encode_bundle(files))


def unpack_bundle(
    master: MasterKey, data: bytes, layout: Layout, *, is_successor: bool
) -> list[str]:
    """Put what a bundle carries and the box does not have in its place, durably; gives the places.

    What a box acts by comes only to the `is_successor`. Raises IntegrityError if the bundle does
    not open.
    """
    unpacked = []
    for place, content in sorted(decode_bundle(master.open_record(PLACE, data)).items()):
        is_file = place.startswith(_BOX)
        path = layout.state / place.removeprefix(_BOX) if is_file else layout.root / place
        if path.exists() or (place.startswith(_ACTING) and not is_successor):
            continue
        make_directory(path.parent)
        write_file(path, content)
        unpacked.append(place)
    return unpacked


async def succeed(contents: Contents, master: MasterKey, layout: Layout) -> list[str]:
    """Take over what the owner of a vault acted by, as far as the box has nothing of its own.

    Durable on return; gives the places. For a box that was opened to look and is to go on.
    Raises IntegrityError if that cannot be read.
    """
    found = await contents.newest_box_head()
    if found is None or found[0].settings is None or any((layout.root / "machines").glob("*")):
        return []
    try:
        data = await contents.read("settings", found[0].settings)
    except NotFoundError:
        return []
    return unpack_bundle(master, data, layout, is_successor=True)


def recovery_wraps(state: Path) -> list[bytes]:
    """The files of all wraps of recovery keys."""
    return [
        file.path.read_bytes()
        for file in read_wrap_files(state)
        if file.wrap is not None and file.wrap.kind == RECOVERY
    ]
