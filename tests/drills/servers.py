"""Real servers on the loopback, each for the length of a `with`."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.ports import HOST, free_port

DEADLINE_S = 120.0
PASSWORD = "drill's \\ own"


def await_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until somebody listens. Fails with the log when the server ends before."""

    def listens() -> bool:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            return False
        return True

    await_(listens)


def await_(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@contextmanager
def serve(
    argv: Sequence[str | Path], port: int, folder: Path, user: str | None = None
) -> Iterator[None]:
    """Run a server until the block ends."""
    log = folder / "log"
    with log.open("ab") as out:
        server = subprocess.Popen(argv, stdout=out, stderr=out, cwd=folder, user=user)
    try:
        await_port(port, server, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def serve_mariadb(folder: Path) -> Iterator[int]:
    """MariaDB with user drill, database shop and a table of three orders; gives its port."""
    data, port = folder / "data", free_port()
    common = [f"--datadir={data}", "--user=root", f"--socket={folder}/sock"]
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *common, "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    start = folder / "start.sql"
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "''")
    start.write_text(
        "create database shop;\ncreate table shop.orders (id int);\n"
        "insert into shop.orders values (1), (2), (3);\n"
        f"create user drill@'%' identified by '{quoted}';\ngrant select on shop.* to drill@'%';\n"
    )
    small = ["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M", "--skip-name-resolve"]
    address = [f"--port={port}", f"--bind-address={HOST}", f"--init-file={start}"]
    with serve(["mariadbd", "--no-defaults", *common, *small, *address], port, folder):
        yield port


@contextmanager
def serve_postgresql() -> Iterator[int]:
    """PostgreSQL with user drill, and in database shop three orders; gives its port."""
    owner = pwd.getpwnam("postgres")
    # It refuses to run as root, and another user does not come into the folders of tests.
    with tempfile.TemporaryDirectory(prefix="holdfast-postgresql-") as name:
        folder, port = Path(name), free_port()
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        *_, binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        os.chown(secret, owner.pw_uid, owner.pw_gid)
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            folder / "data",
            "-U",
            "drill",
            "-A",
            "scram-sha-256",
        ]
        initdb += ["--pwfile", secret, "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, user="postgres", cwd=folder)
        orders = b"create database shop;\n"
        single: list[str | Path] = [
            binaries / "postgres",
            "--single",
            "-D",
            folder / "data",
            "postgres",
        ]
        subprocess.run(
            single, input=orders, check=True, capture_output=True, user="postgres", cwd=folder
        )
        orders = b"create table orders as select generate_series(1, 3) as id;\n"
        single[-1] = "shop"
        subprocess.run(
            single, input=orders, check=True, capture_output=True, user="postgres", cwd=folder
        )
        options = ["-F", "-h", HOST, "-p", str(port), "-k", str(folder)]
        argv: list[str | Path] = [binaries / "postgres", "-D", folder / "data", *options]
        with serve(argv, port, folder, user="postgres"):
            yield port


@contextmanager
def serve_ssh(folder: Path) -> Iterator[tuple[int, Path, str]]:
    """sshd for root by key; gives its port, the user's key, and the host's public key."""
    port = free_port()
    for name in ("host", "user"):
        keygen: list[str | Path] = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            folder / name,
        ]
        subprocess.run(keygen, check=True)
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPidFile none\nStrictModes no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it insists on this empty directory
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    with serve([sshd, "-D", "-e", "-f", config], port, folder):
        public = " ".join((folder / "host.pub").read_text().split()[:2])
        yield port, folder / "user", public


@contextmanager
def serve_names(folder: Path, secret: str) -> Iterator[int]:
    """Knot DNS for example.org, changed by whoever has key `holdfast`; gives its port."""
    port = free_port()
    (folder / "example.org.zone").write_text(
        "@ 3600 SOA ns.example.org. admin.example.org. 1 3600 600 86400 60\n"
        "@ 3600 NS ns.example.org.\nns 3600 A 127.0.0.1\n"
        "www 300 A 198.51.100.7\nwww 300 A 198.51.100.8\n"
    )
    config = folder / "knot.conf"
    config.write_text(
        f"server:\n  listen: {HOST}@{port}\n  rundir: {folder}\n"
        f"log:\n  - target: stderr\n    any: info\ndatabase:\n  storage: {folder}\n"
        f"key:\n  - id: holdfast\n    algorithm: hmac-sha256\n    secret: {secret}\n"
        "acl:\n  - id: moves\n    key: holdfast\n    action: update\n"
        f"zone:\n  - domain: example.org\n    storage: {folder}\n    file: example.org.zone\n"
        "    acl: moves\n"
    )
    knot = shutil.which("knotd") or "/usr/sbin/knotd"
    with serve([knot, "-c", config], port, folder):
        yield port
