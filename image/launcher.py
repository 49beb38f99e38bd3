#!/usr/bin/python3 -I
"""The `holdfast` command of an installed box: runs the release that `current` names.

Lies at ROOT/bin/holdfast and belongs to no release: an update cannot spoil it. It needs the
standard library only. Before the daemon begins it looks at the release that is on trial
(docs/format/update.md): it counts its starts, ends it if it is not ready in time, and after the
last one it goes back to the release before.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

WITH_VALUE = ("--state", "--passphrase-file")


def main(root: Path, words: list[str]) -> None:
    """Run the command, as if it had been called itself."""
    if find_command(words) == "serve":
        begin_trial(root)
    library = str((root / "current").resolve() / "lib")
    sys.path.insert(0, library)
    # What the command starts is of the same release, although another one may be current by then.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [library, os.environ.get("PYTHONPATH", "")])
    )
    os.environ["PYTHONSAFEPATH"] = "1"  # nor what lies in the folder where somebody calls it
    from appliance.cli.main import run  # noqa: PLC0415 - only now it can be found

    run()


def find_command(words: list[str]) -> str:
    """The first word that is no option of the whole command."""
    rest = iter(words)
    for word in rest:
        if word in WITH_VALUE:
            next(rest, "")
        elif not word.startswith("-"):
            return word
    return ""


def begin_trial(root: Path) -> None:
    """Give the release on trial another chance, or go back to the one before it."""
    trial = read_trial(root)
    if not trial or (root / "current").readlink().name != trial["version"]:
        return
    if trial["tries_left"] > 0:
        trial["tries_left"] -= 1
        replace_file(root, "trial.json", json.dumps(trial))
        # The kernel ends it at the deadline, whatever it hangs in; who is ready stops the clock.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(trial["ready_within_s"])
    elif (root / "releases" / trial["previous"] / "lib").is_dir():
        sys.stderr.write(
            f"holdfast: {trial['version']} did not become ready: back to {trial['previous']}\n"
        )
        switch(root, trial["previous"])


def read_trial(root: Path) -> dict[str, Any]:
    """The note of the trial; empty if there is none, or none that can be understood."""
    try:
        trial = json.loads((root / "trial.json").read_bytes())
        numbers = (trial["tries_left"], trial["ready_within_s"])
        texts = (trial["version"], trial["previous"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    is_one = all(type(one) is int for one in numbers) and all(type(one) is str for one in texts)
    is_plain = is_one and not any("/" in one or one in ("", ".", "..") for one in texts)
    return dict(trial) if is_plain else {}


def replace_file(root: Path, name: str, text: str) -> None:
    """Durably, and at once."""
    temporary = root / f".new-{name}"
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(root / name)
    sync(root)


def switch(root: Path, version: str) -> None:
    """Let `current` lead to a release, durably, and at once."""
    temporary = root / ".new-current"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(f"releases/{version}")
    temporary.replace(root / "current")
    sync(root)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1], sys.argv[1:])
