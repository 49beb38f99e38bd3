"""What somebody should know of the releases of a box: an update that undid itself."""

from __future__ import annotations

from appliance.formats.finding import Evidence, Finding
from appliance.formats.names import parse_time
from appliance.updates.releases import Releases


def judge_releases(releases: Releases) -> list[Finding]:
    """A finding until another release, newer or older, has become ready."""
    history = releases.history()
    if not history or history[-1].outcome != "failed":
        return []
    last = history[-1]
    when = parse_time(last.time)
    assert when is not None
    return [
        Finding(
            "box",
            "box.update-failed",
            "warning",
            f"the update to {last.version} did not become ready: {last.previous} runs again",
            (Evidence("release that failed", ((when, last.version),)),),
            "everything works as before, without what is new in it",
            "send the support bundle to whoever built it: 'holdfast bundle', or Settings, Support",
        )
    ]
