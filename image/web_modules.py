"""The modules of the page: fetched from the npm registry, checked, put where they are served from.

Owns: `appliance/web/vendor/` (what the page loads) and `build/axe/` (what only tests load). Never
does: run anything of a package, ask which version is the newest, or name a registry: that is what
npm is configured with on this host, so the checkout works behind any of them.

    python -m image.web_modules
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import os
import shutil
import ssl
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.process import run

ROOT = Path(__file__).resolve().parent.parent
SERVED = "appliance/web/vendor"
TESTED = "build/axe"
TIMEOUT_S = 120
PAUSES_S = (1.0, 5.0, 20.0)  # a registry that is away for a moment stops nobody
MOST_BYTES = 64 << 20  # axe-core comes as 40 MB of locales and pages around one file


@dataclass(frozen=True)
class Package:
    """A package of the registry. `files` maps a file, or a folder ending in `/`, to its place."""

    name: str
    version: str
    integrity: str
    folder: str
    files: tuple[tuple[str, str], ...]
    # Browsers resolve no bare names without an import map, and a strict page has none inline.
    renames: tuple[tuple[str, str], ...] = ()


PACKAGES = (
    Package(
        "preact",
        "11.2.0",
        "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        SERVED,
        (
            ("dist/preact.mjs", "preact.js"),
            ("hooks/dist/hooks.mjs", "preact-hooks.js"),
            ("LICENSE", "preact.LICENSE"),
        ),
        (('"preact"', '"./preact.js"'),),
    ),
    Package(
        "htm",
        "3.1.1",
        "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        SERVED,
        (("dist/htm.module.js", "htm.js"), ("LICENSE", "htm.LICENSE")),
    ),
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        SERVED,
        (
            ("dist/uPlot.esm.js", "uplot.js"),
            ("dist/uPlot.min.css", "uplot.css"),
            ("LICENSE", "uplot.LICENSE"),
        ),
    ),
    Package(
        "@novnc/novnc",
        "1.7.0",
        "sha512-ucEJOx4T2avIRCleodk7YobZj5O2Ga2AeLfQ69A/yjG9HHba2+PDgwSkN3FttrmG+70ZGx21sElNFouK13RzyA==",
        SERVED,
        (
            ("core/", "novnc/core/"),
            ("vendor/", "novnc/vendor/"),
            ("LICENSE.txt", "novnc/LICENSE.txt"),
        ),
    ),
    Package(
        "axe-core",
        "4.14.1",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        TESTED,
        (("axe.min.js", "axe.min.js"), ("LICENSE", "LICENSE")),
    ),
)


def find_registry() -> str:
    """The address of the npm registry, without a slash at its end.

    `npm_config_registry` of the environment goes first, as it does for npm; then npm is asked,
    which reads its own files. Raises HoldfastError if neither says one.
    """
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if value := os.environ.get(name):
            return value.rstrip("/")
    if not shutil.which("npm"):
        raise HoldfastError(
            "nobody says where the npm registry is: install npm or set npm_config_registry"
        )
    return run(["npm", "config", "get", "registry"]).strip().splitlines()[-1].rstrip("/")


def trusted_context() -> ssl.SSLContext:
    """TLS as this host is set up: its own authorities, and the one npm is told of as well."""
    context = ssl.create_default_context()  # heeds SSL_CERT_FILE and SSL_CERT_DIR
    if extra := os.environ.get("NODE_EXTRA_CA_CERTS"):
        context.load_verify_locations(extra)
    return context


def tarball_url(registry: str, package: Package) -> str:
    """Where a registry keeps the archive of a package, as npm itself asks for it."""
    last = package.name.rsplit("/", 1)[-1]
    return f"{registry}/{package.name}/-/{last}-{package.version}.tgz"


def check_integrity(archive: bytes, package: Package) -> None:
    """Raises IntegrityError if these are not the bytes that were pinned."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if not hmac.compare_digest(found, package.integrity):
        raise IntegrityError(
            f"{package.name} {package.version}: the registry gave other bytes than were pinned"
        )


def chosen_files(archive: bytes, package: Package) -> Iterator[tuple[str, bytes]]:
    """(place, content) of each wanted file; raises IntegrityError if one is not in the archive."""
    missing = {source for source, _ in package.files}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            inside = member.name.partition("/")[2]
            for source, place in package.files:
                is_inside = source.endswith("/") and inside.startswith(source)
                if not member.isreg() or not (is_inside or inside == source):
                    continue
                missing.discard(source)
                content = tar.extractfile(member)
                assert content is not None
                yield place + inside[len(source) :], rename_imports(content.read(), package)
    if missing:
        raise IntegrityError(
            f"{package.name} {package.version} has no {', '.join(sorted(missing))}"
        )


def rename_imports(content: bytes, package: Package) -> bytes:
    """The same module, with bare names replaced by paths beside it."""
    for bare, beside in package.renames:
        content = content.replace(f"from{bare}".encode(), f"from{beside}".encode())
    return content


def fetch_archive(url: str, package: Package) -> bytes:
    """The archive as it was pinned. What does not come, or not whole, is asked for again.

    Raises HoldfastError, or IntegrityError for other bytes than were pinned.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "holdfast"})  # noqa: S310
            with urllib.request.urlopen(  # noqa: S310 - the address is the host's own setting
                request, timeout=TIMEOUT_S, context=trusted_context()
            ) as reply:
                archive: bytes = reply.read(MOST_BYTES)
            check_integrity(archive, package)
        except (OSError, HTTPException, IntegrityError) as error:
            if pause_s is None:
                if isinstance(error, IntegrityError):
                    raise
                message = f"{package.name}: the npm registry does not answer: {error}"
                raise HoldfastError(message) from error
            time.sleep(pause_s)
        else:
            return archive
    raise AssertionError("the last attempt returns or raises")


def fetch_package(registry: str, package: Package, root: Path) -> None:
    """Fetch, check and unpack one package below `root`."""
    archive = fetch_archive(tarball_url(registry, package), package)
    for place, content in chosen_files(archive, package):
        if ".." in PurePosixPath(place).parts:
            raise IntegrityError(f"{package.name}: the archive leaves its folder with {place!r}")
        path = root / package.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def fetch_modules(root: Path = ROOT) -> None:
    """Bring all packages; what an older checkout left behind goes first."""
    registry = find_registry()
    for folder in (SERVED, TESTED):
        shutil.rmtree(root / folder, ignore_errors=True)
    for package in PACKAGES:
        fetch_package(registry, package, root)


def main() -> int:
    """The command line; the exit code says whether the page can be served."""
    try:
        fetch_modules()
    except HoldfastError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
