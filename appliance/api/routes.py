"""The route table: what there is, and the least role that may ask for it."""

from __future__ import annotations

from appliance.api.route import Route
from appliance.api.v1 import (
    audit,
    box,
    certificates,
    console,
    disks,
    drills,
    events,
    files,
    findings,
    jobs,
    machines,
    passkeys,
    points,
    policies,
    run,
    session,
    setup,
    store,
    updates,
    users,
    vaults,
    vms,
)
from appliance.jobs.verb import Verbs

_MODULES = (
    *(box, machines, points, files, jobs, disks, findings, vaults, vms, drills, run, events),
    *(policies, session, passkeys, setup, store, users, audit, certificates, console, updates),
)


def list_routes(verbs: Verbs) -> list[Route]:
    """Every route, those of verbs last."""
    routes = [route for module in _MODULES for route in module.ROUTES]
    return [*routes, *(run.make_route(verb) for verb in verbs)]
