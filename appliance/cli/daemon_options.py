"""The arguments of serve and jobs."""

from __future__ import annotations

import argparse

from appliance.catalog.job_table import STATES
from appliance.cli.global_options import add_action

_SERVE = """\
Run the box: do what commands and policies ask for, one after the other where that is better, keep
what became of it, and go on after a restart. Other commands find it by themselves and let it do
what takes long; without it they do everything on their own. Ctrl-C or SIGTERM ends it within ten
seconds; what was not done is begun again at the next start.
"""
_JOBS = """\
What the daemon ('holdfast serve') does and did. A job that was interrupted is begun again by itself
where that does no harm; where it might, it says so and waits for 'jobs retry'.
"""


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Arguments of serve."""
    parser.description = _SERVE
    parser.add_argument(
        "--port", metavar="N", type=int, default=8443, help="of pages and API (default 8443)"
    )
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        action="append",
        help="listen only on this address; may be given again (default: all)",
    )
    parser.add_argument(
        "--name",
        metavar="HOST",
        action="append",
        help="the box is called so, too: pages are served under no other name",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Arguments of jobs and what it can do."""
    parser.description = _JOBS
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    some = add_action(actions, "list", "jobs, newest first")
    some.add_argument("--only", choices=STATES, help="only such jobs")
    some.add_argument("--machine", metavar="NAME", help="only jobs about this machine")
    some.add_argument("--verb", metavar="VERB", help="only these, as 'vault sync'")
    some.add_argument(
        "--limit", metavar="N", type=int, default=20, help="at most so many (default 20)"
    )
    some.add_argument("--after", metavar="JOB", type=int, help="only jobs older than this one")
    for name, summary in (
        ("show", "one job, and what it gave"),
        ("log", "what a job said"),
        ("cancel", "ask a job to stop"),
        ("retry", "do again what a job did"),
    ):
        action = add_action(actions, name, summary)
        action.add_argument("job", metavar="JOB", type=int, help="its number, as 'jobs list' shows")
