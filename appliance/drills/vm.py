"""One VM of a drill or a failover: the small part of `appliance.recovery` that they use.

Owns the way from a point to a running guest and its end, with the moments on the way. What kind
of network the guest has is `network`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.base.progress import Progress, Unit
from appliance.recovery import vms
from appliance.recovery.accelerator import Accelerator, remember
from appliance.recovery.boot import boot
from appliance.recovery.disk_server import ServeArgv
from appliance.recovery.hardware import SERIAL_LOG, Hardware
from appliance.recovery.monitor import Monitor
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.qemu import Guest
from appliance.recovery.ready import LOGIN, Wait, read_console, wait_until_ready
from appliance.recovery.runtime import Runtime
from appliance.recovery.touch import touched_of
from appliance.recovery.vm_note import find_folder, read_vm
from appliance.recovery.vm_start import BootOrder
from appliance.store.boot_notes import keep_boot_note

_NO_WAIT = Wait("none")
_STARTING = "starting the VM"
_LOG_TAIL_BYTES = 1 << 20


class _Relay(Progress):
    """Passes a cancellation on from `parent`, and tells `began` of each phase that begins."""

    def __init__(self, parent: Progress, began: Callable[[str], None]) -> None:
        super().__init__()
        self._parent = parent
        self._began = began

    def phase(
        self, name: str, total: int | None = None, unit: Unit = "bytes", *, about: str = ""
    ) -> None:
        super().phase(name, total, unit, about=about)
        self._began(name)

    def check(self) -> None:
        self._parent.check()


@dataclass(frozen=True)
class Started:
    """A guest that has just begun to run: when its point was open, and when QEMU was up.

    Both in seconds of the monotonic clock; `opened_s` is missing where that was not seen.
    """

    opened_s: float | None
    running_s: float
    accelerator: Accelerator


class Vm:
    """A VM by name. Nothing exists of it before `start`."""

    def __init__(self, runtime: Runtime, name: str, serve_argv: ServeArgv, clock: Clock) -> None:
        self.name = name
        self._runtime = runtime
        self._serve_argv = serve_argv
        self._clock = clock

    @property
    def folder(self) -> Path:
        """Where its sockets and logs are. Raises NotFoundError before `start`."""
        return find_folder(self._runtime, self.name)

    @property
    def _guest(self) -> Guest:
        guest = read_vm(self.folder).guest
        if guest is None:
            raise HoldfastError(f"VM '{self.name}' does not run", code="vm-stopped")
        return guest

    def start(self, point: str, hardware: HardwareChoice, progress: Progress) -> Started:
        """Start it, but not its guest: `go_on` does. Leaves the machine's preset alone.

        Raises what `boot` raises.
        """
        opened: list[float] = []

        def began(phase: str) -> None:
            if phase == _STARTING:
                opened.append(self._clock.monotonic_s())

        order = BootOrder(
            point, self.name, hardware, wait=_NO_WAIT, is_remembered=False, is_paused=True
        )
        relay = _Relay(progress, began)
        boot(self._runtime, order, self._serve_argv, progress=relay, clock=self._clock)
        running_s = self._clock.monotonic_s()
        return Started(opened[0] if opened else None, running_s, read_vm(self.folder).accelerator)

    def go_on(self) -> None:
        """Let its guest run. Raises MonitorError."""
        with self.monitor() as monitor:
            monitor.ask("cont")

    def await_login(self, timeout_s: float, progress: Progress) -> None:
        """Wait until it asks for a login. Raises what `wait_until_ready` raises."""
        wait_until_ready(self.name, self.folder, self._guest, LOGIN, timeout_s, progress=progress)

    def keep_boot_set(self, machine: str) -> bool:
        """Note what its guest read until now as what `machine` reads to boot; False if nothing."""
        return keep_boot_note(self._runtime.state, machine, touched_of(self.folder))

    @property
    def hardware(self) -> Hardware:
        """What its guest finds."""
        return read_vm(self.folder).hardware

    def is_alive(self) -> bool:
        """Whether its QEMU runs."""
        try:
            return self._guest.qemu.is_alive()
        except HoldfastError:
            return False

    def monitor(self) -> Monitor:
        """A connection to its QEMU, to be used as a context and kept short."""
        return Monitor(self.folder)

    def read_console(self) -> bytes:
        """What stands on its serial line and on its screen. Raises MonitorError."""
        with self.monitor() as monitor:
            return read_console(monitor, self.folder)

    def take_screenshot(self, target: Path) -> None:
        """Write its screen to `target` as PNG. Raises HoldfastError if there is none."""
        vms.screenshot(self._runtime, self.name, target)

    def read_serial_log(self) -> bytes:
        """The end of what it said on its serial line, at most 1 MiB."""
        try:
            with (self.folder / SERIAL_LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LOG_TAIL_BYTES))
                return file.read()
        except (FileNotFoundError, NotFoundError):
            return b""

    def give_up_kvm(self, reason: str) -> None:
        """Use TCG from now on, until this machine boots again."""
        remember(self._runtime, Accelerator("tcg", reason))

    def remove(self) -> None:
        """End it at once and drop all it wrote; one that is not there is fine."""
        discard_vm(self._runtime, self.name)

    def shut_down(self) -> None:
        """Ask it to shut down, switch it off if it does not, and keep what it wrote."""
        vms.stop(self._runtime, self.name)


def discard_vm(runtime: Runtime, name: str) -> None:
    """End VM `name` and drop all it wrote; one that is not there is fine."""
    try:
        vms.stop(runtime, name, discard=True)
    except NotFoundError:
        return
