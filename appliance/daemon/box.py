"""Pages and API of the box as a part of the daemon: who gets in, TLS, the port.

Owns what is built from the state when the daemon begins, and that certificates are made anew in
time. The first start shows the setup code to whoever started it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.access.access import Access
from appliance.access.box_names import list_names
from appliance.access.certificates import Certificates, ServedBy
from appliance.api.parts import Tls
from appliance.api.server import PORT, ApiServer, Place
from appliance.base.background import Background
from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.formats.names import PointSelector
from appliance.jobs.jobs import Jobs
from appliance.keys import keyring
from appliance.store.store import Store

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a box is there to be reached
_LOOK_AT_CERTIFICATE_S = 10.0  # who tries new addresses of the box has a minute
_SEAL_EVERY_S = 60.0
_WEB = Path(__file__).parent.parent / "web"


@dataclass(frozen=True)
class Listen:
    """Where to listen; `names` is what the box is called besides its host name."""

    addresses: Sequence[str] = EVERYWHERE
    port: int = PORT
    names: tuple[str, ...] = ()


class BoxServer:
    """The server of one box."""

    def __init__(
        self,
        state: Path,
        jobs: Jobs,
        clock: Clock,
        listen: Listen,
        *,
        command: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        self._state = state
        self._jobs = jobs
        self._clock = clock
        self._listen = listen
        self._command = command
        self._say = say
        self._access: Access | None = None
        self._server: ApiServer | None = None
        self._background = Background()

    async def start(self) -> None:
        """Listen; answers on return."""
        names = await asyncio.to_thread(list_names, self._listen.names)
        self._access = await asyncio.to_thread(Access, self._state, self._clock)
        certificates = Certificates(self._state, self._clock, names[0])
        served = await asyncio.to_thread(certificates.ensure, names)
        served_by = ServedBy(served.path)

        def reload() -> None:
            now = list_names(self._listen.names)
            # A page that is open under a name of before goes on.
            names[:] = dict.fromkeys([*now, *names])
            served_by.renew(certificates.ensure(now).path)

        self._reload = reload
        self._server = ApiServer(
            self._state,
            self._jobs,
            self._access,
            self._clock,
            Place(
                names[0],
                self._listen.addresses,
                self._listen.port,
                Tls(certificates, names, reload),
                served_by.context,
            ),
            command=self._command,
            web_folder=_WEB,
            is_locked=lambda: is_locked(self._state),
            has_store=lambda: has_store(self._state),
            name_point=self._name_point,
        )
        await self._server.start()
        self._background.begin(self._renew(), self._seal())
        await self._tell(names[0])

    async def _tell(self, name: str) -> None:
        """Where the pages are, and how to get in the first time."""
        assert self._server is not None
        assert self._access is not None
        first = self._listen.addresses[0]
        host = name if first in (*EVERYWHERE, "127.0.0.1") else first
        host = "localhost" if tuple(self._listen.addresses) == ("127.0.0.1",) else host
        self._say(f"the box is at https://{host}:{self._server.port}/")
        code = await asyncio.to_thread(self._access.setup.open)
        if code is not None:
            self._say(f"setup code {code}: it makes the first administrator, within an hour")

    def look_at_health(self) -> None:
        """Something came or went: what the pages show of it is looked at again."""
        if self._server is not None:
            for name in ("health", "disks", "array"):
                self._server.snapshots.look_again(name)

    async def stop(self) -> None:
        """Answer no more."""
        await self._background.end()
        if self._server is not None:
            await self._server.stop()
        if self._access is not None:
            await asyncio.to_thread(self._access.close)

    async def _renew(self) -> None:
        """A certificate that was made anew or uploaded is served from the next connection on."""
        while True:
            await asyncio.sleep(_LOOK_AT_CERTIFICATE_S)
            with suppress(HoldfastError, OSError):
                await asyncio.to_thread(self._reload)

    async def _seal(self) -> None:
        """The head of the audit log is sealed in the store now and then."""
        while True:
            await asyncio.sleep(_SEAL_EVERY_S)
            with suppress(HoldfastError, OSError):
                await asyncio.to_thread(self._seal_once)

    def _seal_once(self) -> None:
        assert self._access is not None
        self._access.seal(self._open_store().points.records)

    def _name_point(self, text: str) -> str:
        selector = PointSelector.parse(text)
        if selector.time is not None:
            return text  # also one that cannot be read any more
        return str(self._open_store().points.latest(selector.machine))

    def _open_store(self) -> Store:
        """Raises AccessError if it is locked."""
        return Store(self._state, keyring.load_master_key(self._state, None), self._clock)


def has_store(state: Path) -> bool:
    """Whether there is a store."""
    try:
        keyring.read_descriptor(state)
    except NotFoundError:
        return False
    return True


def is_locked(state: Path) -> bool:
    """Whether nobody can read the store now."""
    try:
        keyring.load_master_key(state, None)
    except HoldfastError:
        return True
    return False
