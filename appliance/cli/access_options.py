"""The arguments of users, tokens, audit and setup."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.access.callers import PEOPLE, ROLES
from appliance.cli.global_options import add_action
from appliance.cli.key_options import add_recovery_key

_USERS = """\
People who may log in to the page of this box: a viewer looks, an operator runs what is set up, an
admin does everything. Whoever can run this command is at the box, so it is also the way back for
somebody who is locked out.
"""
_ADD = """\
Let somebody in. Without --password-file an initial password is made and shown once: it only serves
to log in and choose another. Where the users of a box were lost, the first admin is made with the
recovery key.
"""
_RESET = """\
Make a new initial password, shown once. Sessions end, and the second factor goes too unless it is
to stay.
"""
_SECOND = """\
With 'on' a destructive action in the page waits until a second administrator agrees. What is done
at the box by this command is not asked about: this is also the way back when nobody else is left.
"""
_PRESENCE = """\
Show a code that proves that somebody is at the box. With it and the password NAME can confirm a
destructive action in the page without a second factor. Good once, for ten minutes.
"""
_TOKENS = """\
Tokens let programs in: 'Authorization: Bearer hf_...'. A token can never do anything destructive.
That of an agent belongs to one machine and can only add to it; that of a console reads figures and
has a few things done that the box does anyway, as a backup: it sees no data and deletes nothing.
"""
_CERTIFICATES = """\
The page of this box is served over TLS from its first start, with a certificate of the box's own
authority: it is made anew by itself. Or bring a certificate of yours.
"""
_IMPORT = """\
Check a certificate and its key, and serve them: the key has to fit, the chain to be whole, and the
certificate to be valid now and to name this box. When it ends, the box's own is served again.
"""
_BUNDLE = """\
Put together what helps somebody who helps: versions, settings, findings, jobs, the audit log, logs
of this product. No data of machines, no file names from inside them, and no secrets: passwords,
keys, tokens and codes are replaced by [hidden]. Nothing is sent anywhere; look inside first.
"""
_AUDIT = """\
The audit log: every login, every write and every refusal, in a chain that shows every change. Its
head is sealed in the store, so that an end that is cut off shows too.
"""


def add_users(parser: argparse.ArgumentParser) -> None:
    """Arguments of users and what it can do."""
    parser.description = _USERS
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "list", "who may log in")
    add = _named(actions, "add", "let somebody in", _ADD)
    add.add_argument("--role", choices=PEOPLE, required=True, help="what they may do")
    add.add_argument(
        "--password-file",
        metavar="F",
        type=Path,
        help="file whose first line is the password (default: make an initial one)",
    )
    add_recovery_key(add, "of the store, where the users of this box were lost")
    role = _named(actions, "set-role", "give another role")
    role.add_argument("role", choices=PEOPLE, help="what they may do from now on")
    _named(actions, "disable", "let somebody in no more, with all tokens of theirs")
    _named(actions, "enable", "let somebody in again")
    reset = _named(actions, "reset-password", "make a new initial password", _RESET)
    reset.add_argument(
        "--keep-second-factor", action="store_true", help="the authenticator still counts"
    )
    unlock = add_action(actions, "unlock", "end the pause after wrong attempts")
    unlock.add_argument("name", metavar="NAME", nargs="?", help="only this user (default: all)")
    second = add_action(
        actions, "second-person", "whether two have to agree to what cannot be undone", _SECOND
    )
    second.add_argument("wanted", choices=("on", "off"), help="from now on")
    _named(actions, "presence", "a code that proves that somebody is at the box", _PRESENCE)


def add_tokens(parser: argparse.ArgumentParser) -> None:
    """Arguments of tokens and what it can do."""
    parser.description = _TOKENS
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "list", "which programs may come in")
    make = _named(actions, "make", "make a token; it is shown once", _TOKENS)
    make.add_argument("--role", choices=ROLES, required=True, help="what it may do")
    make.add_argument(
        "--scope",
        metavar="S",
        action="append",
        default=[],
        help="less than the role: read, telemetry, operate, administer; may be repeated",
    )
    make.add_argument("--machine", metavar="M", help="of an agent: the machine it belongs to")
    make.add_argument(
        "--days", metavar="N", type=int, default=365, help="good for N days (0: until revoked)"
    )
    revoke = add_action(actions, "revoke", "end a token")
    revoke.add_argument("token", metavar="ID", help="as 'tokens list' shows it")


def add_audit(parser: argparse.ArgumentParser) -> None:
    """Arguments of audit and what it can do."""
    parser.description = _AUDIT
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = add_action(actions, "list", "what happened, newest first")
    show.add_argument(
        "--limit", metavar="N", type=int, default=100, help="so many entries (default 100)"
    )
    show.add_argument("--before", metavar="N", type=int, help="only entries before number N")
    add_action(actions, "verify", "was anything changed, taken out or cut off?", _AUDIT)


def add_setup(parser: argparse.ArgumentParser) -> None:
    """Arguments of setup and what it can do."""
    parser.description = "How far the setup of this box is, and the code for its first page."
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "status", "how far setup is, and what this host cannot do")
    skip = add_action(actions, "skip", "go on without a step")
    skip.add_argument("step", metavar="STEP", help="as 'setup status' calls it")
    add_action(
        actions,
        "code",
        "open the setup window again, and show the code",
        "Open the setup window for an hour and show the code that the page asks for. Only while "
        "there is no administrator.",
    )


def add_certificates(parser: argparse.ArgumentParser) -> None:
    """Arguments of certificates and what it can do."""
    parser.description = _CERTIFICATES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "show", "what browsers are shown")
    add_action(actions, "make", "make the box's own anew, and serve it")
    load = add_action(actions, "import", "serve a certificate that was brought along", _IMPORT)
    load.add_argument("certificate", metavar="FILE", type=Path, help="certificate and chain, PEM")
    load.add_argument("private_key", metavar="KEY", type=Path, help="its key, PEM, no password")
    export = add_action(
        actions,
        "export",
        "the authority of this box, for browsers to trust",
        "The certificate of the box's own authority. Browsers that trust it stop warning. It can "
        "vouch for this box and for private networks only.",
    )
    export.add_argument("--out", metavar="F", type=Path, help="a new file (default: print it)")


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Arguments of bundle."""
    parser.description = _BUNDLE
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        help="a new file, or - for standard output (default: holdfast-bundle-TIME.tar.gz here)",
    )


def _named(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    text: str = "",
) -> argparse.ArgumentParser:
    action = add_action(actions, name, summary, text)
    action.add_argument("name", metavar="NAME", help="whose")
    return action
