"""users, tokens, audit, setup: at the box."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.access.access import Access
from appliance.access.audit import DONE as CARRIED_OUT
from appliance.access.audit import REFUSED
from appliance.access.callers import ADMIN, SETUP
from appliance.access.tokens import BOX
from appliance.base.errors import AccessError, HoldfastError, IntegrityError
from appliance.base.secret_file import read_secret
from appliance.base.text import printable
from appliance.catalog.access_file import TokenRow, UserRow
from appliance.cli.exit_codes import DONE, exit_code
from appliance.cli.key_input import read_recovery_key
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.formats.recovery_key import format_base32
from appliance.keys import keyring
from appliance.store.layout import Layout
from appliance.store.records import Records

Action = Callable[[Session, Access, argparse.Namespace], int]


def users(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    return _do(_USERS, "users", session, options)


def tokens(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    return _do(_TOKENS, "tokens", session, options)


def audit(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    return _do(_AUDIT, "audit", session, options)


def setup(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    return _do(_SETUP, "setup", session, options)


_READS = frozenset({"list", "verify", "status"})


def _do(
    actions: dict[str, Action], verb: str, session: Session, options: argparse.Namespace
) -> int:
    """Carry out an action, and write down every one that changes something."""
    with Access(session.state, session.clock) as access:
        target = getattr(options, "name", None) or getattr(options, "token", None) or ""
        try:
            code = actions[options.action](session, access, options)
        except HoldfastError:
            if options.action not in _READS:
                access.audit.note(BOX, f"{verb} {options.action}", target=target, outcome=REFUSED)
            raise
        if options.action not in _READS:
            access.audit.note(BOX, f"{verb} {options.action}", target=target, outcome=CARRIED_OUT)
        return code


def open_records(session: Session) -> Records | None:
    """The sealed records of the store; None if there is no store or it is locked."""
    if not session.has_store():
        return None
    try:
        master = keyring.load_master_key(session.state, session.passphrase)
    except AccessError:
        return None
    return Records(Layout(session.state), master)


# ---- users ----


def _list_users(session: Session, access: Access, _: argparse.Namespace) -> int:
    rows = access.accounts.list()
    lines = [
        f"{row.name:<32} {row.role:<9} {_standing(row)}; last login {_when(row.last_login_s)}"
        for row in rows
    ]
    session.console.result(
        {"users": [_user_json(row) for row in rows]},
        "\n".join(lines) or "nobody: 'holdfast users add NAME --role admin'",
    )
    return DONE


def _user_json(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": row.role,
        "is_disabled": bool(row.is_disabled),
        "has_initial_password": bool(row.is_initial),
        "has_second_factor": bool(row.totp_secret),
        "created_at": _when(row.created_s),
        "last_login_at": _when(row.last_login_s) if row.last_login_s else None,
    }


def _standing(row: UserRow) -> str:
    if row.is_disabled:
        return "disabled"
    factor = "second factor" if row.totp_secret else "no second factor"
    return f"{factor}, initial password" if row.is_initial else factor


def _add_user(session: Session, access: Access, options: argparse.Namespace) -> int:
    if access.setup.needs_recovery_key:
        if options.role != ADMIN or not options.recovery_key:
            raise AccessError(
                "the users of this box were lost: make an admin first, with --recovery-key F"
            )
        key = format_base32(read_recovery_key(options.recovery_key))
        access.setup.prove_owner(access.gate.admit_peer(True), key)
    password = None if options.password_file is None else read_secret(options.password_file)
    initial = access.accounts.add(options.name, options.role, password)
    if options.role == ADMIN:
        access.codes.close(SETUP)
        records = open_records(session)
        if records is not None:
            access.seal(records)
    session.console.result(
        {"name": options.name, "role": options.role, "initial_password": initial},
        f"{options.name} may log in as {options.role}" + _initial_text(initial),
    )
    return DONE


def _initial_text(initial: str | None) -> str:
    if initial is None:
        return ""
    return f", shown only now, to log in once and choose another password:\n\n  {initial}\n"


def _set_role(session: Session, access: Access, options: argparse.Namespace) -> int:
    access.accounts.set_role(options.name, options.role)
    return _say(session, options.name, f"{options.name} is {options.role} now, and logs in anew")


def _disable(session: Session, access: Access, options: argparse.Namespace) -> int:
    access.accounts.disable(options.name)
    return _say(session, options.name, f"{options.name} is let in no more")


def _enable(session: Session, access: Access, options: argparse.Namespace) -> int:
    access.accounts.enable(options.name)
    return _say(session, options.name, f"{options.name} is let in again")


def _say(session: Session, name: str, text: str) -> int:
    session.console.result({"name": name}, text)
    return DONE


def _reset_password(session: Session, access: Access, options: argparse.Namespace) -> int:
    initial = access.accounts.reset_password(
        options.name, keeps_second_factor=options.keep_second_factor
    )
    access.attempts.unlock(options.name)
    session.console.result(
        {"name": options.name, "initial_password": initial},
        f"the password of {options.name}" + _initial_text(initial),
    )
    return DONE


def _unlock(session: Session, access: Access, options: argparse.Namespace) -> int:
    count = access.attempts.unlock(options.name)
    who = options.name or "everybody"
    session.console.result({"name": options.name, "ended": count}, f"{who} may try again")
    return DONE


def _second_person(session: Session, access: Access, options: argparse.Namespace) -> int:
    is_on = options.wanted == "on"
    access.approvals.require_from_now_on(access.gate.admit_peer(True), is_on)
    who = "a second administrator has to agree" if is_on else "one administrator is enough"
    session.console.result({"second_person": is_on}, f"{who} from now on")
    return DONE


def _presence(session: Session, access: Access, options: argparse.Namespace) -> int:
    access.accounts.get(options.name)
    code = access.gate.show_presence_code(options.name)
    session.console.result(
        {"name": options.name, "code": code},
        f"type this into the page within ten minutes, with the password of {options.name}: {code}",
    )
    return DONE


# ---- tokens ----


def _list_tokens(session: Session, access: Access, _: argparse.Namespace) -> int:
    rows = access.tokens.list()
    now_s = session.clock.now().timestamp()
    lines = [
        f"{row.id}  {row.name:<24} {row.role:<9} {_token_standing(row, now_s)}; "
        f"last used {_when(row.seen_s)}"
        for row in rows
    ]
    session.console.result(
        {"tokens": [_token_json(row) for row in rows]}, "\n".join(lines) or "no tokens"
    )
    return DONE


def _token_json(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "owner": row.owner,
        "role": row.role,
        "scopes": row.scopes.split(),
        "machine": row.machine or None,
        "created_at": _when(row.created_s),
        "expires_at": _when(row.expires_s) if row.expires_s else None,
        "seen_at": _when(row.seen_s) if row.seen_s else None,
        "revoked_at": _when(row.revoked_s) if row.revoked_s else None,
    }


def _token_standing(row: TokenRow, now_s: float) -> str:
    if row.revoked_s:
        return "revoked"
    if row.expires_s and row.expires_s < now_s:
        return "expired"
    return f"until {_when(row.expires_s)}" if row.expires_s else "until it is revoked"


def _make_token(session: Session, access: Access, options: argparse.Namespace) -> int:
    made = access.tokens.make(
        options.name,
        BOX,
        options.role,
        scopes=options.scope,
        machine=options.machine,
        lifetime=timedelta(days=options.days) if options.days else None,
    )
    session.console.result(
        {"token": _token_json(made.row), "secret": made.secret},
        f"token {made.row.id}, shown only now:\n\n  {made.secret}\n",
    )
    return DONE


def _revoke_token(session: Session, access: Access, options: argparse.Namespace) -> int:
    row = access.tokens.revoke(options.token)
    session.console.result({"token": _token_json(row)}, f"token {row.id} ({row.name}) is revoked")
    return DONE


# ---- audit ----


def _list_audit(session: Session, access: Access, options: argparse.Namespace) -> int:
    entries = access.audit.newest(before=options.before, limit=max(1, min(options.limit, 10_000)))
    lines = [
        printable(
            f"{entry.number:>6} {entry.time} {entry.who or '?'} {entry.action} {entry.target} "
            f"{entry.outcome} {entry.address} {entry.detail}"
        )
        for entry in entries
    ]
    session.console.result({"entries": [vars(entry) for entry in entries]}, "\n".join(lines))
    return DONE


def _verify_audit(session: Session, access: Access, _: argparse.Namespace) -> int:
    records = open_records(session)
    verdict = access.audit.verify(records)
    sealed = (
        "the store is locked or missing, so an end that was cut off would not show"
        if records is None
        else f"sealed up to entry {verdict.sealed_number or 0}"
    )
    session.console.result(
        {
            "entries": verdict.entries,
            "faults": list(verdict.faults),
            "sealed_number": verdict.sealed_number,
            "is_seal_checked": records is not None,
        },
        "\n".join([f"{verdict.entries} entries, {sealed}", *map(printable, verdict.faults)]),
    )
    return exit_code(IntegrityError()) if verdict.faults else DONE


# ---- setup ----


def _setup_status(session: Session, access: Access, _: argparse.Namespace) -> int:
    texts = {
        "done": "this box has an administrator",
        "open": "the setup window is open",
        "closed": "there is no administrator: 'holdfast setup code' opens the setup window",
    }
    state, steps = access.setup.state, access.steps()
    listed = steps.look()
    session.console.result(
        {
            "state": state,
            "needs_recovery_key": access.setup.needs_recovery_key,
            "way": steps.way,
            "steps": [vars(step) for step in listed],
        },
        "\n".join(
            [texts[state], *(f"{step.name:<9} {step.state:<11} {step.text}" for step in listed)]
        ),
    )
    return DONE


def _skip_step(session: Session, access: Access, options: argparse.Namespace) -> int:
    access.steps().skip(options.step)
    session.console.result({"skipped": options.step}, f"'{options.step}' is skipped")
    return DONE


def _setup_code(session: Session, access: Access, _: argparse.Namespace) -> int:
    code = access.setup.open()
    if code is None:
        raise AccessError("this box has an administrator: log in, or 'holdfast users list'")
    session.console.result({"code": code}, f"setup code, good for an hour: {code}")
    return DONE


def _when(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(int(seconds), UTC)) if seconds else "never"


_USERS: dict[str, Action] = {
    "list": _list_users,
    "add": _add_user,
    "set-role": _set_role,
    "disable": _disable,
    "enable": _enable,
    "reset-password": _reset_password,
    "unlock": _unlock,
    "second-person": _second_person,
    "presence": _presence,
}
_TOKENS: dict[str, Action] = {"list": _list_tokens, "make": _make_token, "revoke": _revoke_token}
_AUDIT: dict[str, Action] = {"list": _list_audit, "verify": _verify_audit}
_SETUP: dict[str, Action] = {"status": _setup_status, "code": _setup_code, "skip": _skip_step}
