"""What the API needs of the rows below it, as it is handed in.

Owns the shapes only. Whoever makes the objects sees to it that none of them waits for a disk, a
line or a store on the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.access.access import Access
from appliance.access.certificates import Certificates
from appliance.base.clock import Clock
from appliance.jobs.jobs import Jobs
from appliance.jobs.verb import Verbs

if TYPE_CHECKING:
    from appliance.api.answers import Answers
    from appliance.api.door import Door
    from appliance.api.events import EventLog
    from appliance.api.machine_lists import MachineLists
    from appliance.api.screen import Screens
    from appliance.api.snapshots import Snapshots
    from appliance.api.workers import Workers

Json = dict[str, Any]


@dataclass(frozen=True)
class Tls:
    """What browsers are shown. `reload` serves what the certificates are now."""

    certificates: Certificates
    names: Sequence[str]
    reload: Callable[[], None]


@dataclass(frozen=True)
class Parts:
    """Everything the handlers work with. `name` is that of the box.

    `name_point` gives a point that somebody means, as `web1@latest`, its own name; it asks the
    store: call it in a thread.
    """

    name: str
    state: Path
    clock: Clock
    verbs: Verbs
    jobs: Jobs
    access: Access
    door: Door
    machines: MachineLists
    snapshots: Snapshots
    workers: Workers
    screens: Screens
    tls: Tls
    events: EventLog
    answers: Answers
    box: Callable[[], Awaitable[Any]]
    look_again: Callable[[], Awaitable[None]]
    has_store: Callable[[], bool]
    name_point: Callable[[str], str]
    is_stopping: Callable[[], bool]
