"""Plans: which machines are recovered together, in which order, and what proves that they work.

Owns the reading of a plan (docs/format/plan.md): types, ranges, and what must agree with what. It
never looks whether a machine or a point exists.
"""

from __future__ import annotations

import hashlib
import ipaddress
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from appliance.base.durable import named_os_errors
from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.formats.names import LATEST, PointSelector, parse_machine_name

PLAN_MAX_BYTES = 256 << 10
PORTS_MAX = 32

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=1000, pattern=r"^[^\x00\r\n]+$")]
ShortList = Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=64)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every check has. It is tried again until it passes or `timeout_s` is over."""

    timeout_s: Seconds = 120.0
    label: Line | None = None


class LoginCheck(Check, frozen=True, tag_field="kind", tag="login", kw_only=True):
    """`text` stands on the serial line or on the screen, while that is in text mode."""

    text: Line = "login:"

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"'{self.text}' on the console"


class TcpCheck(Check, frozen=True, tag_field="kind", tag="tcp", kw_only=True):
    """Something in the guest takes a connection; with `banner` it says that text first."""

    port: Port
    banner: Line | None = None

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"TCP port {self.port}"


class HttpCheck(Check, frozen=True, tag_field="kind", tag="http", kw_only=True):
    """A page answers with `status`, and `contains` stands in it.

    Certificates are not verified: the drill reaches the guest under another name than users do.
    """

    port: Port = 80
    path: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*$", max_length=1000)] = "/"
    tls: bool = False
    host: Line | None = None
    status: Annotated[int, msgspec.Meta(ge=100, le=599)] = 200
    contains: Line | None = None

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"HTTP{'S' if self.tls else ''} {self.path} on port {self.port} says {self.status}"


class SqlCheck(Check, frozen=True, tag_field="kind", tag="sql", kw_only=True):
    """The first value of the answer to `query` is `expect`, compared as text."""

    engine: Literal["mariadb", "postgresql"]
    user: Line
    port: Port | None = None
    database: Line | None = None
    password_file: Line | None = None
    query: Line = "SELECT 1"
    expect: Annotated[str, msgspec.Meta(max_length=1000)] | None = None

    @property
    def guest_port(self) -> int:
        """The port, or what the database listens on by itself."""
        return self.port or {"mariadb": 3306, "postgresql": 5432}[self.engine]

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"{self.engine} answers {self.query}"


class AgentCheck(Check, frozen=True, tag_field="kind", tag="agent", kw_only=True):
    """The QEMU guest agent answers."""

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return "guest agent"


class SshCheck(Check, frozen=True, tag_field="kind", tag="ssh", kw_only=True):
    """A command in the guest ends with 0, and `expect` stands in what it prints.

    Without `host_key` (a line as in known_hosts: type and key) any host key is accepted.
    """

    user: Line
    command: Line
    port: Port = 22
    key_file: Line | None = None
    password_file: Line | None = None
    host_key: Line | None = None
    expect: Line | None = None

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"SSH: {self.command}"


class ScriptCheck(Check, frozen=True, tag_field="kind", tag="script", kw_only=True):
    """A program on the box ends with 0. In its words `{host}`, `{machine}` and `{port:N}` are put.

    There is no shell, and a word stays one word whatever is put in.
    """

    argv: ShortList
    ports: Annotated[tuple[Port, ...], msgspec.Meta(max_length=8)] = ()

    @property
    def title(self) -> str:
        """What it asks, in a few words."""
        return f"script {Path(self.argv[0]).name}"


AnyCheck = (
    LoginCheck | TcpCheck | HttpCheck | SqlCheck | AgentCheck | SshCheck | ScriptCheck
)  # fmt: skip


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One machine of a plan. Machines of the same `order` start together."""

    name: Line
    point: Line = LATEST
    order: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0.0
    memory_mib: Annotated[int, msgspec.Meta(ge=16, le=1 << 20)] = 1024
    ready: Literal["login", "none"] = "login"
    timeout_s: Seconds = 600.0
    address: str | None = None
    mac: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")] | None = None
    checks: Annotated[tuple[AnyCheck, ...], msgspec.Meta(max_length=64)] = ()

    @property
    def ports(self) -> tuple[int, ...]:
        """The guest's ports that checks need, each once, rising."""
        found: set[int] = set()
        for check in self.checks:
            match check:
                case TcpCheck() | HttpCheck() | SshCheck():
                    found.add(check.port)
                case SqlCheck():
                    found.add(check.guest_port)
                case ScriptCheck():
                    found.update(check.ports)
                case _:
                    continue
        return tuple(sorted(found))

    @property
    def interface(self) -> ipaddress.IPv4Interface | None:
        """The address that the guest gives itself, with its network."""
        return None if self.address is None else ipaddress.IPv4Interface(self.address)


class DnsUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A name that a failover points elsewhere (RFC 2136), and how the server knows us (TSIG)."""

    server: Line
    zone: Line
    name: Line
    address: Line
    key_name: Line
    key_file: Line
    port: Port = 53
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=604800)] = 60
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a drill is due, in the box's local time. Months have `days` 1 to 28 only."""

    at: Clock = "02:00"
    weekdays: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)] | None = None
    days: (
        Annotated[
            tuple[Annotated[int, msgspec.Meta(ge=1, le=28)], ...],
            msgspec.Meta(min_length=1, max_length=28),
        ]
        | None
    ) = None


class Failover(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What only a real failover has: the network of the office, and names that move."""

    bridge: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,15}$")]
    dns: Annotated[tuple[DnsUpdate, ...], msgspec.Meta(max_length=64)] = ()


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan. `network`: none, one for each machine by itself, or one that they share.

    Whichever it is, in a drill nothing leads out of it: only checks lead in.
    """

    name: Line
    machines: Annotated[tuple[Machine, ...], msgspec.Meta(min_length=1, max_length=100)]
    network: Literal["none", "apart", "shared"] = "none"
    schedule: Schedule | None = None
    failover: Failover | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan says, whatever its spelling: drills of one plan compare."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def groups(self) -> Iterator[tuple[Machine, ...]]:
        """The machines that start together, in order."""
        for _, group in groupby(
            sorted(self.machines, key=lambda item: item.order), key=lambda item: item.order
        ):
            yield tuple(group)


def plan_of_machine(machine: str, memory_mib: int = 1024) -> Plan:
    """The plan of `drill run MACHINE`: it boots without a network and asks for a login."""
    return Plan(name=machine, machines=(Machine(name=machine, memory_mib=memory_mib),))


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises NotFoundError, AccessError, or UsageError that names the line."""
    with named_os_errors(path), path.open("rb") as stream:
        data = stream.read(PLAN_MAX_BYTES + 1)
    try:
        return parse_plan(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_plan(data: bytes) -> Plan:
    """The plan that `data` spells in TOML. Raises UsageError that says what is wrong where."""
    if len(data) > PLAN_MAX_BYTES:
        raise UsageError(f"longer than {PLAN_MAX_BYTES >> 10} KiB")
    try:
        value = tomllib.loads(data.decode())
        plan = msgspec.convert(value, Plan)
    except RecursionError as error:
        raise UsageError("nested too deeply") from error
    except ValueError as error:  # TOML, UTF-8 and msgspec's own
        raise UsageError(printable(str(error))) from error
    _agree(plan)
    return plan


# ---- what types do not say ----------------------------------------------------------------------


def _agree(plan: Plan) -> None:
    parse_machine_name(plan.name)
    seen = set()
    for machine in plan.machines:
        if parse_machine_name(machine.name) in seen:
            raise UsageError(f"machine {machine.name} is named twice")
        seen.add(machine.name)
        PointSelector.parse(f"{machine.name}@{machine.point}")
        _agree_on_network(plan, machine)
    _agree_on_networks(plan)
    for update in plan.failover.dns if plan.failover else ():
        _parse_address(update.address)
        _parse_address(update.server)


def _agree_on_network(plan: Plan, machine: Machine) -> None:
    if len(machine.ports) > PORTS_MAX:
        raise UsageError(f"{machine.name}: checks need more than {PORTS_MAX} ports")
    if machine.ports and plan.network == "none":
        raise UsageError(
            f"{machine.name}: its checks need a network: say network = 'apart', or 'shared' when "
            "the machines need each other"
        )
    if machine.ports and plan.network == "shared" and machine.address is None:
        raise UsageError(
            f"{machine.name}: on a shared network give the address that it has configured, as in "
            "address = '192.0.2.10/24'"
        )
    if machine.ports and plan.failover is not None and machine.address is None:
        raise UsageError(f"{machine.name}: for a failover its checks need its address")
    for check in machine.checks:
        if isinstance(check, ScriptCheck):
            _agree_on_script(machine, check)


def _agree_on_script(machine: Machine, check: ScriptCheck) -> None:
    if not check.argv[0].startswith("/"):
        raise UsageError(f"{machine.name}: script {check.argv[0]}: give the whole path")


def _agree_on_networks(plan: Plan) -> None:
    networks = set()
    for machine in plan.machines:
        try:
            interface = machine.interface
        except ValueError as error:
            raise UsageError(f"{machine.name}: address: {error}") from error
        if interface is not None:
            if interface.network.prefixlen > 28 or interface.network.prefixlen < 8:
                raise UsageError(f"{machine.name}: address: a network is /8 to /28")
            networks.add(interface.network)
    if plan.network == "shared" and len(networks) > 1:
        raise UsageError("machines on a shared network have addresses of one network")


def _parse_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise UsageError(f"'{printable(text)}' is no IP address") from error
