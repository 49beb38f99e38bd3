"""Makes the place of releases on a new box: the launcher, the keys it trusts, the first release.

python -m image.box_root ROOT FILE.update --trust KEY.pub.pem
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from appliance.base.clock import SystemClock
from appliance.base.durable import make_directory, write_file
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.progress import Progress
from appliance.keys.release_keys import name_key
from appliance.updates.installing import install_update
from appliance.updates.releases import Releases

LAUNCHER = Path(__file__).with_name("launcher.py")


def make_root(root: Path, state: Path, update: Path, keys: list[Path]) -> str:
    """Install `update` as the first release below `root`, durably; gives its version.

    Raises UsageError if there are releases already: those are updated.
    """
    releases = Releases(root, SystemClock())
    if releases.current() is not None:
        raise UsageError(f"{root} has releases already: 'holdfast update install {update}'")
    for folder in (root / "bin", root / "trusted", root / "releases"):
        make_directory(folder, 0o755)
    for key in keys:
        data = key.read_bytes()
        write_file(root / "trusted" / f"{name_key(data)}.pem", data, 0o644)
    write_file(root / "bin" / "holdfast", LAUNCHER.read_bytes(), 0o755)
    return install_update(releases, state, update, Progress()).version


def main() -> None:
    """As the head of this module shows."""
    parser = argparse.ArgumentParser(description="Install the first release of a box.")
    parser.add_argument("root", type=Path, help="where releases are kept: /opt/holdfast")
    parser.add_argument("update", type=Path, help="what 'make update-file' made")
    parser.add_argument("--trust", type=Path, required=True, action="append", help="a public key")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/holdfast"))
    options = parser.parse_args()
    root = options.root.absolute()
    try:
        version = make_root(root, options.state, options.update, options.trust)
    except (HoldfastError, OSError) as error:
        sys.exit(f"install: {error}")
    print(f"{root} runs {version}: link {root}/bin/holdfast to /usr/local/bin, then start the unit")


if __name__ == "__main__":
    main()
