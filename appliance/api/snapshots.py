"""What takes time to find out, as it was when somebody last looked.

Owns when the box looks: now and then, and when something happened that changes it. A look is a
worker in the background; no request waits for one of these, and none makes them more often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.api.events import EventLog
from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.formats.names import format_time

AskWorker = Callable[[Sequence[str], float], Awaitable[dict[str, Any]]]
LOOK_TIMEOUT_S = 300.0
_SETTLE_S = 1.0  # what happens at once is looked at once
_AFTER_TROUBLE_S = 30.0
_DETAILS_MAX = 64
_WATCHED_S = 900.0  # the daemon's watch says when something is new
_AT_ONCE = 2
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Look:
    """One thing to look at.

    Attributes:
        words: the command that looks; its JSON is what is kept.
        every_s: how often to look although nothing happened.
        after: verbs whose end means that it may have changed.
        kind, path: what listeners are told when it did.
    """

    name: str
    words: tuple[str, ...]
    every_s: float
    after: tuple[str, ...] = ()
    kind: str = "box"
    path: str = "/api/v1/box"


@dataclass
class Snapshot:
    """What was seen, and when; `trouble` if the last look failed."""

    value: dict[str, Any] = field(default_factory=dict)
    as_of: str | None = None
    trouble: str | None = None
    asked_s: float | None = None

    def is_fresh(self, now_s: float, old_s: float) -> bool:
        """Whether it was asked for less than `old_s` ago."""
        return self.asked_s is not None and now_s - self.asked_s < old_s


_POINTS = (
    *("backup", "forget", "unforget", "hold", "release", "prune", "verify", "scrub", "vault"),
    *("drill", "unlock", "init", "learn", "failback", "key"),
)
LOOKS = (
    Look("learn", ("learn",), 600.0, _POINTS, "machine", "/api/v1/machines"),
    Look("status", ("status",), 300.0, ("backup", "forget", "prune", "collect", "init", "unlock")),
    Look(
        "disks",
        ("disks",),
        _WATCHED_S,
        ("disks locate", "disks replace", "array create", "array grow", "array spare"),
        "finding",
        "/api/v1/disks",
    ),
    Look("array", ("array",), 30.0, ("array",), "finding", "/api/v1/arrays"),
    Look(
        "health",
        ("health", "--all"),
        _WATCHED_S,
        ("acknowledge", "disks"),
        "finding",
        "/api/v1/findings",
    ),
    Look("vault status", ("vault", "status"), 120.0, ("vault", "backup"), path="/api/v1/vaults"),
    Look("vms", ("vms",), 30.0, ("boot", "stop", "vms", "migrate", "failback"), path="/api/v1/vms"),
    Look(
        "machines list",
        ("machines", "list"),
        60.0,
        ("machines", "policy", "backup", "learn"),
        "machine",
        "/api/v1/machines",
    ),
    Look("policy show", ("policy", "show"), 600.0, ("policy", "machines"), path="/api/v1/policies"),
    Look("policy presets", ("policy", "presets"), 86400.0, path="/api/v1/policies/presets"),
    Look("notices list", ("notices", "list"), 600.0, ("notices",), path="/api/v1/notices"),
    Look("notices log", ("notices", "log"), 120.0, ("notices",), path="/api/v1/notices/log"),
    Look("drill list", ("drill", "list"), 600.0, ("drill",), path="/api/v1/drills"),
)


class Snapshots:
    """Looks in the background and remembers. For the event loop only."""

    def __init__(
        self, ask: AskWorker, clock: Clock, events: EventLog, looks: Sequence[Look] = LOOKS
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._events = events
        self._looks = {look.name: look for look in looks}
        self._known = {look.name: Snapshot() for look in looks}
        self._wanted = {look.name: asyncio.Event() for look in looks}
        self._details: dict[tuple[str, ...], Snapshot] = {}
        self._seats = asyncio.Semaphore(_AT_ONCE)
        self.changes = 0
        """How often a look saw something new."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to look."""
        for look in self._looks.values():
            self._begin(self._keep_looking(look))

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def get(self, name: str) -> Snapshot:
        """What is known of a look."""
        return self._known[name]

    def known(self, name: str, member: str) -> dict[str, Any]:
        """The list `member` of a look, as `Known` describes it."""
        seen = self._known[name]
        return {
            "items": seen.value.get(member, []),
            "next": None,
            "as_of": seen.as_of,
            "trouble": seen.trouble,
        }

    def tell_verb(self, verb: str) -> None:
        """A verb has ended: look again at what it may have changed."""
        for look in self._looks.values():
            if any(verb == one or verb.startswith(f"{one} ") for one in look.after):
                self._wanted[look.name].set()

    def look_everywhere(self) -> None:
        """Everything may have changed."""
        for wanted in self._wanted.values():
            wanted.set()

    def look_again(self, name: str) -> None:
        """Something happened."""
        self._wanted[name].set()

    def detail(self, *words: str, old_s: float) -> Snapshot:
        """What one command says of one thing; empty at first, looked at in the background.

        Looks again when what is known is older than `old_s`; listeners hear of it as `box`.
        """
        seen = self._details.get(words)
        if seen is None:
            if len(self._details) >= _DETAILS_MAX:
                self._details.pop(next(iter(self._details)))
            seen = self._details[words] = Snapshot()
        if not seen.is_fresh(self._clock.monotonic_s(), old_s):
            seen.asked_s = self._clock.monotonic_s()
            self._begin(self._look_closely(words, seen))
        return seen

    async def _look_closely(self, words: Sequence[str], seen: Snapshot) -> None:
        await self._look(words, seen)
        self._events.publish("box", "/api/v1/disks")

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_looking(self, look: Look) -> None:
        while True:
            self._wanted[look.name].clear()
            before = (self._known[look.name].value, self._known[look.name].trouble)
            await self._look(look.words, self._known[look.name])
            seen = self._known[look.name]
            if (seen.value, seen.trouble) != before:
                self.changes += 1
                self._events.publish(look.kind, look.path)
            wait_s = _AFTER_TROUBLE_S if seen.trouble else look.every_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted[look.name].wait()
                await asyncio.sleep(_SETTLE_S)
            except TimeoutError:
                continue

    async def _look(self, words: Sequence[str], seen: Snapshot) -> None:
        work = asyncio.ensure_future(self._ask(words, LOOK_TIMEOUT_S))
        try:
            # Few at once, for the processor's sake; who waits for a disk lets the next one look.
            async with self._seats:
                await asyncio.wait([work], timeout=_PATIENCE_S)
            seen.value = await work
            seen.as_of = format_time(self._clock.now().replace(microsecond=0))
            seen.trouble = None
        except HoldfastError as error:
            seen.trouble = str(error)
        finally:
            work.cancel()
