"""A small Linux on a disk: boots in seconds, serves HTTP, SSH and the guest agent.

A FAT disk with syslinux, Debian's cloud kernel and an initial ramdisk that is the whole system:
busybox, and the host's own bash, sshd and qemu-ga with their libraries. Built once per run of the
tests, without root and without a mount; address and page come on the kernel's command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.guest.archive import list_libraries, pack
from tests.guest.kernel import CLOUD, LATE_CLOCKS, order_modules, provide_kernel

_MODULES = ("virtio_pci", "virtio_net", "virtio_console")
_DISK_BYTES = 64 << 20
_APPLETS = ("sh", "cat", "echo", "httpd", "insmod", "ip", "mkdir", "mount", "poweroff", "sleep",
            "udhcpc", "uname")  # fmt: skip
_SYSLINUX = "default linux\nprompt 0\nlabel linux\n kernel linux\n append initrd=initrd {append}\n"
_INIT = """#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /var/run /run/sshd /tmp /var/log
mount -t devpts none /dev/pts
while read module; do insmod /modules/$module; done < /modules/order
for word in $(cat /proc/cmdline); do
  case $word in address=*) address=${word#address=};; page=*) page=${word#page=};; esac
done
ip link set lo up
ip link set eth0 up
if [ -n "$address" ]; then ip addr add $address dev eth0
else udhcpc -q -n -s /etc/udhcpc -i eth0; fi
echo "this is ${page:-a page}" > /www/index.html
httpd -h /www
busybox chmod 600 /etc/host
/usr/sbin/sshd -f /etc/sshd_config
for port in /sys/class/virtio-ports/*; do qemu-ga -d -t /var/run -p /dev/${port##*/}; done
while :; do echo "$(uname -n) login:" > /dev/ttyS0; sleep 3600; done
"""
_UDHCPC = '#!/bin/sh\n[ "$1" = bound ] && ip addr add $ip/24 dev $interface\nexit 0\n'
_SSHD = (
    "HostKey /etc/host\nAuthorizedKeysFile /etc/user.pub\nStrictModes no\nUsePAM no\n"
    "PasswordAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n"
)


def build_initrd(folder: Path) -> tuple[Path, Path, Path]:
    """(kernel, initial ramdisk, private key of root), made in `folder`."""
    kernel, modules = provide_kernel(CLOUD)
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    ordered = order_modules(modules, _MODULES)
    busybox = Path(shutil.which("busybox") or "/usr/bin/busybox").read_bytes()
    content = {f"/bin/{name}": busybox for name in ("busybox",)}
    content |= {f"/bin/{name}": b"#!/bin/busybox sh\nexec busybox " + name.encode() + b' "$@"\n'
                for name in _APPLETS if name != "sh"}  # fmt: skip
    content |= {f"/modules/{path.name}": path.read_bytes() for path in ordered}
    content["/modules/order"] = "".join(f"{path.name}\n" for path in ordered).encode()
    programs = [shutil.which(name) or f"/usr/sbin/{name}" for name in ("sshd", "qemu-ga", "bash")]
    for name in {*programs, *(lib for each in programs for lib in list_libraries(each))}:
        content[name] = Path(name).read_bytes()
    content |= {
        "/bin/sh": busybox,
        "/init": _INIT.encode(),
        "/etc/udhcpc": _UDHCPC.encode(),
        "/etc/passwd": b"root:x:0:0::/:/bin/sh\nsshd:x:33:33::/run/sshd:/bin/false\n",
        "/etc/group": b"root:x:0:\n",
        "/etc/sshd_config": _SSHD.encode(),
        "/etc/nsswitch.conf": b"hosts: files\n",
        "/etc/hosts": b"",
        "/etc/host": (folder / "host").read_bytes(),
        "/etc/user.pub": (folder / "user.pub").read_bytes(),
        "/www/index.html": b"",
        "/proc/empty": b"",
        "/sys/empty": b"",
        "/dev/empty": b"",
    }
    initrd = folder / "initrd"
    initrd.write_bytes(pack(content))
    return kernel, initrd, folder / "user"


def build_disk(folder: Path, kernel: Path, initrd: Path, append: str) -> bytes:
    """A disk that boots with these words on the kernel's command line."""
    disk = folder / "disk.raw"
    disk.unlink(missing_ok=True)
    disk.touch()
    os.truncate(disk, _DISK_BYTES)
    words = f"console=tty0 console=ttyS0 net.ifnames=0 panic=1 {LATE_CLOCKS} {append}"
    (folder / "syslinux.cfg").write_text(_SYSLINUX.format(append=words))
    subprocess.run(["mformat", "-i", disk, "-F", "-h", "64", "-s", "32", "::"], check=True)
    for source, name in ((kernel, "linux"), (initrd, "initrd"), (folder / "syslinux.cfg", "")):
        subprocess.run(["mcopy", "-i", disk, source, f"::{name}"], check=True)
    subprocess.run(["syslinux", "--install", disk], check=True)
    return disk.read_bytes()
