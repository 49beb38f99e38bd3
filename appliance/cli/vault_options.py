"""The arguments of the vault commands."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli import key_options, retain_options
from appliance.cli.global_options import add_action
from appliance.formats.vault_settings import GRACE_DAYS, RPO_S, SHARE_PERCENT

_VAULT = """\
A vault is the off-site copy: an S3 bucket, or a directory, which may be a removable disk. Backups
never wait for it. 'vault add' names one, 'vault sync' brings it up to date, and 'vault open' gives
everything back on an empty box from the vault and the recovery key alone.
"""
_URL = "s3://BUCKET[/PREFIX]?endpoint=URL&region=R&style=path|virtual, or file:///DIR"
_ADD = f"""\
Make a bucket or a directory a vault of this store. URL: {_URL}. A bucket that does not exist is
created if the credentials allow it; a directory, if the one above it is there and no disk should be
mounted in its place. Credentials are taken from --credentials-file (an INI file, section [default],
aws_access_key_id and aws_secret_access_key), or from the environment, and are kept sealed. With
--lock nobody, this box included, can delete what was uploaded for so many days; that cannot be
undone.
"""
_SYNC = """\
Bring a vault up to date: the newest point of the machine that is furthest behind goes first, and
what a newer point supersedes is left out. Only what the vault lacks is sent; what was stopped goes
on where it was. Without --wait this ends when a window closes, the day's budget is used up or the
line is down; with --wait --for 60 it tries for an hour. What it waits for, and since when, is shown
meanwhile, by 'vault status' too, and becomes a finding of 'health' after half an hour.
"""
_OPEN = f"""\
On an empty box: make its state from a vault and the recovery key. Points can be listed, mounted,
restored and booted at once; data is fetched when it is needed. Nothing is written to the vault
unless --take-over says that this box is the one that backs up from now on: then the old one's
machines, schedule, plans and notices come along as well. URL: {_URL}.
An empty box cannot know whether the vault was rolled back: compare the time and the number that are
printed with what you know, or give the least number you accept with --expect.
"""
_VERIFY = """\
Read everything in a vault and compare it with its name or signature, and check that nothing that
lives is missing. Without the key this works anywhere: 'vault verify URL --without-key'.
"""
_LIMIT = """\
Show or change when and how fast this box uploads to a vault; a sync that runs follows at once.
"""
_ADOPT = f"""\
Copy what lies in a directory into a bucket, anywhere and without a key: everything is verified on
its way, and what is there already is not sent. The box's next sync sees it. URL: {_URL}.
"""
_PULL = """\
Bring everything that a point needs from the vaults to this box, so that it restores, mounts and
boots without the line. Whatever is being read from the vault meanwhile goes first. What was brought
stays when this is stopped; the next run goes on.
"""
_SEED = """\
Make a directory, best on a disk that can be carried, a vault of its own and bring it up to date.
Carry it to a fast line, run 'vault adopt DIR URL' there, and go on with 'vault sync' over the line.
"""
_MIRROR = """\
Bring vault TO up to date with what vault FROM holds, from vault to vault: points that have left
this box travel, too. Both are vaults of this box; each keeps a history of its own.
"""
_RETAIN = """\
Show or set which points stay in a vault, apart from what stays on the box: 'forget' and 'prune' on
the box leave the vault as it is, and 'points' says where each point is. What is not given is no
rule; without any rule everything stays.
"""
_PRUNE = """\
Take the points out of a vault that no rule of 'vault retain' keeps, and delete what nothing living
needs. Under lock an object goes only after its lock has ended. Held points stay. Many small
containers, as hourly increments make them, are merged into full ones.
"""
_POLICY = """\
Print the least rights that the credentials of this box need on the bucket, as a bucket policy.
"""


def add_vault(parser: argparse.ArgumentParser) -> None:
    """Arguments of vault and what it can do."""
    parser.description = _VAULT
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_add(add_action(actions, "add", "make a bucket or a directory a vault of this store", _ADD))
    status = add_action(actions, "status", "what is in the vaults, and what is behind")
    _name(status)
    _add_sync(add_action(actions, "sync", "bring a vault up to date", _SYNC))
    _add_verify(add_action(actions, "verify", "read and compare everything in a vault", _VERIFY))
    _add_limit(add_action(actions, "limit", "when and how fast to upload", _LIMIT))
    retain = add_action(actions, "retain", "which points stay in a vault", _RETAIN)
    _name(retain)
    retain_options.add_rules(retain)
    prune = add_action(actions, "prune", "take out of a vault what its rules do not keep", _PRUNE)
    _name(prune)
    prune.add_argument("--simulate", action="store_true", help="only say what would go")
    prune.add_argument(
        "--grace",
        metavar="DAYS",
        type=float,
        default=GRACE_DAYS,
        help=f"free only objects that are older (default {GRACE_DAYS}); a carried disk needs them",
    )
    _name(add_action(actions, "policy", "the least bucket policy that this box needs", _POLICY))
    credentials = add_action(
        actions, "set-credentials", "replace the credentials of a vault", "They are kept sealed."
    )
    _name(credentials)
    _credentials(credentials)
    remove = add_action(
        actions, "remove", "forget a vault; what is in it stays", "Nothing in it is deleted."
    )
    remove.add_argument("name", metavar="NAME", help="the vault")
    _add_open(add_action(actions, "open", "a box from a vault and the recovery key", _OPEN))
    pull = add_action(actions, "pull", "bring a whole point from the vault to this box", _PULL)
    pull.add_argument("point", metavar="POINT", help="MACHINE@TIME or MACHINE@latest")
    mirror = add_action(actions, "mirror", "copy points from one vault to another", _MIRROR)
    mirror.add_argument("source", metavar="FROM", help="the vault to copy from")
    mirror.add_argument("target", metavar="TO", help="the vault to copy to")
    seed = add_action(actions, "seed", "fill a disk that is carried to the vault", _SEED)
    seed.add_argument("directory", metavar="DIR", type=Path, help="a directory on that disk")
    adopt = add_action(actions, "adopt", "copy a carried disk into a bucket, without a key", _ADOPT)
    adopt.add_argument("directory", metavar="DIR", type=Path, help="what 'vault seed' filled")
    adopt.add_argument("url", metavar="URL", help="the bucket or directory")
    _credentials(adopt)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="N", help="which vault (default: the only one)")


def _credentials(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--credentials-file", metavar="F", type=Path, help="INI file with the access key"
    )


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help=_URL)
    parser.add_argument("--name", metavar="N", default="vault", help="what to call it")
    _credentials(parser)
    parser.add_argument(
        "--lock",
        metavar="DAYS",
        type=int,
        default=0,
        help="keep what is uploaded immutable so long",
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="this box goes on with a vault of this store that another box, or a copy of it, owns",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="agree to a lock of more than 90 days, which nobody can undo",
    )


def _add_sync(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "--wait", action="store_true", help="stay until all is there, whatever delays it"
    )
    parser.add_argument(
        "--for",
        metavar="MIN",
        type=float,
        dest="for_min",
        help="stay so long at most: what is not there then is said, exit 1",
    )
    parser.add_argument(
        "--all", action="store_true", help="send older points, too, that newer ones supersede"
    )
    parser.add_argument(
        "--thorough", action="store_true", help="list the whole vault first, to see what it lost"
    )


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help="with --without-key: which vault")
    _name(parser)
    _credentials(parser)
    parser.add_argument(
        "--without-key", action="store_true", help="believe the public key that the vault states"
    )


def _add_limit(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "--rate", metavar="MiB/s", type=float, help="upload no faster than this (0: no limit)"
    )
    parser.add_argument(
        "--share",
        metavar="PERCENT",
        type=int,
        help=f"of what the line carries at most (default {SHARE_PERCENT})",
    )
    parser.add_argument(
        "--window",
        metavar="W",
        action="append",
        help="only then, local time: '22:00-06:00', 'sat-sun 00:00-24:00'; may be repeated; "
        "'always' ends windows",
    )
    parser.add_argument(
        "--budget", metavar="GiB", type=float, help="upload no more on one day, UTC (0: no budget)"
    )
    parser.add_argument(
        "--cache",
        metavar="GiB",
        type=float,
        help="of what was read from vaults keep so much here at most "
        "(0: a quarter of the free space, up to 16 GiB)",
    )
    parser.add_argument(
        "--rpo",
        metavar="HOURS",
        type=float,
        help=f"how old a machine's newest point there may be (default {RPO_S // 3600})",
    )
    parser.add_argument("--machine", metavar="NAME", help="--rpo is for this machine alone")


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help=_URL)
    key_options.add_recovery_key(parser, "the recovery key, or twice: two shares of it")
    _credentials(parser)
    parser.add_argument("--name", metavar="N", default="", help="what to call the vault here")
    parser.add_argument(
        "--as-of", metavar="TIME", help="ignore all that was written later (2026-11-21T09:30:00Z)"
    )
    parser.add_argument(
        "--expect", metavar="COUNTER", type=int, help="refuse a vault whose newest state is older"
    )
    parser.add_argument(
        "--take-over", action="store_true", help="become the old box: go on where it ended"
    )
