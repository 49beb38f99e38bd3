"""What is on the demo disk: a small Debian 12 web server, and what life does to it.

Owns: the content of the filesystem in both generations. Never does: partitions, mounts, caching.
The recipe is this module's text: a change here makes new disks (see `debian_disk.hash_recipe`).
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image.mirror import SUITE, Mirror
from image.workbench import mount_kernel_views, run, run_in, say

HOSTNAME = "web1"
ROOT_PASSWORD = "demo"  # noqa: S105 - a machine that exists for minutes, in a demo
PACKAGES = ("systemd-sysv", "udev", "dbus", "initramfs-tools", "linux-image-amd64")
NEW_PACKAGE = "nginx"
# Both what QEMU offers by default and what old and new hypervisors offer; the rest of the
# kernel's 3,800 modules would only make the initial ramdisk slow to load.
BOOT_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "ahci",
    "ata_piix",
    "sd_mod",
    "nvme",
    "ext4",
)
# Nothing in a demo waits for these, and each costs a second or more under emulation.
MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-binfmt.service",
    "systemd-pstore.service",
    "systemd-networkd-wait-online.service",
    "systemd-network-generator.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "modprobe@drm.service",
)
# Drivers for hardware that no hypervisor shows, and texts nobody reads on a demo machine.
EXCLUDED_PATHS = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/sound/*",
)
NETWORK = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=ipv4\n"
# An emulated timer on a busy host is late, which kernels take for a broken one, and panic.
BOOT_MENU = """DEFAULT debian
PROMPT 0
TIMEOUT 1
LABEL debian
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND root=UUID={uuid} ro quiet no_timer_check console=tty0 console=ttyS0,115200
"""
_PAGE_BYTES = 16384
_SEED = 20261121


def fill_root(root: Path, uuid: str, mirror: Mirror, downloads: Path, *, log: Path) -> None:
    """Install a bootable Debian 12 into the empty, mounted filesystem `root` with id `uuid`.

    `downloads` keeps packages between builds. Raises HoldfastError when a tool fails.
    """
    _write(root / "etc/dpkg/dpkg.cfg.d/demo", _dpkg_configuration())
    say(f"debootstrap {SUITE} from {mirror.url} (the longest step, about a minute)")
    proxy = [f"http_proxy={mirror.proxy}"] if mirror.proxy else []
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    # The ramdisk is made once at the end, with the modules named below.
    _write(root / "etc/initramfs-tools/update-initramfs.conf", "update_initramfs=no\n")
    run(["env", *proxy, *bootstrap, f"--cache-dir={downloads}", SUITE, root, mirror.url], log=log)
    say("configuring the system")
    _configure_system(root, uuid, log=log)
    say("making the initial ramdisk")
    _make_ramdisk(root, log=log)
    say("installing the boot loader")
    run(["extlinux", "--install", root / "boot"], log=log)
    _write(root / "boot/extlinux.conf", BOOT_MENU.format(uuid=uuid))
    _write_first_data(root)
    for leftover in (root / "var/cache/apt/archives").glob("*.deb"):
        leftover.unlink()


def change_root(root: Path, mirror: Mirror, downloads: Path, *, log: Path) -> None:
    """Let some days pass on the system at `root`: a package, edits, grown logs, a file gone."""
    say(f"installing {NEW_PACKAGE} with the system's own apt")
    with _network_in(root), mount_kernel_views(root, log=log), _no_daemons(root):
        options = ["-o", f"Dir::Cache::archives={_lend_downloads(root, downloads, log=log)}"]
        if mirror.proxy:
            options += ["-o", f"Acquire::http::Proxy={mirror.proxy}"]
        apt = ["apt-get", *options, "-o", "APT::Sandbox::User=root", "--quiet", "--assume-yes"]
        run_in(root, [*apt, "update"], log=log)
        run_in(root, [*apt, "install", "--no-install-recommends", NEW_PACKAGE], log=log)
    say("editing files, growing logs, deleting a report")
    _write_second_data(root)


def _dpkg_configuration() -> str:
    # A build that dies is thrown away: fsync per file would only cost minutes.
    return "force-unsafe-io\n" + "".join(f"path-exclude={path}\n" for path in EXCLUDED_PATHS)


def _configure_system(root: Path, uuid: str, *, log: Path) -> None:
    _write(root / "etc/hostname", f"{HOSTNAME}\n")
    _write(root / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n")
    _write(root / "etc/fstab", f"UUID={uuid} / ext4 errors=remount-ro 0 1\n")
    _write(root / "etc/systemd/network/20-wired.network", NETWORK)
    run_in(root, ["chpasswd"], given=f"root:{ROOT_PASSWORD}\n", log=log)
    run_in(root, ["systemctl", "mask", *MASKED_UNITS], log=log)
    run_in(root, ["systemctl", "enable", "systemd-networkd", "serial-getty@ttyS0"], log=log)
    # An empty id is filled at the first boot, as on a cloned machine.
    _write(root / "etc/machine-id", "")


def _make_ramdisk(root: Path, *, log: Path) -> None:
    (root / "etc/initramfs-tools/update-initramfs.conf").write_text("update_initramfs=yes\n")
    _write(root / "etc/initramfs-tools/conf.d/demo", "MODULES=list\nCOMPRESS=gzip\n")
    _write(root / "etc/initramfs-tools/modules", "".join(f"{name}\n" for name in BOOT_MODULES))
    with mount_kernel_views(root, log=log):
        run_in(root, ["update-initramfs", "-c", "-k", "all"], log=log)


def _write_first_data(root: Path) -> None:
    generator = random.Random(_SEED)  # noqa: S311 - the same disk each time
    web = root / f"srv/{HOSTNAME}"
    web.mkdir(parents=True)
    (web / "orders.db").write_bytes(generator.randbytes(8 << 20) + bytes(8 << 20))
    (web / "report-2025.txt").write_text("".join(_log_lines(generator, 10_000)))
    (web / "shop.conf").write_text("".join(f"setting_{n} = {n * n}\n" for n in range(5_000)))
    (root / "var/log/shop.log").write_text("".join(_log_lines(generator, 40_000)))


def _write_second_data(root: Path) -> None:
    generator = random.Random(_SEED + 1)  # noqa: S311 - the same disk each time
    web = root / f"srv/{HOSTNAME}"
    with (web / "orders.db").open("r+b") as database:
        for page in generator.sample(range(1024), 50):
            database.seek(page * _PAGE_BYTES)
            database.write(generator.randbytes(_PAGE_BYTES))
    settings = (web / "shop.conf").read_text().splitlines(keepends=True)
    settings.insert(100, "inserted = here, so that every later byte moves\n")
    (web / "shop.conf").write_text("".join(settings))
    (web / "report-2025.txt").unlink()
    with (root / "var/log/shop.log").open("a") as log:
        log.writelines(_log_lines(generator, 60_000))
    with (root / "etc/hosts").open("a") as hosts:
        hosts.write("192.0.2.7 printer\n")


def _log_lines(generator: random.Random, count: int) -> Iterator[str]:
    for number in range(count):
        client, order = generator.randrange(250), generator.randrange(10**6)
        yield f"line {number:06d} 192.0.2.{client} GET /orders/{order:06d} 200\n"


@contextmanager
def _network_in(root: Path) -> Iterator[None]:
    """Lend the host's name resolution to the system at `root`, and take it back."""
    lent = {
        root / "etc/resolv.conf": Path("/etc/resolv.conf"),
        root / "etc/hosts": Path("/etc/hosts"),
    }
    before = {path: path.read_bytes() if path.is_file() else None for path in lent}
    try:
        for path, source in lent.items():
            path.unlink(missing_ok=True)
            shutil.copyfile(source, path)
        yield
    finally:
        for path, content in before.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)


@contextmanager
def _no_daemons(root: Path) -> Iterator[None]:
    """Keep package scripts from starting services of `root` on this host."""
    policy = root / "usr/sbin/policy-rc.d"
    _write(policy, "#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _lend_downloads(root: Path, downloads: Path, *, log: Path) -> str:
    """Show `downloads` inside `root`; it disappears when `root` is unmounted."""
    (downloads / "partial").mkdir(parents=True, exist_ok=True)
    inside = "/media"
    run(["mount", "--bind", downloads, f"{root}{inside}"], log=log)
    return inside


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.write_text(text)
