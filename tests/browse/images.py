"""Disks with real filesystems, made by their own tools, and what is put on them."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
ACL_ENTRIES = (
    *((1, 6, 0xFFFFFFFF), (2, 6, 1000), (4, 5, 0xFFFFFFFF)),
    *((8, 4, 55), (0x10, 7, 0xFFFFFFFF), (0x20, 1, 0xFFFFFFFF)),
)
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ACL_ENTRIES)


def run(*argv: str | Path) -> str:
    """Run a program of the system; fails the test with what it said."""
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")


def make_image(path: Path, size_mib: int, *mkfs: str) -> Path:
    """A sparse file with a filesystem that `mkfs` makes on it."""
    with path.open("wb") as file:
        file.truncate(size_mib * MIB)
    run(*mkfs, path)
    return path


@contextmanager
def mounted(image: Path, directory: Path, *options: str) -> Iterator[Path]:
    """The host kernel's own view of an image that this test has just made."""
    directory.mkdir(exist_ok=True)
    run("mount", "-o", ",".join(("loop", *options)), image, directory)
    try:
        yield directory
    finally:
        run("umount", directory)


def fill(root: Path, *, many: int = 1200, attribute_bytes: int = 700) -> None:
    """Everything that Linux can put into a directory."""

    def path(name: bytes) -> Path:
        return root / os.fsdecode(name)

    def write(name: bytes, data: bytes) -> None:
        path(name).write_bytes(data)

    path(b"etc").mkdir()
    write(b"etc/fstab", b"none / none\n")
    write(b"plain.txt", b"hello\n" * 1000)
    write(b"empty", b"")
    for name in (b"bad\xff\xfename", "ünïcode☃".encode(), b"new\nline\x1b[31m", b"x" * 255):
        write(name, b"content of " + name)
    for target, name in ((b"plain.txt", b"short"), (b"/x" * 100, b"long"), (b"\xff\xfe", b"odd")):
        path(name).symlink_to(os.fsdecode(target))
    path(b"hard").hardlink_to(path(b"plain.txt"))
    os.chown(path(b"plain.txt"), 70000, 123456)
    os.chown(path(b"short"), 12, 13, follow_symlinks=False)
    os.setxattr(path(b"plain.txt"), "system.posix_acl_access", ACL)
    path(b"plain.txt").chmod(0o4751)
    for attribute, value in (
        ("user.small", b"value"),
        ("user.empty", b""),
        ("user.big", random.Random(7).randbytes(attribute_bytes)),
        ("trusted.t", b"\0\1"),
        ("security.capability", bytes.fromhex("0100000200040000000000000000000000000000")),
    ):
        os.setxattr(path(b"plain.txt"), attribute, value)
    os.setxattr(path(b"etc"), "user.dir", b"d")
    os.setxattr(path(b"etc"), "system.posix_acl_default", ACL)
    with path(b"sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 30)
        file.write(b"far")
        file.truncate(6 << 30)
    with path(b"preallocated").open("w+b") as both:
        both.write(b"p" * 5000)
        os.posix_fallocate(both.fileno(), 0, MIB)
    with path(b"pieces").open("wb") as file:
        for number in range(400):
            file.seek(number * 16384)
            file.write(bytes([number & 255]) * 4096)
    write(b"blob", random.Random(1).randbytes(5 * MIB + 77))
    os.mknod(path(b"disk"), 0o60640, os.makedev(8, 300))
    os.mknod(path(b"terminal"), 0o20600, os.makedev(4, 1))
    os.mkfifo(path(b"pipe"))
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.fsencode(path(b"socket")))
    path(b"many").mkdir()
    for number in range(many):
        write(b"many/file-%05d-with-a-name" % number, b"%d" % number)
    deep = path(b"deep")
    for number in range(40):
        deep.mkdir()
        deep /= f"d{number:02}"
    os.utime(path(b"plain.txt"), ns=(1234567890123456789, -1000000001))
    os.utime(path(b"short"), ns=(5 * 10**18, 5 * 10**18 + 7), follow_symlinks=False)
    os.utime(path(b"etc"), ns=(10**18, 10**18 + 1))
