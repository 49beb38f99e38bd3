"""nbd and export through the real command, checked by the tools of others."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import HoldfastError
from appliance.sources.nbd import NbdAddress, NbdClient
from tests.command import Holdfast
from tests.images import MIB, mixed_image
from tests.ports import free_port

SIZE = 40 * MIB + 512


class Served:
    """Machine web1 with one disk, and a way to serve it."""

    def __init__(self, holdfast: Holdfast, folder: Path) -> None:
        self.holdfast = holdfast
        self.folder = folder
        self.disk = bytes(mixed_image(7, 10) + bytes(25 * MIB) + mixed_image(8, 5)).ljust(SIZE)
        self.raw = folder / "disk.raw"
        self.raw.write_bytes(self.disk)
        holdfast("init", "--recovery-out", folder / "recovery.txt", expect=0)
        holdfast("backup", self.raw, "--machine", "web1", expect=0)

    def serve(self, *more: str | Path) -> str:
        server = self.holdfast.start("--json", "nbd", "web1@latest", *more)
        answer: dict[str, Any] = json.loads(server.read_line())
        (address,) = answer["addresses"]
        assert isinstance(address, str)
        return address


def run(*argv: object) -> str:
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (argv, done.stderr.decode())
    return done.stdout.decode()


@pytest.fixture(scope="module")
def web1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    holdfast = Holdfast(folder / "state")
    yield Served(holdfast, folder)
    holdfast.close()


@pytest.fixture(scope="module")
def address(web1: Served) -> str:
    return web1.serve("--socket", web1.folder / "disk.sock")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a small authority of one's own makes, by the names that QEMU and libnbd use."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    new += ["-nodes", "-days", "2"]
    own = ["-keyout", folder / "ca-key.pem", "-out", folder / "ca-cert.pem", "-subj", "/CN=office"]
    run(*new, *own)
    by = ["-CA", folder / "ca-cert.pem", "-CAkey", folder / "ca-key.pem"]
    for name in ("server", "client"):
        own = ["-keyout", folder / f"{name}-key.pem", "-out", folder / f"{name}-cert.pem"]
        usage = f"extendedKeyUsage={name}Auth"
        alternative = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        ca = "basicConstraints=CA:FALSE"
        extensions = ["-addext", usage, "-addext", alternative, "-addext", ca]
        run(*new, *own, *by, "-subj", f"/CN={name}", *extensions)
    return folder


def test_nbdinfo_sees_the_disk_and_its_holes(web1: Served, address: str) -> None:
    (export,) = json.loads(run("nbdinfo", "--json", address))["exports"]
    assert (export["export-size"], export["is_read_only"]) == (SIZE, True)
    assert export["can_multi_conn"]
    assert "base:allocation" in export["contexts"]
    ranges = json.loads(run("nbdinfo", "--map", "--json", address))
    zeros = sum(one["length"] for one in ranges if one["type"] == 3)
    assert sum(one["length"] for one in ranges) == SIZE
    assert 24 * MIB <= zeros <= web1.disk.count(0)


def test_nbdcopy_copies_it(web1: Served, address: str) -> None:
    target = web1.folder / "copy.raw"
    run("nbdcopy", address, target)
    assert target.read_bytes() == web1.disk


def test_qemu_finds_nothing_that_differs(web1: Served, address: str) -> None:
    said = run("qemu-img", "compare", "-f", "raw", "-F", "raw", address, web1.raw)
    assert "identical" in said
    mapped = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", address))
    assert any(one["zero"] and one["length"] > 20 * MIB for one in mapped)


def test_tls_lets_in_whom_the_authority_knows_and_nobody_else(
    web1: Served, certificates: Path, tmp_path: Path
) -> None:
    served = web1.serve("--listen", "127.0.0.1:0", "--tls-certificates", certificates)
    assert served.startswith("nbds://127.0.0.1:")
    address = f"{served}?tls-certificates={certificates}"
    (export,) = json.loads(run("nbdinfo", "--json", address))["exports"]
    assert export["export-size"] == SIZE
    target = tmp_path / "copy.raw"
    run("nbdcopy", address, target)
    assert target.read_bytes() == web1.disk
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger/ca-cert.pem").write_bytes((certificates / "ca-cert.pem").read_bytes())
    refused = subprocess.run(
        ["nbdinfo", f"{served}?tls-certificates={tmp_path / 'stranger'}"],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert refused.returncode != 0
    plain = subprocess.run(
        ["nbdinfo", served.replace("nbds", "nbd")], capture_output=True, check=False, timeout=60
    )
    assert plain.returncode != 0
    port = served.removeprefix("nbds://127.0.0.1:").removesuffix("/disk0")
    credentials = f"tls-creds-x509,id=tls,endpoint=client,dir={certificates}"
    options = f"driver=nbd,host=localhost,port={port},export=disk0,tls-creds=tls"
    compared = run(
        *("qemu-img", "compare", "--object", credentials, "--image-opts", options),
        f"driver=raw,file.filename={web1.raw}",
    )
    assert "identical" in compared


def test_our_own_client_speaks_tls_too(web1: Served, certificates: Path) -> None:
    served = web1.serve("--listen", "127.0.0.1:0", "--tls-certificates", certificates)
    address = NbdAddress.parse(f"{served}?tls-certificates={certificates}")
    assert address is not None
    with NbdClient(address) as client:
        out = bytearray(5 * MIB)
        client.read_into(100, memoryview(out))
    assert out == web1.disk[100 : 100 + len(out)]


def test_what_cannot_be_served_is_said_at_once(web1: Served, tmp_path: Path) -> None:
    serve = ("nbd", "web1@latest")
    assert "--tls-certificates" in web1.holdfast(*serve, "--listen", "0.0.0.0:0", expect=2).err
    missing = ("--listen", "127.0.0.1:0", "--tls-certificates", tmp_path)
    assert "ca-cert.pem" in web1.holdfast(*serve, *missing, expect=5).err
    for name in ("ca-cert.pem", "server-cert.pem", "server-key.pem"):
        (tmp_path / name).write_text("nothing")
    assert "do not work" in web1.holdfast(*serve, *missing, expect=2).err
    web1.holdfast("nbd", "db@latest", expect=5)


def test_a_served_point_is_written_to_an_overlay_that_stays(
    web1: Served, certificates: Path
) -> None:
    listen = ("--listen", f"127.0.0.1:{free_port()}", "--tls-certificates", certificates)
    words = ("--json", "nbd", "web1@latest", "--writable", "--name", "outside")
    for turn, more in enumerate((("--socket", web1.folder / "w.sock"), listen)):
        server = web1.holdfast.start(*words, *more)
        (served,) = json.loads(server.read_line())["addresses"]
        address = NbdAddress.parse(f"{served}{f'?tls-certificates={certificates}' * turn}")
        assert address is not None
        with NbdClient(address) as client:
            before = bytearray(8)
            client.read_into(MIB, memoryview(before))
            assert before == (b"written0" if turn else web1.disk[MIB : MIB + 8])
            client.write(MIB, memoryview(b"written%d" % turn))
            client.flush()
        (vm,) = web1.holdfast("--json", "vms", expect=0).json()["vms"]
        assert (vm["name"], vm["state"]) == ("outside", "served")
        assert web1.holdfast("forget", vm["point"]).code == 6
        assert web1.holdfast("backup", "vm:outside").code == 6
        server.terminate()
        assert server.wait() == 0
    made = web1.holdfast("--json", "backup", "vm:outside", "--machine", "copy", expect=0).json()
    assert made["new_bytes"] < MIB
    target = web1.folder / "home.raw"
    web1.holdfast("failback", "outside", target, expect=0)
    assert target.read_bytes()[MIB : MIB + 8] == b"written1"
    web1.holdfast("stop", "outside", "--discard", expect=0)


def test_a_killed_writable_server_leaves_its_overlay(web1: Served) -> None:
    words = ("--json", "nbd", "web1@latest", "--writable", "--name", "killed")
    server = web1.holdfast.start(*words)
    (served,) = json.loads(server.read_line())["addresses"]
    server.kill()
    server.wait()
    (vm,) = web1.holdfast("--json", "vms", expect=0).json()["vms"]
    assert (vm["state"], vm["is_wanted"]) == ("stopped", False)
    with pytest.raises(HoldfastError):
        NbdClient(NbdAddress.parse(served) or NbdAddress())
    web1.holdfast("stop", "killed", "--discard", expect=0)


# ---- export -------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["raw", "qcow2", "vmdk", "vhdx", "vdi"])
def test_an_export_is_the_disk(web1: Served, image_format: str) -> None:
    target = web1.folder / f"exported.{image_format}"
    done = web1.holdfast("--json", "export", "web1@latest", target, expect=0).json()
    assert done["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert target.stat().st_blocks * 512 < 17 * MIB, "zeros take no room"
    run("qemu-img", "compare", "-f", image_format, "-F", "raw", target, web1.raw)
    assert not list(web1.folder.glob(".tmp-*"))


def test_an_export_replaces_nothing_by_itself(web1: Served, tmp_path: Path) -> None:
    target = tmp_path / "disk.qcow2"
    target.write_bytes(b"precious")
    assert "--force" in web1.holdfast("export", "web1@latest", target, expect=2).err
    assert "which format" in web1.holdfast("export", "web1@latest", tmp_path / "x", expect=2).err
    inside = web1.holdfast.state / "x.raw"
    assert "state directory" in web1.holdfast("export", "web1@latest", inside, expect=2).err
    assert target.read_bytes() == b"precious"
    web1.holdfast("export", "web1@latest", target, "--force", expect=0)
    missing = tmp_path / "none/x.raw"
    assert web1.holdfast("export", "web1@latest", missing).code != 0
