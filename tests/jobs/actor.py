"""A worker that does as it is told: `python -m tests.jobs.actor act --seconds=1 ...`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from appliance.base.clock import SystemClock
from appliance.base.progress import Progress
from appliance.jobs.reporting import Reporter
from appliance.jobs.verb import Parameter, Verb, Verbs

PARAMETERS = (
    Parameter("seconds", "number", "--seconds", default=0.0),
    Parameter("code", "integer", "--code", default=0),
    Parameter("say", "string", "--say", default=""),
    Parameter("note", "path", "--note", default=""),
    Parameter("deaf", "boolean", "--deaf", default=False),
    Parameter("die", "boolean", "--die", default=False),
    Parameter("until", "path", "--until", default=""),
    Parameter("machine", "string", "--machine"),
    Parameter("name", "string", "--name"),
    Parameter("secret", "path", "--secret", is_secret=True),
)
VERBS = Verbs(
    [
        Verb("act", "", PARAMETERS, is_repeatable=True, is_heavy=True, machine_from="machine"),
        Verb("act once", "", PARAMETERS, machine_from="machine"),
        Verb("act alone", "", PARAMETERS, group="alone {name}"),
        Verb("act secretly", "", PARAMETERS, is_secretive=True),
    ]
)
COMMAND = (sys.executable, "-m", "tests.jobs.actor")


def main() -> int:
    """Act."""
    reporter = Reporter.of_environment(SystemClock())
    assert reporter is not None
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    for name, kind in (("seconds", float), ("code", int)):
        parser.add_argument(f"--{name}", type=kind, default=0)
    for name in ("say", "note", "until", "machine", "name", "secret"):
        parser.add_argument(f"--{name}", default="")
    for name in ("deaf", "die"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    progress = Progress(reporter.show)
    signal.signal(signal.SIGINT, lambda *_: None if options.deaf else progress.cancel())
    if options.note:
        with Path(options.note).open("a") as file:
            file.write("begun\n")
    for line in options.say.splitlines():
        print(reporter.note(line), file=sys.stderr, flush=True)
    code = options.code
    progress.phase("acting", total=1000)
    progress.spend("disk", 3)
    progress.spend("cpu", 1)
    end_s = time.monotonic() + options.seconds
    try:
        progress.advance(10)  # also where the machine is so busy that the time is over by now
        while time.monotonic() < end_s and not (options.until and Path(options.until).exists()):
            time.sleep(0.02)
            progress.advance(10)
    except Exception:
        code = 130
    if options.die:
        signal.raise_signal(signal.SIGKILL)
    if options.note:
        with Path(options.note).open("a") as file:
            file.write("ended\n")
    if options.secret:
        reporter.note(Path(options.secret).read_text())
    if code not in (0, 3):
        reporter.fail("it could not", "failed")
    reporter.result({"acted": options.seconds}, "acted")
    reporter.end(code)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
