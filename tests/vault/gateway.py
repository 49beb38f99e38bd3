"""A real S3 server on loopback, from Debian's Ceph packages: monitor, one disk in memory, gateway.

    python -m tests.vault.gateway DIRECTORY

runs one until it is interrupted, and prints its URL and the file with its keys. Unprivileged ports,
everything below DIRECTORY, and every process dies with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.formats.vault_credentials import Credentials
from appliance.vault.address import S3Address, parse_address
from tests.ports import free_ports

# A busy machine must not fail a test; a quiet one needs a few seconds.
START_S = 180.0
MEMORY_BYTES = 6 << 30  # the most that the disk may hold; taken as it is written
BOX = Credentials("BOXACCESS", "box/secret+key=0123456789")

_CONFIG = """
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{mon_port}/0,v1:127.0.0.1:{old_port}/0]
public network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
log to stderr = false
err to stderr = true
mon cluster log file = {folder}/cluster.log
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 2
mon allow pool size one = true
mon warn on pool no redundancy = false
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = {memory}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd default notify timeout = 2
osd client watch timeout = 2
ms bind ipv6 = false
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 64
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw enable usage log = false
rgw enable ops log = false
"""


class Gateway:
    """The cluster below `folder`. `kill` and `restart` concern the gateway; the data stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A process dies with the thread that started it, so that is one of our own.
        self._starter = ThreadPoolExecutor(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        mon_port, old_port, self.port = free_ports(3)
        self._config = folder / "ceph.conf"
        folder.mkdir(parents=True, exist_ok=True)
        self._fsid = str(uuid.uuid4())
        self._mon_address = f"[v2:127.0.0.1:{mon_port},v1:127.0.0.1:{old_port}]"
        self._config.write_text(
            _CONFIG.format(
                fsid=self._fsid,
                mon_port=mon_port,
                old_port=old_port,
                port=self.port,
                folder=folder,
                memory=MEMORY_BYTES,
            )
        )

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.port}"

    def address(self, bucket: str, prefix: str = "", endpoint: str = "") -> S3Address:
        """A bucket here, or through a proxy at `endpoint`."""
        place = f"{bucket}/{prefix}".rstrip("/")
        found = parse_address(f"s3://{place}?endpoint={endpoint or self.endpoint}&style=path")
        assert isinstance(found, S3Address)
        return found

    # ---- life ----

    def start(self) -> None:
        """Bring everything up, with the account BOX."""
        self._make_keys()
        self._start("mon", "ceph-mon", "-i", "a")
        self._ceph("auth", "import", "-i", str(self.folder / "keyring"))
        self._start_disk()
        self.restart()
        self.create_user("box", BOX)

    def stop(self) -> None:
        """Kill everything: nothing of it is needed again."""
        for name in ("rgw", "osd", "mon"):
            self._kill(name)
        self._starter.shutdown()

    def kill(self) -> None:
        """Kill the gateway with SIGKILL, in the middle of whatever it does."""
        self._kill("rgw")

    def restart(self) -> None:
        """Start the gateway (again), and wait until it answers."""
        self._start("rgw", "radosgw", "-n", "client.rgw")
        self._wait("the gateway", self._answers, "rgw")

    def pause(self) -> None:
        """Let the gateway hang: connections stay, nothing is answered."""
        self._processes["rgw"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End `pause`."""
        self._processes["rgw"].send_signal(signal.SIGCONT)

    # ---- accounts ----

    def create_user(self, name: str, credentials: Credentials) -> str:
        """Make an account; gives its ARN."""
        self._admin(
            *("user", "create", f"--uid={name}", f"--display-name={name}", "--key-type=s3"),
            *(f"--access-key={credentials.access_key}", f"--secret={credentials.secret_key}"),
        )
        return f"arn:aws:iam:::user/{name}"

    def suspend_user(self, name: str, *, is_suspended: bool = True) -> None:
        """Revoke an account, or give it back."""
        self._admin("user", "suspend" if is_suspended else "enable", f"--uid={name}")

    def set_quota(self, name: str, size_bytes: int) -> None:
        """Let an account store so much and no more."""
        self._admin(
            *("quota", "set", "--quota-scope=user", f"--uid={name}", f"--max-size={size_bytes}")
        )
        self._admin("quota", "enable", "--quota-scope=user", f"--uid={name}")

    # ---- parts ----

    def _make_keys(self) -> None:
        keyring, secrets = str(self.folder / "keyring"), str(self.folder / "keyring.mon")
        allow = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self._run("ceph-authtool", "--create-keyring", keyring)
        for name in ("client.admin", "client.rgw", "osd.0"):
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *allow)
        self._run("ceph-authtool", "--create-keyring", secrets, "--gen-key", "-n", "mon.", *allow)
        self._run("ceph-authtool", secrets, "--import-keyring", keyring)
        monmap = str(self.folder / "monmap")
        self._run(
            *("monmaptool", "--create", "--addv", "a", self._mon_address),
            *("--fsid", self._fsid, monmap),
        )
        self._run(
            *("ceph-mon", "-c", str(self._config), "--mkfs", "-i", "a"),
            *("--monmap", monmap, "--keyring", secrets),
        )

    def _start_disk(self) -> None:
        disk = str(uuid.uuid4())
        (self.folder / "osd").mkdir()
        self._ceph("osd", "new", disk)
        self._run("ceph-osd", "-c", str(self._config), "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._start("osd", "ceph-osd", "-i", "0")

        def is_up() -> bool:
            status = json.loads(self._ceph("osd", "stat", "--format=json"))
            return bool(status["num_up_osds"] == 1)

        self._wait("the disk", is_up, "osd")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def _ceph(self, *words: str) -> str:
        return self._run("ceph", "-c", str(self._config), "--connect-timeout=120", *words)

    def _admin(self, *words: str) -> str:
        return self._run("radosgw-admin", "-c", str(self._config), *words)

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=START_S, check=False, cwd=self.folder
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def _start(self, name: str, *argv: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            begun = self._starter.submit(
                subprocess.Popen[bytes],
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *(argv[0], "-f", "-c", str(self._config), *argv[1:]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )
            self._processes[name] = begun.result()

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def _wait(self, what: str, is_there: Callable[[], bool], name: str) -> None:
        deadline_s = time.monotonic() + START_S
        while not is_there():
            said = (self.folder / f"{name}.out").read_text(errors="replace")[-2000:]
            assert self._processes[name].poll() is None, f"{what} ended: {said}"
            assert time.monotonic() < deadline_s, f"{what} does not start: {said}"
            time.sleep(0.1)


@contextlib.contextmanager
def running_gateway(folder: Path) -> Iterator[Gateway]:
    """A gateway for the block."""
    gateway = Gateway(folder)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


def write_credentials(path: Path, credentials: Credentials = BOX) -> Path:
    """The INI file that `--credentials-file` takes."""
    path.touch(0o600)
    path.write_text(
        f"[default]\naws_access_key_id = {credentials.access_key}\n"
        f"aws_secret_access_key = {credentials.secret_key}\n"
    )
    return path


def main(arguments: Sequence[str]) -> int:
    """Run one until it is interrupted."""
    folder = Path(arguments[0]).resolve()
    began_s = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), running_gateway(folder) as gateway:
        keys = write_credentials(folder / "credentials.ini")
        print(f"ready after {time.monotonic() - began_s:.0f} s")
        print(f"s3://BUCKET?endpoint={gateway.endpoint}&style=path")
        print(f"--credentials-file {keys}", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
