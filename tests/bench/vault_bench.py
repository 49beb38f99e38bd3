"""The vault over a line: use of the line, requests, bytes on the wire, restore and boot from it.

Owns: the rows of the table, each with its peer in the same run through the same proxy, on the real
gateway. Never does: compare with another run.

    python -m tests.bench.vault_bench [--full] [--rows line,peer,second,kills,restore,boot]

The line is a TCP proxy on loopback (tests/vault/line.py). Everything runs on one machine, so what
a program computes is taken from what the line and the gateway may use.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.text import size
from appliance.vault.streams import STREAMS_MAX
from image.workbench import say
from tests.bench import corpus as corpora
from tests.bench.corpus import CACHE_DIRECTORY, Corpus
from tests.bench.cost import Cost, Running, measure
from tests.bench.table import align
from tests.command import Holdfast
from tests.vault.gateway import BOX, Gateway, running_gateway, write_credentials
from tests.vault.line import Line

MBIT = 125_000  # bytes per second
TIMEOUT_S = 3600.0
_GIB = 1 << 30
KILLS, KILLS_SEED, KILL_WITHIN_BYTES = 50, 20261121, 80 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table. `is_more_better` says on which side of the bound is good."""

    what: str
    value: float
    reach: float
    aim: float
    detail: str
    is_more_better: bool = True

    def reaches(self, bound: float) -> str:
        """Whether the value is on the good side."""
        good = self.value >= bound if self.is_more_better else self.value <= bound
        return "yes" if good else "NO"


@dataclass
class Bench:
    """One run: a gateway, two generations of a disk, and the rows so far."""

    place: Path
    gateway: Gateway
    corpus: Corpus
    rows: list[Row] = field(default_factory=list)
    _numbers: int = 0

    @property
    def log(self) -> Path:
        """What the programs complain about."""
        return CACHE_DIRECTORY / "vault.log"

    def new_name(self) -> str:
        """A bucket that nobody has yet."""
        self._numbers += 1
        return f"bench-{self._numbers}"

    def url(self, bucket: str, port: int) -> str:
        """A bucket through a line."""
        return f"s3://{bucket}?endpoint=http://127.0.0.1:{port}&style=path"

    def credentials(self) -> Path:
        """The file with the keys."""
        return write_credentials(self.place / "credentials.ini")

    def run(self, argv: list[str], environment: dict[str, str] | None = None) -> Cost:
        """Run a peer to its end."""
        return measure(argv, environment or {}, self.log)

    # ---- holdfast ----

    def box(self, name: str, *images: Path) -> Holdfast:
        """A box with a point of each image."""
        box = Holdfast(self.place / name)
        box("init", "--recovery-out", self.place / f"{name}.key", expect=0)
        for image in images:
            box("backup", image, "--machine", "disk", expect=0, timeout_s=TIMEOUT_S)
        return box

    def add_vault(self, box: Holdfast, bucket: str, port: int) -> None:
        """Give a box a vault and the whole line."""
        credentials = ("--credentials-file", self.credentials())
        box("vault", "add", self.url(bucket, port), *credentials, expect=0)
        box("vault", "limit", "--share", "100", expect=0)

    def sync(self, box: Holdfast) -> tuple[Cost, dict[str, Any]]:
        """Bring the vault up to date; gives what that cost and what was said."""
        said = self.place / "sync.json"
        argv = box.argv("--json", "vault", "sync", "--wait")
        cost = Running(argv, {}, self.log, said).wait()
        return cost, json.loads(said.read_text())

    def open(self, name: str, owner: str, bucket: str, port: int) -> Holdfast:
        """An empty box that opens the vault of another one."""
        box = Holdfast(self.place / name)
        key = ("--recovery-key", self.place / f"{owner}.key")
        credentials = ("--credentials-file", self.credentials())
        box("vault", "open", self.url(bucket, port), *key, *credentials, expect=0)
        return box

    # ---- rclone ----

    def rclone(self, source: str, target: str, port: int) -> Cost:
        """Copy with rclone; the remote is `gw:`."""
        return self.run(["rclone", "copy", "--transfers", "8", source, target], rclone_to(port))


def rclone_to(port: int) -> dict[str, str]:
    """The environment in which `gw:` is the gateway behind a port."""
    return {
        "AWS_CA_BUNDLE": "",  # its library cannot take one
        "RCLONE_CONFIG_GW_TYPE": "s3",
        "RCLONE_CONFIG_GW_PROVIDER": "Ceph",
        "RCLONE_CONFIG_GW_ENDPOINT": f"http://127.0.0.1:{port}",
        "RCLONE_CONFIG_GW_ACCESS_KEY_ID": BOX.access_key,
        "RCLONE_CONFIG_GW_SECRET_ACCESS_KEY": BOX.secret_key,
    }


@contextmanager
def line_to(
    gateway: Gateway, mbit: float, round_trip_s: float, cuts: float = 0.0
) -> Iterator[Line]:
    """A line of so many megabits and such a round trip."""
    rate = mbit * MBIT if mbit else None
    with Line(
        gateway.port, bytes_per_s=rate, delay_s=round_trip_s / 2, cut_share_per_s=cuts
    ) as line:
        yield line


def container_bytes(box: Holdfast) -> int:
    """What the containers of a box take."""
    return sum(path.stat().st_size for path in containers(box).glob("*/*"))


def cost_of(received_bytes: int, cost: Cost) -> str:
    """What came, in which time, and what that took of the processors."""
    return f"{size(received_bytes)} in {cost.seconds:.1f} s, {cost.cpu_s:.1f} s of CPU"


def containers(box: Holdfast) -> Path:
    """Where they lie."""
    return box.state / "store" / "containers"


# ---- the rows -----------------------------------------------------------------------------------


def run_line(bench: Bench) -> None:
    """100 Mbit/s, 150 ms, 0.1 % of the connections cut each second; requests are counted."""
    box, bucket = bench.box("line", bench.corpus.first), bench.new_name()
    with line_to(bench.gateway, 100, 0.15, 0.001) as line:
        bench.add_vault(box, bucket, line.port)
        cost, synced = bench.sync(box)
    sent = container_bytes(box)
    used = sent / cost.seconds / (100 * MBIT)
    detail = f"{size(sent)} in {cost.seconds:.0f} s, {line.cuts} cuts"
    bench.rows.append(Row("100 Mbit/s, 150 ms: use of the line", used, 0.85, 0.95, detail))
    by_kind = synced["traffic"]["requests"]
    requests = sum(by_kind.values())
    per_gib = requests * _GIB / sent
    kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.items())
    count = len(list(containers(box).glob("*/*")))
    detail = f"{kinds} for {size(sent)} in {count} containers"
    bench.rows.append(
        Row("requests per GiB uploaded", per_gib, 40, 33, detail, is_more_better=False)
    )
    add_memory(bench, "a first sync", cost)


def add_memory(bench: Bench, what: str, cost: Cost) -> None:
    """A row for what an uploader took, whatever the backlog."""
    mib = cost.max_rss_bytes / (1 << 20)
    bench.rows.append(
        Row(f"memory of the uploader, {what}: MiB", mib, 256, 256, "", is_more_better=False)
    )


def run_kills(bench: Bench) -> None:
    """1 Gbit/s, 20 ms: what each kill -9, after so many seeded bytes, has sent again at most.

    By then two or three streams are open; the bound is that of all.
    """
    box, bucket = bench.box("kills", bench.corpus.first), bench.new_name()
    chooser, lost = random.Random(KILLS_SEED), []
    with line_to(bench.gateway, 1000, 0.02) as line:
        bench.add_vault(box, bucket, line.port)
        for _ in range(KILLS):
            before, there = line.sent_bytes, held_bytes(bench, bucket)
            until = before + chooser.randrange(KILL_WITHIN_BYTES)
            sync = box.start("vault", "sync")
            while line.sent_bytes < until and sync.poll() is None:
                time.sleep(0.005)
            is_killed = sync.poll() is None
            sync.kill()
            sync.communicate()
            if is_killed:
                grown = held_bytes(bench, bucket) - there
                lost.append(line.sent_bytes - before - grown)
        bench.sync(box)
    mib = max(lost, default=0) / (1 << 20)
    bound = STREAMS_MAX * 32  # one container per stream
    mean = size(sum(lost) // max(1, len(lost)))
    detail = f"{len(lost)} kills amid {size(container_bytes(box))}, {mean} on average"
    bench.rows.append(
        Row("sent again after a kill -9, at most: MiB", mib, bound, bound, detail,
            is_more_better=False)
    )  # fmt: skip


def held_bytes(bench: Bench, bucket: str) -> int:
    """What the containers in a bucket take, by its own list."""
    said = bench.place / "size.json"
    remote = f"gw:{bucket}/containers"
    measure(["rclone", "size", "--json", remote], rclone_to(bench.gateway.port), bench.log, said)
    return int(json.loads(said.read_text())["bytes"])


def run_peer(bench: Bench) -> None:
    """1 Gbit/s, 20 ms: upload beside rclone, the same containers."""
    box = bench.box("peer", bench.corpus.first)
    mine, other = bench.new_name(), bench.new_name()
    with line_to(bench.gateway, 1000, 0.02) as line:
        theirs = bench.rclone(str(containers(box)), f"gw:{other}", line.port).seconds
        bench.add_vault(box, mine, line.port)
        ours = box("vault", "sync", "--wait", expect=0, timeout_s=TIMEOUT_S).seconds
    detail = f"{size(container_bytes(box))}: {ours:.1f} s, rclone {theirs:.1f} s"
    bench.rows.append(
        Row("1 Gbit/s, 20 ms: upload, of rclone's speed", theirs / ours, 0.8, 1, detail)
    )


def run_second(bench: Bench) -> None:
    """The bytes on the wire of the second generation, beside restic, over 100 Mbit/s and 20 ms.

    Deltas are looked for where the line is what everybody waits for: the first sync learns that.
    """
    box, bucket, repository = (
        bench.box("second", bench.corpus.first),
        bench.new_name(),
        bench.new_name(),
    )
    with line_to(bench.gateway, 100, 0.02) as line:
        bench.add_vault(box, bucket, line.port)
        box("vault", "sync", "--wait", expect=0, timeout_s=TIMEOUT_S)
        box("backup", bench.corpus.second, "--machine", "disk", expect=0, timeout_s=TIMEOUT_S)
        before = line.sent_bytes
        cost, _ = bench.sync(box)
        ours = line.sent_bytes - before
        environment = {
            "AWS_ACCESS_KEY_ID": BOX.access_key,
            "AWS_SECRET_ACCESS_KEY": BOX.secret_key,
            "RESTIC_REPOSITORY": f"s3:http://127.0.0.1:{line.port}/{repository}",
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(bench.place / "restic"),
        }
        bench.run(["restic", "init"], environment)
        disk = bench.place / "disk.raw"
        for image in (bench.corpus.first, bench.corpus.second):
            disk.unlink(missing_ok=True)
            disk.symlink_to(image)
            before = line.sent_bytes
            bench.run(
                ["sh", "-c", 'restic backup --stdin --stdin-filename disk < "$0"', str(disk)],
                environment,
            )
            theirs = line.sent_bytes - before
    detail = f"{size(ours)}, restic {size(theirs)}"
    bench.rows.append(
        Row("wire bytes of the second generation, of restic's", ours / theirs, 0.4, 0.25, detail,
            is_more_better=False)
    )  # fmt: skip
    add_memory(bench, "with deltas", cost)


def run_restore(bench: Bench) -> None:
    """Restoring a whole disk from the vault, beside rclone reading the same containers.

    What is compared is reading, so the disk goes to a stream; rclone's copy goes to files.
    """
    box, bucket = bench.box("restore", bench.corpus.first), bench.new_name()
    bench.add_vault(box, bucket, bench.gateway.port)
    bench.sync(box)
    for mbit, round_trip_s in ((100, 0.15), (1000, 0.02)):
        with line_to(bench.gateway, mbit, round_trip_s) as line:
            before, copied = line.received_bytes, bench.place / "rclone"
            theirs = bench.rclone(f"gw:{bucket}/containers", str(copied), line.port)
            their_bytes = line.received_bytes - before
            shutil.rmtree(copied)
            empty = bench.open(f"restore-{mbit}", "restore", bucket, line.port)
            before = line.received_bytes
            ours = bench.run(empty.argv("restore", "disk@latest", "-"))
            our_bytes = line.received_bytes - before
            shutil.rmtree(empty.state)
        ratio = theirs.seconds / ours.seconds
        detail = f"{cost_of(our_bytes, ours)}; rclone {cost_of(their_bytes, theirs)}"
        what = f"{mbit} Mbit/s, {round_trip_s * 1000:.0f} ms: whole-disk restore, of rclone's speed"
        bench.rows.append(Row(what, ratio, 0.8, 1, detail))


def run_boot(bench: Bench) -> None:
    """A real Debian boots to its login, from the box and from the vault, boot set on and off."""
    disk = bench.place / "boot.raw"
    # In a process of its own, which may mount.
    size_of = ["--full"] if bench.corpus.name == corpora.FULL.name else []
    make = [sys.executable, "-m", "tests.bench.boot_disk", "--out", str(disk), *size_of]
    measure(make, {}, bench.log)
    used = disk.stat().st_blocks * 512
    box, bucket = bench.box("boot", disk), bench.new_name()
    local = boot(box)
    bench.add_vault(box, bucket, bench.gateway.port)
    box("vault", "sync", "--wait", expect=0, timeout_s=TIMEOUT_S)
    with line_to(bench.gateway, 100, 0.05) as line:
        for with_set in (False, True):
            name = f"boot-{'with' if with_set else 'without'}"
            empty = bench.open(name, "boot", bucket, line.port)
            if not with_set:
                for noted in empty.state.glob("vaults/*/boots"):
                    shutil.rmtree(noted)
            before = line.received_bytes
            seconds = boot(empty)
            fetched = line.received_bytes - before
            how = "boot set on" if with_set else "boot set off"
            detail = f"{seconds:.1f} s, local {local:.1f} s"
            bench.rows.append(
                Row(f"boot to login, 100 Mbit/s, 50 ms, {how}: x of a local boot", seconds / local,
                    3, 1.5, detail, is_more_better=False)
            )  # fmt: skip
            detail = f"{size(fetched)} of {size(used)} used"
            bench.rows.append(
                Row(f"bytes fetched before login, {how}: share of used", fetched / used, 0.15, 0.15,
                    detail, is_more_better=False)
            )  # fmt: skip


def boot(box: Holdfast) -> float:
    """Boot, stop and drop the VM; gives the seconds until it was ready."""
    said = box("--json", "boot", "disk@latest", "--timeout", "1200", expect=0, timeout_s=TIMEOUT_S)
    vm = said.json()
    box("stop", vm["name"], "--discard", expect=0)
    return float(vm["ready_s"])


ROWS: dict[str, Callable[[Bench], None]] = {
    "line": run_line,
    "peer": run_peer,
    "second": run_second,
    "kills": run_kills,
    "restore": run_restore,
    "boot": run_boot,
}


def run_row(name: str, corpus: Corpus) -> list[Row]:
    """One row on a gateway of its own: its disk is in memory, and full it answers nobody."""
    with (
        TemporaryDirectory(prefix="vault-", dir=CACHE_DIRECTORY) as place,
        running_gateway(Path(place) / "gateway") as gateway,
    ):
        bench = Bench(Path(place), gateway, corpus)
        ROWS[name](bench)
        return bench.rows


def write_rows(rows: list[Row]) -> str:
    """The table."""
    head = ("", "measured", "reach", "yes/no", "aim", "yes/no", "")
    cells = [
        (
            row.what,
            f"{row.value:.2f}",
            f"{row.reach:g}",
            row.reaches(row.reach),
            f"{row.aim:g}",
            row.reaches(row.aim),
            row.detail,
        )
        for row in rows
    ]
    return "\n".join(align([head, *cells])) + "\n"


def main(arguments: list[str]) -> int:
    """Run the bench; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vault_bench")
    parser.add_argument("--full", action="store_true", help="the 8 GiB disk, not that of 1 GiB")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)} (default all)")
    options = parser.parse_args(arguments)
    chosen = options.rows.split(",")
    if unknown := [name for name in chosen if name not in ROWS]:
        parser.error(f"{unknown[0]}: choose from {', '.join(ROWS)}")
    try:
        corpus = corpora.provide_corpus(corpora.FULL if options.full else corpora.SMALL)
        rows: list[Row] = []
        for name in chosen:
            say(f"row {name}")
            rows += run_row(name, corpus)
            sys.stdout.write(write_rows(rows))
            sys.stdout.flush()
            report = json.dumps([asdict(row) for row in rows], indent=2)
            (CACHE_DIRECTORY / "vault.json").write_text(report + "\n")
    except HoldfastError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
