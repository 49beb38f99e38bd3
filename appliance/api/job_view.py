"""A job as it is shown: to whom what of it.

Owns what is left out. The record keeps everything: it is done again from it.
"""

from __future__ import annotations

from typing import Any

from appliance.access.callers import OPERATOR, Caller
from appliance.catalog.job_table import Job
from appliance.jobs.verb import Verbs

HIDDEN = "..."


def tells_inside(verbs: Verbs, job: Job) -> bool:
    """Whether what a job gives and says lies inside points."""
    return job.verb in verbs and verbs.get(job.verb).is_inside


def show_job(verbs: Verbs, job: Job, caller: Caller | None = None) -> dict[str, Any]:
    """The job as JSON, for everybody or for `caller`."""
    shown = job.to_json()
    if job.verb in verbs:
        for name in verbs.get(job.verb).hidden:
            if name in shown["arguments"]:
                shown["arguments"][name] = HIDDEN
    if tells_inside(verbs, job) and not (caller is not None and caller.may(OPERATOR)):
        shown["result"] = None
    return shown
