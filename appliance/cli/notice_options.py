"""The arguments of notices."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_action
from appliance.formats.finding import SEVERITIES

_ADD = """\
Let findings leave the box: by mail (--server, --to), or by webhook (--url), a POST that is signed
with a secret (docs/format/notice.md). Passwords and secrets are read from the first line of
--secret-file and kept sealed; no command shows them again. A finding is told once, and again when
it becomes worse or is over; what changes together is told together.
"""


def add_notices(parser: argparse.ArgumentParser) -> None:
    """Arguments of notices and what it can do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "list", "where findings go, and what waits")
    _add_channel(add_action(actions, "add", "a mail address or a webhook, or change one", _ADD))
    test = add_action(
        actions,
        "test",
        "send a test message now",
        "Send a test message at once, and say what the other side answered.",
    )
    test.add_argument("name", metavar="NAME", help="the channel")
    log = add_action(actions, "log", "what was sent, and how it went", "The newest first.")
    log.add_argument("--name", metavar="NAME", help="only this channel")
    log.add_argument(
        "--limit", metavar="N", type=int, default=20, help="so many messages (default 20)"
    )
    remove = add_action(actions, "remove", "send nothing there any more")
    remove.add_argument("name", metavar="NAME", help="the channel")
    add_action(
        actions,
        "send",
        "tell what changed, and try again what did not get through",
        "Tell every channel what 'health' found since the last time, and try again what did not "
        "get through. The daemon does this by itself; without it, run it after 'health'.",
    )


def _add_channel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what to call it: a-z, 0-9 and '-'")
    parser.add_argument(
        "--least",
        choices=SEVERITIES,
        default="warning",
        help="tell findings that are at least so severe (default warning)",
    )
    parser.add_argument(
        "--secret-file",
        metavar="F",
        type=Path,
        help="its first line is the password, or the secret that signs (16 characters or more)",
    )
    parser.add_argument(
        "--ca-file", metavar="F", type=Path, help="certificates (PEM) to trust instead of the box's"
    )
    mail = parser.add_argument_group("mail")
    mail.add_argument("--server", metavar="HOST[:PORT]", help="the mail server")
    mail.add_argument(
        "--security",
        choices=("starttls", "tls", "none"),
        default="starttls",
        help="how the line is encrypted (default starttls)",
    )
    mail.add_argument("--user", metavar="NAME", default="", help="who we are to the server")
    mail.add_argument("--sender", metavar="ADDRESS", help="From (default: the first recipient)")
    mail.add_argument("--to", metavar="ADDRESS", action="append", help="may be repeated")
    hook = parser.add_argument_group("webhook")
    hook.add_argument("--url", metavar="URL", help="where to POST: https://...")
    hook.add_argument(
        "--allow-private",
        action="store_true",
        help="the address may be one of the inside, and the URL http://",
    )
