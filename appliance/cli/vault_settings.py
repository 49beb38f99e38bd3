"""vault: limit, policy, set-credentials, remove."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

from appliance.base.errors import UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.vault_input import find_credentials
from appliance.formats.names import parse_machine_name
from appliance.formats.vault_settings import VaultSettings
from appliance.formats.window import Window
from appliance.vault.address import DirectoryAddress, parse_address
from appliance.vault.bucket_policy import make_policy
from appliance.vault.registry import Registry


def policy(session: Session, options: argparse.Namespace) -> int:
    """Print the least bucket policy that this box needs."""
    settings = Registry(session.store).get(options.name)
    address = parse_address(settings.url)
    if isinstance(address, DirectoryAddress):
        raise UsageError(f"vault '{settings.name}' is a directory: it needs no bucket policy")
    value = make_policy(address, is_locked=bool(settings.lock_days))
    session.console.result(value, json.dumps(value, indent=2))
    return DONE


def set_credentials(session: Session, options: argparse.Namespace) -> int:
    """Replace the credentials of a vault."""
    registry = Registry(session.store)
    settings = registry.get(options.name)
    credentials = find_credentials(parse_address(settings.url), options.credentials_file)
    if credentials is None:
        raise UsageError(f"vault '{settings.name}' is a directory: it needs no credentials")
    registry.credentials.keep(settings.name, credentials)
    session.console.result(
        {"name": settings.name}, f"vault '{settings.name}' has new credentials, sealed"
    )
    return DONE


def limit(session: Session, options: argparse.Namespace) -> int:
    """Show or change when and how fast to upload."""
    registry = Registry(session.store)
    settings = registry.get(options.name)
    changes: dict[str, Any] = {}
    numbers = {
        "limit_bytes_per_s": (options.rate, 1 << 20),
        "share_percent": (options.share, 1),
        "budget_bytes_per_day": (options.budget, 1 << 30),
        "cache_bytes": (options.cache, 1 << 30),
        "rpo_s": (None if options.machine else options.rpo, 3600),
    }
    for member, (value, unit) in numbers.items():
        if value is not None:
            if not 0 <= value < 1e12:
                raise UsageError("limits are numbers of at least 0")
            changes[member] = int(value * unit)
    if options.machine is not None:
        machine = parse_machine_name(options.machine)
        if options.rpo is None or not 0 <= options.rpo < 1e6:
            raise UsageError("--machine goes with --rpo HOURS")
        own = {**settings.machine_rpo_s, machine: int(options.rpo * 3600)}
        changes["machine_rpo_s"] = own
    if options.share is not None and not 1 <= options.share <= 100:
        raise UsageError("--share takes 1 to 100 per cent")
    if options.window is not None:
        windows = [text for text in options.window if text != "always"]
        for text in windows:
            Window.parse(text)
        changes["windows"] = tuple(windows)
    if changes:
        settings = replace(settings, **changes)
        registry.put(settings)
    session.console.result(settings.to_json(), _limits_text(settings))
    return DONE


def _limits_text(settings: VaultSettings) -> str:
    rate, budget = settings.limit_bytes_per_s, settings.budget_bytes_per_day
    return "\n".join(
        (
            f"vault '{settings.name}':",
            f"  rate    {size(rate) + '/s' if rate else 'no limit'}, "
            f"at most {settings.share_percent} % of the line",
            f"  windows {'; '.join(settings.windows) or 'always'}",
            f"  budget  {size(budget) + ' a day' if budget else 'none'}",
            f"  cache   {size(settings.cache_bytes) if settings.cache_bytes else 'as fits'}",
            f"  target  newest point of each machine at most {settings.rpo_s / 3600:g} h old",
            *(
                f"          {machine}: {seconds / 3600:g} h"
                for machine, seconds in sorted(settings.machine_rpo_s.items())
            ),
        )
    )


def remove(session: Session, options: argparse.Namespace) -> int:
    """Forget a vault; what is in it stays."""
    registry = Registry(session.store)
    settings = registry.get(options.name)
    with registry.lock(settings.name):
        registry.remove(settings.name)
    session.console.result(
        {"removed": settings.name},
        f"vault '{settings.name}' is forgotten; what is in it stays at {settings.url}",
    )
    return DONE
