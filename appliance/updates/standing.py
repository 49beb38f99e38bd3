"""How the releases of a box stand, in the one form that the command and the API give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import appliance
from appliance import __version__
from appliance.base.errors import IntegrityError
from appliance.formats.update import Trial, UpdateHeader
from appliance.updates.releases import Releases


def describe_checkout() -> str:
    """What to do where this program is no release."""
    folder = Path(appliance.__file__).parents[1]
    return (
        f"Holdfast {__version__} runs from the checkout {folder} and is updated there: "
        "'git pull', 'make setup', then start it again"
    )


def show_releases(releases: Releases | None) -> dict[str, Any]:
    """What there is, what runs since when, what ran before; None is a checkout.

    `trial` is the release that has yet to show that it becomes ready.
    """
    if releases is None:
        return {
            "version": __version__,
            "is_installed": False,
            "what_to_do": describe_checkout(),
            **{"root": None, "current": None, "since": None, "previous": None, "trial": None},
            **{"releases": [], "history": [], "trusted": [], "uploaded_bytes": None},
        }
    current, history = releases.current(), releases.history()
    before = None if current is None else releases.before(current)
    since = [one.time for one in history if (one.version, one.outcome) == (current, "running")]
    trial = _find_trial(releases)
    return {
        "version": __version__,
        "is_installed": True,
        "what_to_do": None,
        "root": str(releases.root),
        "current": current,
        "since": since[-1] if since else None,
        "previous": None if before is None else before.version,
        "trial": None if trial is None else vars(trial),
        "releases": [
            {
                "version": one.version,
                "is_current": one.version == current,
                "built": None if one.header is None else one.header.built,
                "notes": "" if one.header is None else one.header.notes,
            }
            for one in releases.installed()
        ],
        "history": [vars(one) for one in reversed(history)],
        "trusted": sorted(releases.trusted()),
        "uploaded_bytes": releases.uploaded_bytes(),
    }


def _find_trial(releases: Releases) -> Trial | None:
    try:
        trial = releases.read_trial()
    except IntegrityError:
        return None
    return trial if trial is not None and trial.version == releases.current() else None


def show_header(header: UpdateHeader) -> dict[str, Any]:
    """What an update says of itself."""
    return {
        "version": header.version,
        "follows": header.follows,
        "machine": header.machine,
        "python": header.python,
        "built": header.built,
        "notes": header.notes,
        "key": header.key,
        "size_bytes": header.payload_bytes,
        "tree_bytes": header.tree_bytes,
    }
