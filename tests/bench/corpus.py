"""The bench's corpus: a disk filled from Debian packages, and the same disk some days later.

Owns: which packages, which files change and how, the cache under `build/bench/`. Never does:
measure. The packages are downloaded by this host's apt (so the host is Debian 12) and unpacked,
not installed; the choice of files and bytes is seeded, so two corpora of one archive state hold
the same files.

    python -m tests.bench.corpus [--small]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.process import run as ask
from image import layout, workbench
from image.disk_cache import DiskCache, hash_recipe
from image.workbench import mount_partition, run, say

CACHE_DIRECTORY = Path(__file__).resolve().parents[2] / "build" / "bench"
SEED = 20261121
# The kernel's package name carries a number that moves: the oldest and newest offered are taken.
_KERNEL = r"^linux-image-6\.1\.0-[0-9]+-amd64$"
_SERVER = """git postgresql-15 mariadb-server mariadb-server-core wordpress zabbix-frontend-php
gcc-12 g++-12 cpp-12 libllvm14"""
_OFFICE = """libreoffice-core libreoffice-common libreoffice-calc libreoffice-writer
libreoffice-help-en-us texlive-latex-extra texlive-pictures texlive-lang-greek thunderbird
firefox-esr fonts-noto-core fonts-noto-extra fonts-noto-cjk"""
_DEVELOPMENT = """linux-doc-6.1 openjdk-17-jre-headless openjdk-17-jdk-headless openjdk-17-doc
llvm-14-dev libllvm15 golang-1.19-go golang-1.19-src libstd-rust-dev libstd-rust-1.63 rust-src
libboost1.74-dev docker.io mediawiki python3.11-doc libwireshark16"""


@dataclass(frozen=True)
class Recipe:
    """What one size of corpus is made of. `edits` counts files of the second generation."""

    name: str
    disk_bytes: int
    packages: str
    new_packages: str
    with_kernels: bool
    edits: int


FULL = Recipe(
    name="full",
    disk_bytes=8 << 30,
    packages=f"{_SERVER} {_OFFICE} {_DEVELOPMENT}",
    new_packages="libreoffice-impress libreoffice-draw clamav",
    with_kernels=True,
    edits=1500,
)
SMALL = Recipe(
    name="small",
    disk_bytes=1 << 30,
    packages=_SERVER,
    new_packages="emacs-common",
    with_kernels=False,
    edits=150,
)


@dataclass(frozen=True)
class Corpus:
    """Two generations of one disk. Read them, never write them."""

    name: str
    first: Path
    second: Path


def provide_corpus(recipe: Recipe) -> Corpus:
    """The corpus of `recipe`, built if it is not in the cache (needs root then)."""
    cache = DiskCache(CACHE_DIRECTORY, hash_recipe([layout, sys.modules[__name__]]))

    def build_first(disk: Path, root: Path) -> None:
        layout.make_disk(disk, recipe.disk_bytes, str(uuid.uuid4()), "bench", log=cache.log)
        packages = recipe.packages.split() + _find_kernels()[:1] * recipe.with_kernels
        archives = _download(packages, cache)
        with mount_partition(disk, layout.PARTITION_OFFSET_BYTES, root, log=cache.log):
            _unpack(archives, root, cache)
            run(["fstrim", root], log=cache.log)

    def build_second(disk: Path, root: Path) -> None:
        cache.copy(first, disk)
        packages = recipe.new_packages.split() + _find_kernels()[-1:] * recipe.with_kernels
        archives = _download(packages, cache)
        with mount_partition(disk, layout.PARTITION_OFFSET_BYTES, root, log=cache.log):
            say(f"changing {recipe.edits} files (seed {SEED})")
            _change_files(root, recipe.edits)
            _unpack(archives, root, cache)

    first = cache.provide(f"{recipe.name}-first", build_first)
    return Corpus(recipe.name, first, cache.provide(f"{recipe.name}-second", build_second))


def _find_kernels() -> list[str]:
    """Names of the kernels apt offers, oldest first."""
    found = ask(["apt-cache", "search", "--names-only", _KERNEL]).splitlines()
    names = [line.split()[0] for line in found]
    if not names:
        raise HoldfastError("apt offers no Debian 12 kernel: the corpus is built on Debian 12")
    return sorted(names, key=lambda name: int(re.findall(r"-(\d+)-", name)[0]))


def _download(packages: Sequence[str], cache: DiskCache) -> list[Path]:
    """The .deb files of `packages`, downloaded if they are not there yet."""
    apt = ["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "download"]
    printed = ask([*apt, "--print-uris", *packages], timeout_s=300).splitlines()
    archives, missing = [], []
    for line in sorted(printed):
        _, name, size_bytes = shlex.split(line)[:3]
        archive = cache.downloads / name
        archives.append(archive)
        if not archive.exists() or archive.stat().st_size != int(size_bytes):
            missing.append(name.partition("_")[0])
    for number, package in enumerate(missing, start=1):
        say(f"downloading {package} ({number} of {len(missing)})")
        run(["env", "-C", cache.downloads, *apt, package], log=cache.log)
    return archives


def _unpack(archives: Sequence[Path], root: Path, cache: DiskCache) -> None:
    for number, archive in enumerate(archives, start=1):
        say(f"unpacking {archive.name.partition('_')[0]} ({number} of {len(archives)})")
        run(["dpkg-deb", "-x", archive, root], log=cache.log)


def _change_files(root: Path, edits: int) -> None:
    """Remove, grow, copy and edit files: a fifth, a quarter, a fifth and the rest of `edits`."""
    generator = random.Random(SEED)
    candidates = sorted(path for path in _list_files(root) if 512 <= path.stat().st_size <= 8 << 20)
    chosen = generator.sample(candidates, edits)
    copies = root / "srv/copies"
    copies.mkdir(parents=True)
    for number, path in enumerate(chosen):
        share = number / edits
        if share < 0.20:
            path.unlink()
        elif share < 0.45:
            with path.open("ab") as file:
                file.write(generator.randbytes(generator.randrange(1, 64 << 10)))
        elif share < 0.65:
            shutil.copyfile(path, copies / f"{number:04d}-{path.name}")
        else:
            _insert_bytes(path, generator)


def _insert_bytes(path: Path, generator: random.Random) -> None:
    """Insert a few bytes somewhere and save as editors do: a new file renamed over the old."""
    content = path.read_bytes()
    for _ in range(generator.randrange(1, 4)):
        position = generator.randrange(len(content) + 1)
        inserted = generator.randbytes(generator.randrange(1, 200))
        content = content[:position] + inserted + content[position:]
    saved = path.with_name(f".{path.name}.new")
    saved.write_bytes(content)
    saved.rename(path)


def _list_files(root: Path) -> list[Path]:
    found = []
    for directory, _, names in os.walk(root):
        paths = (Path(directory, name) for name in names)
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def main(arguments: list[str]) -> int:
    """Build the corpus and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.corpus")
    parser.add_argument("--small", action="store_true", help="1 GiB instead of 8 GiB")
    options = parser.parse_args(arguments)
    corpus = provide_corpus(SMALL if options.small else FULL)
    for disk in (corpus.first, corpus.second):
        used_bytes = disk.stat().st_blocks * 512
        say(f"{disk}: {disk.stat().st_size >> 20} MiB, {used_bytes >> 20} MiB used")
    return 0


if __name__ == "__main__":
    workbench.run_privately("tests.bench.corpus", main)
