"""What the parser does not say of a command: who may ask for it, and how it runs.

Whoever can name a path of the box, to read or to write, could make himself master of it: such
commands are for admins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.jobs.verb import Role, VerbTraits


@dataclass(frozen=True, kw_only=True)
class VerbNote(VerbTraits):
    """What is written down of a command.

    Attributes:
        without: arguments that only the command line has.
    """

    without: tuple[str, ...] = ()


def _look(role: Role = "viewer") -> VerbNote:
    return VerbNote(role=role, is_quick=True)


def _work(role: Role = "operator", group: str = "", machine_from: str = "") -> VerbNote:
    """Long, hard on disks, and done again without harm."""
    return VerbNote(
        role=role,
        is_repeatable=True,
        is_heavy=True,
        is_long=True,
        group=group,
        machine_from=machine_from,
    )


_SECRETIVE = VerbNote(is_secretive=True)
# A key opens the store for good: who makes one takes its secrecy away.
_NEW_KEY = VerbNote(is_secretive=True, is_destructive=True)
_DESTRUCTIVE = VerbNote(is_destructive=True)
# It shows what it would do; only the yes takes something away.
_PLANNED = VerbNote(destructive_with=("yes",))
_FORCED = VerbNote(
    is_long=True, destructive_with=("force",), machine_from="point", writes=("target",)
)
_MOVED = VerbNote(is_long=True, destructive_with=("force",), writes=("targets",))
_PASSWORDS = ("vnc_password",)

NOTES: dict[str, VerbNote] = {
    "init": VerbNote(is_secretive=True, writes=("recovery_out",)),
    "unlock": _SECRETIVE,
    "lock": VerbNote(),
    "box show": _look("admin"),
    "box name": VerbNote(is_prompt=True, is_confirmed=True),
    "box time": VerbNote(is_prompt=True, is_confirmed=True),
    # Who may take the box off the network may also end what protects it.
    "box network": VerbNote(is_confirmed=True, group="network"),
    "box keep": VerbNote(is_prompt=True),
    "box undo": VerbNote(is_prompt=True),
    "key list": _look("admin"),
    "key add": _NEW_KEY,
    "key rotate": VerbNote(is_secretive=True, is_destructive=True),
    "key revoke": _DESTRUCTIVE,
    "key check": _SECRETIVE,
    "key split": _NEW_KEY,
    "key join": _SECRETIVE,
    "key sheet": _SECRETIVE,
    # Without sources it takes those that an admin gave the machine.
    "backup": replace(
        _work(machine_from="machine"),
        is_for_console=True,
        admin_with=("sources", "changed", "base", "allow_inconsistent"),
    ),
    "points": _look(),
    "forget": VerbNote(is_destructive=True, machine_from="point"),
    "unforget": VerbNote(role="operator", machine_from="point"),
    "hold": VerbNote(role="operator", machine_from="point"),
    "release": VerbNote(is_destructive=True, machine_from="point"),
    "policy show": _look(),
    "policy set": _DESTRUCTIVE,
    "policy clear": _DESTRUCTIVE,
    "policy presets": _look(),
    "machines list": _look(),
    "machines show": VerbNote(role="viewer", is_quick=True, machine_from="name"),
    # It names what of the box is read from now on, also for a machine that had other disks.
    "machines add": VerbNote(is_confirmed=True, machine_from="name"),
    "machines rename": VerbNote(role="operator", machine_from="name"),
    "machines pause": VerbNote(is_confirmed=True, machine_from="name"),  # protection ends
    "machines resume": VerbNote(role="operator", machine_from="name"),
    "machines retire": VerbNote(is_destructive=True, machine_from="name"),
    "notices list": _look(),
    # It may take the place of another. The address of a webhook is the key to it.
    "notices add": VerbNote(is_confirmed=True, hidden=("url",)),
    "notices test": VerbNote(role="operator"),
    "notices log": _look(),
    "notices remove": _DESTRUCTIVE,
    "notices send": VerbNote(role="operator", is_repeatable=True),
    "prune": VerbNote(is_destructive=True, is_repeatable=True, is_long=True, group="collect"),
    "collect": _work(group="collect"),
    "recompress": _work(group="collect"),
    "verify": replace(_work(group="verify"), is_for_console=True),
    "scrub": replace(_work(group="verify"), is_for_console=True),
    "status": _look(),
    "health": VerbNote(role="viewer", is_quick=True, without=("watch", "watchdog")),
    "acknowledge": VerbNote(role="operator"),
    "disks": _look(),
    "disks show": _look(),
    "disks locate": VerbNote(role="operator", is_for_console=True),
    "disks test": VerbNote(role="operator"),
    "disks replace": _PLANNED,
    "array": _look(),
    "array check": VerbNote(role="operator"),
    "array spare": _PLANNED,
    "array create": _PLANNED,
    "array grow": _PLANNED,
    # A lock cannot be undone by anybody.
    "vault add": VerbNote(destructive_with=("lock",)),
    "vault status": _look(),
    "vault sync": replace(_work(group="vault {name}"), is_for_console=True),
    "vault verify": _work("admin", group="vault {name}"),
    # A limit of nothing, or a target of a year, is the end of the copy off-site.
    "vault limit": VerbNote(is_confirmed=True),
    "vault retain": _DESTRUCTIVE,
    "vault prune": VerbNote(
        is_destructive=True, is_repeatable=True, is_long=True, group="vault {name}"
    ),
    "vault policy": _look("admin"),
    "vault set-credentials": _DESTRUCTIVE,
    "vault remove": _DESTRUCTIVE,
    "vault open": VerbNote(),
    "vault pull": _work(machine_from="point"),
    "vault mirror": _work("admin"),
    "vault seed": replace(_work("admin"), writes=("directory",)),
    "vault adopt": _work("admin"),
    "bundle": VerbNote(writes=("target",)),
    "update status": _look("admin"),
    "update check": _look("admin"),
    "update install": VerbNote(is_destructive=True, is_long=True, group="update"),
    "update back": VerbNote(is_destructive=True, is_long=True, group="update"),
    "learn": VerbNote(role="operator", is_repeatable=True, group="learn"),
    "restore": _FORCED,
    "ls": _look("operator"),
    "cat": VerbNote(role="operator", output="bytes"),
    "get": replace(_FORCED, is_inside=True),
    "history": VerbNote(role="operator", is_repeatable=True, is_inside=True),
    "find": VerbNote(role="operator", is_repeatable=True, is_inside=True),
    "mount": VerbNote(is_endless=True, writes=("directory",)),
    "umount": VerbNote(),
    "boot": VerbNote(
        role="operator", machine_from="point", private=_PASSWORDS, without=("screenshot",)
    ),
    "vms": VerbNote(role="operator", private=_PASSWORDS),
    "stop": VerbNote(role="operator", destructive_with=("discard",)),
    "failback": _MOVED,
    "migrate": _MOVED,
    "export": _FORCED,
    "nbd": VerbNote(
        is_endless=True, destructive_with=("touched",), machine_from="point", writes=("socket",)
    ),
    "drill run": VerbNote(
        role="operator",
        is_repeatable=True,
        is_long=True,
        group="drill",
        machine_from="what",
        plan_from="what",
        is_for_console=True,
    ),
    "drill list": _look(),
    "drill show": _look(),
    "drill report": _DESTRUCTIVE,  # it replaces any file
    "failover run": VerbNote(),
    "failover approve": _DESTRUCTIVE,
    "failover reverse": VerbNote(),
    "failover list": _look(),
    "failover show": _look(),
}
"""By name. A test holds the names together with those of the parser."""
