"""vault status: what is in the vaults, what is behind, what it costs."""

from __future__ import annotations

import argparse
from typing import Any

from appliance.base.text import counted, duration, printable, size
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.formats.vault_settings import VaultSettings
from appliance.policies.book import Book
from appliance.policies.destinations import PromisedDestinations
from appliance.vault.address import S3Address, parse_address
from appliance.vault.locks import PROOF
from appliance.vault.providers import estimate_cost_usd, estimate_storage_usd
from appliance.vault.registry import Registry
from appliance.vault.stall import read_stall, say_stall
from appliance.vault.standing import MachineStanding, Standing, standing_json


def status(session: Session, options: argparse.Namespace) -> int:
    """Show every vault, or one; asks no vault."""
    registry = Registry(session.store)
    names = [options.name] if options.name else list(registry.names())
    shown = [_vault(session, registry, registry.get(name)) for name in names]
    if not shown:
        text = "no vault yet: 'holdfast vault add URL' makes one"
    else:
        text = "\n".join(printable(line) for _, lines in shown for line in lines)
    session.console.result({"vaults": [value for value, _ in shown]}, text)
    return DONE


def _vault(
    session: Session, registry: Registry, settings: VaultSettings
) -> tuple[dict[str, Any], list[str]]:
    claim = registry.claim(settings.name)
    now = session.clock.now().replace(microsecond=0)
    ledger = VaultLedger(registry.folder(settings.name) / LEDGER)
    destinations = PromisedDestinations(Book(session.store.points))
    try:
        machines = Standing(session.store, settings, ledger, now, destinations).machines()
        objects, stored_bytes = ledger.totals()
        traffic = dict(ledger.note("traffic") or {})
        last = ledger.note("last") or {}
        proof = ledger.note(PROOF)
        stalled = read_stall(ledger)
    finally:
        ledger.close()
    address = parse_address(settings.url)
    prices = address.provider if isinstance(address, S3Address) else None
    today = traffic.get(f"{now:%Y-%m-%d}")
    value = {
        **settings.to_json(),
        "cost_today_usd": (
            estimate_cost_usd(prices, today["requests"], today["received_bytes"])
            if prices and today
            else 0.0
        ),
        "storage_usd_per_month": estimate_storage_usd(prices, stored_bytes) if prices else 0.0,
        "owner": claim.epoch > 0,
        "epoch": claim.epoch,
        "counter": 0 if claim.head is None else claim.head.counter,
        "objects": objects,
        "stored_bytes": stored_bytes,
        "machines": [standing_json(one, now) for one in machines],
        "traffic": traffic,
        "last_sync": last,
        "waits": None if stalled is None else stalled.to_json(),
        "lock_proven_at": None if proof is None else str(proof),
    }
    lines = _text(value, settings, machines, now)
    if stalled is not None:
        lines.insert(1, f"  {say_stall(stalled)}")
    return value, lines


def _text(
    value: dict[str, Any], settings: VaultSettings, machines: list[MachineStanding], now: Any
) -> list[str]:
    lines = [
        f"vault '{settings.name}' at {settings.url}",
        f"  {size(value['stored_bytes'])} in {counted(value['objects'], 'object')}, state number "
        f"{value['counter']}" + ("" if value["owner"] else "; this box only reads it"),
    ]
    for one in machines:
        lines.append(f"  {one.machine}: {_standing(one, now)}")
    last = value["last_sync"]
    if last:
        lines.append(f"  last sync {last['ended']}: {last['outcome']}")
        lines += [f"    {finding}" for finding in last["findings"]]
    days = value["traffic"]
    if days:
        day, sums = sorted(days.items())[-1]
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(sums["requests"].items()))
        lines.append(f"  {day}: {size(sums['sent_bytes'])} sent; {requests}")
    if value["storage_usd_per_month"] or value["cost_today_usd"]:
        lines.append(
            f"  about {value['cost_today_usd']:.2f} USD for today's requests, "
            f"{value['storage_usd_per_month']:.2f} USD a month for what is stored"
        )
    return lines


def _standing(one: MachineStanding, now: Any) -> str:
    if one.newest_there == one.newest:
        until = one.immutable_until
        locked = "" if until is None else f", immutable until {format_time(until)}"
        return f"its newest point is in the vault ({format_time(one.newest)}){locked}"
    behind_s = one.behind_s(now)
    behind = "nothing there yet" if behind_s is None else f"{duration(behind_s)} behind"
    waits = f", {size(one.waiting_bytes)} at most to send"
    if one.is_within(now):
        return f"{behind}, within its target{waits}"
    if one.within_at is None:
        return f"{behind}{waits}: 'holdfast vault sync' sends it"
    return f"{behind}{waits}, will be within target at {one.within_at.astimezone():%H:%M}"
