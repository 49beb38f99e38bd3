"""serve: the daemon."""

from __future__ import annotations

import argparse

from appliance.base.durable import make_directory
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.verbs import build_verbs
from appliance.daemon.box import EVERYWHERE, BoxServer, Listen
from appliance.daemon.daemon import Daemon, Part
from appliance.daemon.health_watch import HealthWatch
from appliance.daemon.keeper import Keeper
from appliance.daemon.release_watch import ReleaseWatch
from appliance.daemon.trial_watch import TrialWatch
from appliance.host.host import Host
from appliance.host.trial import Trials
from appliance.jobs.jobs import Jobs
from appliance.native import kernels


def serve(session: Session, options: argparse.Namespace) -> int:
    """Run the daemon until it is asked to end."""
    kernels()  # a release on trial whose C library cannot be used must not become ready
    make_directory(session.state)
    listen = Listen(tuple(options.listen or EVERYWHERE), options.port, tuple(options.name or ()))

    def say(line: str) -> None:
        session.console.note(f"holdfast: {line}")

    releases = ReleaseWatch(session.state, session.clock, say)

    def make_parts(jobs: Jobs) -> list[Part]:
        releases.jobs = jobs
        keeper = Keeper(session.state, jobs, session.clock, say)
        server = BoxServer(
            session.state,
            jobs,
            session.clock,
            listen,
            command=session.command(),
            say=say,
        )

        def tell(is_urgent: bool) -> None:
            server.look_at_health()
            if is_urgent:
                keeper.tell_at_once()

        watch = HealthWatch(session.command("--json"), say, tell)
        trials = TrialWatch(Trials(Host(), session.clock), say)
        return [server, keeper, watch, trials, releases]

    Daemon(
        session.state,
        build_verbs(),
        command=session.command("--json"),
        clock=session.clock,
        say=say,
        make_parts=make_parts,
        when_ready=releases.begin,
    ).run()
    return DONE
