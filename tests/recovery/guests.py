"""Guests of a few dozen bytes, so that a test boots in a second: disks whose boot sector is the OS.

The code is for 16 bits at 0x7C00, where the BIOS jumps to; the disk is still in DL.
"""

from __future__ import annotations

from appliance.recovery.accelerator import boot_sector

DISK_BYTES = 1 << 20
COUNTER_OFFSET = 512  # COUNTING keeps the number of its boots there, in two bytes
_LOGIN = b"\r\nweb1 login: \0"
_HALT = "f4 ebfd"  # hlt; jmp to the hlt
_SWITCH_OFF = "ba0406 b80020 ef"  # mov dx, PM1_CNT of the PIIX4; mov ax, SLP_EN; out dx, ax


def _disk(code: bytes) -> bytes:
    return boot_sector(code).ljust(DISK_BYTES, b"\0")


def _say_login(before: str = "", after: str = _HALT) -> bytes:
    """A disk that runs `before`, sends a login prompt to COM1 and runs `after`."""
    head = bytes.fromhex(before) + bytes.fromhex("31c0 8ed8 be")  # xor ax, ax; mov ds, ax; mov si,
    tail = bytes.fromhex(
        "fc baf803"  # cld; mov dx, 0x3f8
        "ac 84c0 7403 ee ebf8" + after  # lodsb; test al, al; jz after; out dx, al; jmp to the lodsb
    )
    text = 0x7C00 + len(head) + 2 + len(tail)
    return _disk(head + text.to_bytes(2, "little") + tail + _LOGIN)


SAYS_LOGIN = _say_login()

SILENT = _disk(bytes.fromhex(_HALT))

SWITCHES_OFF = _disk(bytes.fromhex(_SWITCH_OFF + _HALT))

SHOWS_LOGIN = _disk(
    bytes.fromhex(
        "31c0 8ed8 be187c fc 31db"  # xor ax, ax; mov ds, ax; mov si, 0x7c18; cld; xor bx, bx
        "ac 84c0 7406"  # lodsb; test al, al; jz to the hlt
        "b40e cd10 ebf5" + _HALT  # mov ah, 0x0e; int 0x10 (teletype); jmp to the lodsb
    )
    + _LOGIN
)

COUNTING = _say_login(
    "31c0 8ec0 8ed8 bb007e"  # xor ax, ax; mov es, ax; mov ds, ax; mov bx, 0x7e00
    "b80102 b90200 b600 cd13"  # mov ax, 0x201; mov cx, 2; mov dh, 0; int 0x13 (read)
    "ff06007e b80103 cd13"  # inc word [0x7e00]; mov ax, 0x301; int 0x13 (write)
)

# It numbers its writes, each to the next of 1024 sectors, and sends a dot for each that is done.
WRITES_FIRST_SECTOR = 64
WRITES_SECTORS = 1024
WRITING = _say_login(
    "31c0 8ed8 8816f07d"  # xor ax, ax; mov ds, ax; mov [0x7df0], dl
    "c706d07d1000 c706d27d0100 c706d47d007e c706d67d0000"  # the packet of int 0x13 at 0x7dd0:
    "66c706dc7d00000000 66c706007e00000000",  # 1 sector from 0:0x7e00, where the number is
    "66ff06007e 66a1007e 6625ff030000 6683c040 66a3d87d"  # the sector is number % 1024 + 64
    "bed07d b80043 8a16f07d cd13 72e0"  # write (int 0x13, ah 0x43); again if that failed
    "baf803 b02e ee ebd3",  # mov dx, 0x3f8; mov al, '.'; out dx, al; jmp to the first
)

# It reads a sector of each of 16 MiB in turn, and sends a dot for each that came, else '!'.
READS_FIRST_SECTOR = 64
READING = _say_login(
    "31c0 8ed8 8816f07d"  # xor ax, ax; mov ds, ax; mov [0x7df0], dl
    "c706d07d1000 c706d47d007e c706d67d0000"  # the packet of int 0x13 at 0x7dd0: to 0:0x7e00
    "66c706dc7d00000000 66c706e07d00000000",  # the number of the read is at 0x7de0
    "66ff06e07d 66a1e07d 6683e00f 66c1e00b 6683c040 66a3d87d"  # sector: number % 16 * 2048 + 64
    "c706d27d0100"  # 1 sector: the BIOS says there how many came
    "bed07d b80042 8a16f07d cd13"  # read (int 0x13, ah 0x42)
    "b02e 7302 b021 baf803 ee ebc9",  # mov al, '.'; jnc; mov al, '!'; to COM1; jmp to the first
)

# It waits for the power button, as an operating system does, and then switches itself off.
OBEDIENT = _say_login(
    "ba0206 b80001 ef",  # mov dx, PM1_EN; mov ax, PWRBTN_EN; out dx, ax
    "ba0006 ed f6c401 74fa"  # mov dx, PM1_STS; in ax, dx; test ah, PWRBTN_STS; jz to the in
    + _SWITCH_OFF
    + _HALT,
)

# It uses IRET in protected mode, which half-working KVMs do not run.
PROTECTED = _disk(
    bytes.fromhex(
        "fa 31c0 8ed8 0f0116567c"  # cli; xor ax, ax; mov ds, ax; lgdt [0x7c56]
        "40 0f01f0 ea137c0800"  # inc ax; lmsw ax; jmp 8:0x7c13
        "66b81000 8ed8 8ed0 bc007c0000"  # mov ax, 16; mov ds, ax; mov ss, ax; mov esp, 0x7c00
        "9c 0e 68287c0000 cf"  # pushfd; push cs; push 0x7c28; iretd
        "be5c7c0000 fc baf8030000"  # mov esi, 0x7c5c; cld; mov edx, 0x3f8
        "ac 84c0 7403 ee ebf8" + _HALT + "0000000000000000"  # as above; the first descriptor
        "ffff0000009bcf00 ffff00000093cf00"  # code and data of 32 bits
        "1700 3e7c0000"  # limit and address of the descriptors
    )
    + _LOGIN
)


def find_lost_writes(disk: bytes, dots: int) -> list[int]:
    """Numbers of writes of WRITING that were acknowledged and are neither there nor overwritten."""
    lost = []
    for number in range(max(dots - WRITES_SECTORS, 0) + 1, dots + 1):
        at = 512 * (WRITES_FIRST_SECTOR + number % WRITES_SECTORS)
        if int.from_bytes(disk[at : at + 4], "little") < number:
            lost.append(number)
    return lost
