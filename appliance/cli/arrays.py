"""array, and carrying out plans."""

from __future__ import annotations

import argparse

from appliance.base.errors import UsageError
from appliance.base.text import duration, printable, size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.health.array_changes import (
    plan_check,
    plan_creation,
    plan_growth,
    plan_spare,
    require_array,
)
from appliance.health.arrays import Array, list_arrays, read_array
from appliance.health.inventory import Inventory
from appliance.health.kernel_tree import KernelTree
from appliance.health.plans import Plan
from appliance.health.udev import read_properties

_LOOK_EVERY_S = 1.0
# The kernel starts a rebuild a moment after it was asked.
_START_S = 5.0


def array(session: Session, options: argparse.Namespace) -> int:
    """List arrays, or do something with one."""
    tree = KernelTree()
    arrays = list_arrays(tree)
    if options.action is None:
        text = "\n".join(describe_array(item) for item in arrays)
        session.console.result(
            {"arrays": [item.to_json() for item in arrays]},
            text or "There is no array: 'holdfast array create' makes one.",
        )
        return DONE
    inventory = Inventory(tree, read_properties)
    if options.action == "create":
        plan = plan_creation(
            inventory, arrays, options.disks, level=options.level, erase=options.erase
        )
        return follow(session, options, plan, tree, [str(plan.facts["array"])])
    found = require_array(arrays, options.array)
    if options.action == "check":
        plan = plan_check(tree, found)
    elif options.action == "spare":
        plan = plan_spare(inventory, found, options.new, options.erase)
    else:
        plan = plan_growth(inventory, found, options.new, options.erase)
    return follow(session, options, plan, tree, [found.name])


def follow(
    session: Session, options: argparse.Namespace, plan: Plan, tree: KernelTree, names: list[str]
) -> int:
    """Show `plan`; with --yes carry it out, with --wait stay until the arrays `names` rest."""
    console = session.console
    if plan.is_refused or not options.yes:
        console.result({**plan.to_json(), "done": False}, _describe_plan(plan))
        if plan.is_refused:
            raise UsageError(plan.refusals[0])
        console.note("nothing was changed: say --yes to carry it out")
        return DONE
    console.note(_describe_plan(plan))
    plan.carry_out(console.progress)
    if options.wait:
        for name in names:
            wait_for(session, tree, name)
    after = [read_array(tree, name) for name in names]
    console.result(
        {**plan.to_json(), "done": True, "after": [item.to_json() for item in after]},
        "\n".join(describe_array(item) for item in after),
    )
    return DONE


def wait_for(session: Session, tree: KernelTree, name: str) -> None:
    """Stay until array `name` rests, with its progress."""
    progress, clock = session.console.progress, session.clock
    began_s = clock.monotonic_s()
    phase, permille = "", 0
    while True:
        activity = read_array(tree, name).activity
        if activity is None and clock.monotonic_s() - began_s > _START_S:
            return
        if activity is None and phase:
            return
        if activity is not None:
            if activity.action != phase:
                phase, permille = activity.action, 0
                progress.phase("working on the array", 1000, "items", about=f"{name}: {phase}")
            done = round(activity.done * 1000)
            progress.advance(max(done - permille, 0))
            permille = max(done, permille)
        progress.check()
        clock.sleep_s(_LOOK_EVERY_S)


def describe_array(item: Array) -> str:
    """One array in a few lines."""
    state = item.state
    if item.is_degraded:
        state += f", lacks {item.missing} of {item.slots}"
    if item.activity is not None:
        left = "" if item.activity.eta_s is None else f", {duration(item.activity.eta_s)} to go"
        state += f", {item.activity.action} {item.activity.done:.1%}{left}"
    lines = [
        f"{item.name}  {item.level}  {size(item.size_bytes)}  {state}; "
        f"{item.redundancy} more disks may fail"
    ]
    for member in item.members:
        place = "spare" if member.slot is None else f"slot {member.slot}"
        errors = f", {member.errors} read errors" if member.errors else ""
        lines.append(f"  {member.name}  {place}  {', '.join(member.states)}{errors}")
    return printable("\n".join(lines)).replace("\\n", "\n")


def _describe_plan(plan: Plan) -> str:
    lines = [f"Plan: {plan.title}"]
    lines += [f"  {number}. {step.text}" for number, step in enumerate(plan.steps, start=1)]
    lines += [f"  note: {warning}" for warning in plan.warnings]
    lines += [f"  refused: {refusal}" for refusal in plan.refusals]
    return "\n".join(printable(line) for line in lines)
