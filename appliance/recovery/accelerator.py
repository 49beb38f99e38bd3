"""Which of QEMU's accelerators runs guests here.

/dev/kvm may exist, open and make VMs, and still not run a guest: seen are a hang and "KVM internal
error, emulation failure", the latter at the first IRET in protected mode, long after a BIOS and a
boot sector in real mode had run well. So a guest is tried that does what every boot loader and
kernel does: through protected mode with IRET, paging, long mode with IRETQ, SSE. The verdict is
kept until the next boot of this machine.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.base import durable, process
from appliance.base.clock import boot_id
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.recovery.runtime import Runtime, poll, read_note, write_note

Name = Literal["kvm", "tcg"]
ENVIRONMENT = "HOLDFAST_ACCEL"
PROBE_TIMEOUT_S = 5.0
KVM_DEVICE = Path("/dev/kvm")
QEMU = "qemu-system-x86_64"
QEMU_PACKAGE = "qemu-system-x86"
_GUEST_SAYS = b"K"
_SECTOR_BYTES = 512

# The boot sector, at 0x7C00. Intel SDM volume 3, chapter 9.8 (to protected and to long mode).
_PROBE = bytes.fromhex(
    "fa fc 31c0"  # cli; cld; xor ax, ax
    "8ed8 8ec0 8ed0 bc007c"  # mov ds, ax; mov es, ax; mov ss, ax; mov sp, 0x7c00
    "0f0116e87c"  # lgdt [0x7ce8]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, PE; mov cr0, eax
    "ea1f7c0800"  # jmp 8:0x7c1f
    # 0x7c1f, here in protected mode
    "66b81000"  # mov ax, 16
    "8ed8 8ec0 8ed0 bc007c0000"  # mov ds, ax; mov es, ax; mov ss, ax; mov esp, 0x7c00
    "9c 0e 68367c0000 cf"  # pushfd; push cs; push 0x7c36; iretd
    # 0x7c36, back from IRET: page tables at 0x1000: one page of 2 MiB that maps address 0 to itself
    "bf00100000 0f22df"  # mov edi, 0x1000; mov cr3, edi
    "31c0 b9000c0000 f3ab"  # xor eax, eax; mov ecx, 3 * 1024; rep stosd
    "c7050010000003200000"  # mov dword [0x1000], 0x2003
    "c7050020000003300000"  # mov dword [0x2000], 0x3003
    "c7050030000083000000"  # mov dword [0x3000], 0x83
    "b820060000 0f22e0"  # mov eax, PAE | OSFXSR | OSXMMEXCPT; mov cr4, eax
    "b9800000c0 0f32 80cc01 0f30"  # mov ecx, EFER; rdmsr; or ah, LME; wrmsr
    "0f20c0 83e0fb"  # mov eax, cr0; and eax, ~EM
    "0d02000080 0f22c0"  # or eax, PG | MP; mov cr0, eax
    "ea8e7c00001800"  # jmp 24:0x7c8e
    # 0x7c8e, here in long mode
    "48c7c4007c0000"  # mov rsp, 0x7c00
    "b84b000000 660f6ec0"  # mov eax, 'K'; movd xmm0, eax
    "660ffec0 660ffac9"  # paddd xmm0, xmm0; psubd xmm1, xmm1
    "6a10 68007c0000 9c"  # push 16; push 0x7c00; pushfq
    "6a18 68b77c0000 48cf"  # push 24; push 0x7cb7; iretq
    # 0x7cb7, back from IRETQ
    "660f7ec0 d1e8 e6e9"  # movd eax, xmm0; shr eax, 1; out 0xe9, al
    "f4 ebfd"  # hlt; jmp to the hlt
    "660f1f440000"  # padding to 8
    # 0x7cc8, the descriptors: none; code of 32 bits; data; code of 64 bits
    "0000000000000000 ffff0000009bcf00 ffff00000093cf00 ffff0000009baf00"
    # 0x7ce8, their limit and address
    "1f00 c87c0000"
)


@dataclass(frozen=True)
class Accelerator:
    """What runs a guest's instructions, and how we know."""

    name: Name
    reason: str


def choose_accelerator(runtime: Runtime) -> Accelerator:
    """The accelerator for new VMs: forced by HOLDFAST_ACCEL, remembered, or tried now (up to 5 s).

    Raises UsageError for another value of the variable, HoldfastError when QEMU is not installed.
    """
    forced = os.environ.get(ENVIRONMENT, "")
    if forced in ("kvm", "tcg"):
        return Accelerator("kvm" if forced == "kvm" else "tcg", f"{ENVIRONMENT} says so")
    if forced:
        raise UsageError(f"{ENVIRONMENT}={forced} is no accelerator: kvm or tcg")
    verdict = _recall(runtime)
    if verdict is None:
        verdict = probe()
        remember(runtime, verdict)
    return verdict


def remember(runtime: Runtime, accelerator: Accelerator) -> None:
    """Choose `accelerator` until this machine boots again."""
    durable.make_directory(runtime.accelerator.parent)
    note = {"name": accelerator.name, "reason": accelerator.reason, "boot": boot_id()}
    write_note(runtime.accelerator, note)


def _recall(runtime: Runtime) -> Accelerator | None:
    try:
        note = read_note(runtime.accelerator)
    except (NotFoundError, IntegrityError):
        return None
    name, reason = note.get("name"), note.get("reason")
    if note.get("boot") != boot_id() or name not in ("kvm", "tcg") or not isinstance(reason, str):
        return None
    return Accelerator(name, reason)


def probe() -> Accelerator:
    """Try KVM with a guest of our own, in at most PROBE_TIMEOUT_S; TCG needs no trial.

    Raises HoldfastError when QEMU is not installed.
    """
    qemu = process.find_program(QEMU, QEMU_PACKAGE)
    if not KVM_DEVICE.exists():
        return Accelerator("tcg", f"there is no {KVM_DEVICE}")
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return Accelerator("tcg", f"{KVM_DEVICE} may not be opened")
    if runs_probe(qemu, "kvm"):
        return Accelerator("kvm", "a guest runs on it")
    return Accelerator("tcg", f"{KVM_DEVICE} is there but a guest does not run on it")


def runs_probe(qemu: str, name: Name) -> bool:
    """Whether the guest comes to its end under accelerator `name` within PROBE_TIMEOUT_S."""
    with tempfile.TemporaryDirectory(prefix="holdfast-probe-") as folder:
        disk, says, log = (Path(folder, file) for file in ("disk.raw", "says", "log"))
        disk.write_bytes(boot_sector(_PROBE))
        argv = [qemu, "-accel", name, "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-m", "16", "-drive", "file=disk.raw,format=raw,if=ide"]
        argv += ["-debugcon", "file:says"]
        guest = process.spawn(argv, log=log, cwd=Path(folder))
        try:
            poll(
                lambda: (
                    guest.poll() is not None
                    or _holds(says, _GUEST_SAYS)
                    or _holds(log, b"KVM internal error")
                ),
                PROBE_TIMEOUT_S,
            )
            return _holds(says, _GUEST_SAYS)
        finally:
            guest.kill()
            guest.wait()


def boot_sector(code: bytes) -> bytes:
    """A disk of one sector that a BIOS boots."""
    return code.ljust(_SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"


def _holds(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except FileNotFoundError:
        return False
