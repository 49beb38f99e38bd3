"""A boot sector that asks for a login and says on its serial line which keys were pressed.

A guest that is up in a second and idles: for whoever needs a VM, its screen or a drill, and no
operating system. It takes the first 512 bytes of a disk, which ext4 leaves alone.
"""

from __future__ import annotations

from pathlib import Path

_ORIGIN = 0x7C00
_HANDLER, _TEXT = _ORIGIN + 0x2C, _ORIGIN + 0x3B
_SECTOR_BYTES = 512
PROMPT = b"speaking disk\r\nlogin: "
# Codes of keys as a keyboard of the PC sends them (set 1); above 0x80: let go.
CONTROL, ALT, DELETE = 0x1D, 0x38, 0x53


def assemble() -> bytes:
    """The boot sector, as a BIOS runs it."""
    code = b"\xfa\x31\xc0\x8e\xd8\x8e\xd0"  # cli; ax, ds, ss = 0
    code += b"\xbc\x00\x7c\xfc"  # sp = 0x7c00; cld
    code += b"\xc7\x06\x24\x00" + _HANDLER.to_bytes(2, "little")  # whoever hears of keys: us
    code += b"\xa3\x26\x00\xbe" + _TEXT.to_bytes(2, "little")
    code += b"\xac\x84\xc0\x74\x0c"  # next: al = *si++, or on to idle after the last
    code += b"\xb4\x0e\x31\xdb\xcd\x10"  # on the screen
    code += b"\xba\xf8\x03\xee\xeb\xef"  # on the serial line; next
    code += b"\xfb\xf4\xeb\xfc"  # idle: sti; hlt; idle
    code += b"\x50\x52\xe4\x60\xba\xf8\x03\xee"  # a key: its code on the serial line
    code += b"\xb0\x20\xe6\x20\x5a\x58\xcf"  # that was all of this interrupt
    code += PROMPT + b"\0"
    return code.ljust(_SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"


def teach_to_speak(disk: Path) -> None:
    """Make a disk of one ext4 filesystem bootable."""
    with disk.open("r+b") as file:
        file.write(assemble())
