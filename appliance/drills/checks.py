"""Checks: each is tried until it passes, its time is over, or its guest is gone.

Owns the trying and the verdict. How one kind of check asks is in `probes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.base.clock import Clock
from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.drills import probes
from appliance.drills.network import LOOPBACK, Doors
from appliance.drills.plan import (
    AgentCheck,
    AnyCheck,
    HttpCheck,
    LoginCheck,
    Machine,
    ScriptCheck,
    SqlCheck,
    SshCheck,
    TcpCheck,
)
from appliance.drills.probes import ProbeError
from appliance.drills.vm import Vm
from appliance.formats.drill import DETAIL_MAX, CheckResult

_TURN_S = 0.5
# One try: long enough for a busy guest to answer, short enough to be tried again.
_TRY_MAX_S = 15.0


@dataclass(frozen=True)
class Target:
    """A running machine as checks reach it.

    In a drill through `doors`; without doors directly at `host` under the guest's own ports.
    """

    machine: Machine
    vm: Vm
    doors: Doors | None
    host: str = LOOPBACK

    def port(self, guest_port: int) -> int:
        """The port at `host` that is the guest's `guest_port`."""
        return guest_port if self.doors is None else self.doors.ports[guest_port]


def run_check(
    check: AnyCheck, target: Target, began_s: float, clock: Clock, progress: Progress
) -> CheckResult:
    """Try `check` until it is decided; `at_s` of the result counts from `began_s`.

    Raises Cancelled. Whatever else goes wrong is what the result says.
    """
    deadline_s = clock.monotonic_s() + check.timeout_s
    tries = 0
    passed, is_over = False, False
    detail = ""
    while not (passed or is_over):
        progress.check()
        tries += 1
        rest_s = deadline_s - clock.monotonic_s()
        try:
            detail = probe(check, target, min(_TRY_MAX_S, max(rest_s, 1.0)))
            passed = True
        except Cancelled:
            raise
        except (HoldfastError, OSError) as error:
            detail = str(error) or type(error).__name__
            is_over = clock.monotonic_s() + _TURN_S >= deadline_s
            if not target.vm.is_alive():
                detail, is_over = f"the VM has ended; before that: {detail}", True
        if not (passed or is_over):
            clock.sleep_s(_TURN_S)
    return CheckResult(
        kind=str(check.__struct_config__.tag),
        title=printable(check.label or check.title)[:DETAIL_MAX],
        passed=passed,
        at_s=round(clock.monotonic_s() - began_s, 2),
        tries=tries,
        detail=printable(detail)[:DETAIL_MAX],
    )


def probe(check: AnyCheck, target: Target, timeout_s: float) -> str:
    """Ask once; gives what was seen. Raises HoldfastError or OSError if that is not enough."""
    match check:
        case LoginCheck():
            return _look_for(check.text, target.vm)
        case AgentCheck():
            return probes.ask_agent(target.vm.folder)
        case ScriptCheck():
            ports = {port: target.port(port) for port in check.ports}
            name = target.machine.name
            return probes.run_script(check, name, target.host, ports, check.timeout_s)
        case _:
            return _probe_port(check, target, timeout_s)


def _probe_port(
    check: TcpCheck | HttpCheck | SqlCheck | SshCheck, target: Target, timeout_s: float
) -> str:
    host = target.host
    match check:
        case TcpCheck():
            gateway = None if target.doors is None else target.doors.gateway
            return probes.ask_tcp(check, host, target.port(check.port), gateway, timeout_s)
        case HttpCheck():
            return probes.ask_http(check, host, target.port(check.port), timeout_s)
        case SqlCheck():
            return _SQL[check.engine](check, host, target.port(check.guest_port), timeout_s)
        case SshCheck():
            return probes.ask_ssh(check, host, target.port(check.port), timeout_s)


def _look_for(text: str, vm: Vm) -> str:
    if text.encode() not in vm.read_console():
        raise ProbeError(f"'{text}' is neither on the serial line nor on the screen")
    return "seen"


_SQL: dict[str, Callable[[SqlCheck, str, int, float], str]] = {
    "mariadb": probes.ask_mariadb,
    "postgresql": probes.ask_postgresql,
}
