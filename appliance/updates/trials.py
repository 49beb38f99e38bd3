"""What became of a release on trial: told by whichever release is ready afterwards.

Owns the judgement. The counting of starts and the way back are `image/launcher.py`'s, which runs
before any release does.
"""

from __future__ import annotations

import signal

from appliance.base.errors import IntegrityError
from appliance.formats.update import Event
from appliance.updates.releases import TRIES, Releases


def settle_trial(releases: Releases, running: str) -> Event | None:
    """Called when the release `running` is ready: write down how a trial ended, durably.

    Gives what was written down, or None if there was nothing to judge. Raises BusyError while
    somebody installs.
    """
    with releases.lock():
        try:
            trial = releases.read_trial()
        except IntegrityError:
            releases.end_trial(None)  # it is current, and ready
            return None
        if trial is None or releases.current() != running:
            return None  # the next one is on its way
        signal.alarm(0)
        if trial.version == running:
            outcome = Event(releases.now(), running, trial.previous, "running", trial.began)
        elif trial.tries_left < TRIES:
            outcome = Event(releases.now(), trial.version, running, "failed", trial.began)
        else:
            releases.end_trial(None)  # whoever installed it was killed before it could begin
            return None
        releases.end_trial(outcome)
        return outcome
