"""A box in a process of its own, on a real state: `python -m tests.api.box_process STATE PORT`."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import signal
import ssl
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.access.access import Access
from appliance.api.server import ApiServer, Place
from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.catalog.job_table import JobTable
from appliance.cli.verbs import build_verbs
from appliance.jobs.jobs import Jobs
from appliance.keys import keyring
from tests.command import ROOT


def make_certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "box")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(addresses, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(encoding))


async def serve(state: Path, port: int) -> None:
    def has_store() -> bool:
        try:
            keyring.read_descriptor(state)
        except NotFoundError:
            return False
        return True

    def is_locked() -> bool:
        try:
            keyring.load_master_key(state, None)
        except HoldfastError:
            return True
        return False

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    clock, access = SystemClock(), Access(state)
    command = [sys.executable, "-m", "appliance.cli.main", "--state", str(state)]
    table = JobTable(state / "jobs.sqlite")
    jobs = Jobs(table, build_verbs(), state=state, command=[*command, "--json"], clock=clock)
    await jobs.start()
    make_certificate(state / "tls.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(state / "tls.pem")
    server = ApiServer(
        state,
        jobs,
        access,
        clock,
        Place("box", ["box"], ["127.0.0.1"], port, tls),
        command=command,
        web_folder=ROOT / "appliance" / "web",
        is_locked=is_locked,
        has_store=has_store,
        promises=dict,
    )
    await server.start()
    print(f"{server.port} {access.setup.open() or '-'}", flush=True)
    await stopped.wait()
    await server.stop()
    await jobs.stop()
    access.close()


if __name__ == "__main__":
    state = Path(sys.argv[1])
    state.mkdir(mode=0o700, exist_ok=True)
    asyncio.run(serve(state, int(sys.argv[2])))
