"""What the end of a worker means for its job. Pure."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence

from appliance.catalog.job_table import Ending, Job, State
from appliance.jobs.verb import Verb
from appliance.jobs.workroom import LogLine, Outcome

RESUMED_MAX = 5
"""After so many interruptions in a row a job is left alone: it may be what brings the box down."""
RESULT_MAX_BYTES = 4 << 20
_GAPS = 3
_BY_SIGNAL = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def judge(
    job: Job,
    verb: Verb,
    outcome: Outcome | None,
    *,
    code: int | None,
    lines: Sequence[LogLine],
    at: str,
    is_stopping: bool = False,
) -> Ending:
    """How a job ended whose worker is no more.

    `code` is the exit code that the kernel gave, where somebody saw it; what the worker left as
    its last act counts more.
    """
    if outcome is None:
        return _judge_dead(job, verb, code=code, lines=lines, at=at, is_stopping=is_stopping)
    exit_code = outcome.exit_code
    state: State = "failed"
    if exit_code in (0, _GAPS):
        state = "done" if exit_code == 0 else "gaps"
    elif exit_code in _BY_SIGNAL:
        if not job.is_cancelled:
            return judge_interrupted(job, verb, lines=lines, at=at)
        state = "cancelled"
    result, shown, error = outcome.result, outcome.shown, outcome.error
    error_code = outcome.error_code
    if verb.private and result is not None:
        result, shown = json.dumps(_without(json.loads(result), verb.private)), ""
    if result is not None and len(result) > RESULT_MAX_BYTES:
        result, error = None, error or "its result is too long to be kept"
        error_code = error_code or "result-too-long"
    if state == "failed" and error is None:
        error = _last(lines)
    return Ending(
        state,
        at,
        exit_code,
        error if state != "cancelled" else None,
        job.progress,
        result=result,
        shown=shown,
        lines=_kept(lines),
        error_code=error_code if state != "cancelled" else None,
    )


def _judge_dead(
    job: Job,
    verb: Verb,
    *,
    code: int | None,
    lines: Sequence[LogLine],
    at: str,
    is_stopping: bool,
) -> Ending:
    exit_code = 128 - code if code is not None and code < 0 else code
    if job.is_cancelled:
        return Ending("cancelled", at, exit_code, None, job.progress, lines=_kept(lines))
    if code is None or is_stopping:
        return judge_interrupted(job, verb, lines=lines, at=at)
    error_code = None
    if code < 0:
        why, error_code = f"its process was ended by signal {signal.Signals(-code).name}", "killed"
        if -code == signal.SIGKILL:
            why += ": out of memory? 'holdfast health' and the kernel's log may tell"
    else:
        why = _last(lines) or f"its process ended with {code}"
    return Ending(
        *("failed", at, exit_code, why, job.progress), lines=_kept(lines), error_code=error_code
    )


def judge_interrupted(job: Job, verb: Verb, *, lines: Sequence[LogLine], at: str) -> Ending:
    """The end of a job whose worker, or the whole box, went down in the middle of it."""
    state: State = "cancelled" if job.is_cancelled else "interrupted"
    is_resumable = state == "interrupted" and verb.is_repeatable and job.attempt < RESUMED_MAX
    error = error_code = None
    if state == "interrupted" and not is_resumable:
        error_code = "interrupted-often" if verb.is_repeatable else "interrupted"
        error = f"was interrupted: 'holdfast jobs retry {job.id}' does it again"
        if verb.is_repeatable:
            error = f"was interrupted {job.attempt} times in a row: see its log, then {error}"
    return Ending(
        *(state, at, None, error, job.progress),
        is_resumable=is_resumable,
        lines=_kept(lines),
        error_code=error_code,
    )


def _without(value: object, private: Sequence[str]) -> object:
    if isinstance(value, dict):
        return {k: _without(item, private) for k, item in value.items() if k not in private}
    if isinstance(value, list):
        return [_without(item, private) for item in value]
    return value


def _last(lines: Sequence[LogLine]) -> str | None:
    return lines[-1].to_json()["text"] if lines else None


def _kept(lines: Sequence[LogLine]) -> list[tuple[int, str]]:
    return [(line.place, line.text) for line in lines]
