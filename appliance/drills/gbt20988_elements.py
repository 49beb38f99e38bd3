"""The seven elements of GB/T 20988-2007 and what of each nobody can measure (Annex A, A.1 to A.6).

Owns words only; their sources are named in `gbt20988`, which judges what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

DATA_BACKUP = "Data backup system"
STANDBY_PROCESSING = "Standby data processing system"
_TESTED = "a plan that fits, and that was tested and rehearsed as a whole"
_PLACES = "a place fit for media, and one where systems and the work with them can be recovered"
_DAY_AND_NIGHT = "the same, and these places are run day and night"


@dataclass(frozen=True)
class Element:
    """One of the seven columns of requirements.

    `statement` is what somebody declares of it. `asks`: what levels 1 to 6 ask beyond what is
    measured, in order; none where all of it is measured.
    """

    name: str
    statement: str
    asks: tuple[str, ...] = ()


ELEMENTS = (
    Element(DATA_BACKUP, "The off-site copy lies where the same event does not reach it."),
    Element(
        STANDBY_PROCESSING,
        "The equipment on which the drill ran, or its like, stands at the standby site.",
    ),
    Element(
        "Standby network system",
        "Lines and network equipment for the recovered machines are there, or can be had in time.",
        (
            "nothing",
            "a part of the lines and of the equipment, or both to be had in the agreed time",
            "a part of the lines and of the equipment",
            "all lines, and all equipment ready",
            "the same, and switching that is automatic or done from one place",
            "lines and equipment as good as at home, so that users reach both sites",
        ),
    ),
    Element(
        "Standby infrastructure",
        "A place with power, cooling and access is there, or can be had in time.",
        ("a place fit for media", *[_PLACES] * 2, *[_DAY_AND_NIGHT] * 3),
    ),
    Element(
        "Technical support",
        "People who can recover these machines can be reached at the hours the level asks for.",
        (
            *["nothing"] * 2,
            "staff for the machine room of the standby site",
            "the same day and night, and people for backups, hardware and network",
            "people for the machine room, backups, hardware and network, day and night",
            "the same, and people for operating systems, databases and applications",
        ),
    ),
    Element(
        "Operation and maintenance support",
        "Media, equipment and access are looked after by written rules that are followed.",
        (
            "rules for media, and copies that are regularly shown to be valid",
            "the same, rules for the standby site, agreements with suppliers and carriers",
            "rules for media, the machine room, the equipment and the transfer of data",
            "the same, and rules for hardware and network",
            *["the same, and rules for replication in real time"] * 2,
        ),
    ),
    Element(
        "Disaster recovery plan",
        "A plan for the whole organisation is written, known to its people, and rehearsed.",
        (*[_TESTED] * 6,),
    ),
)
