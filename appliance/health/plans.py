"""Guided actions: what will be done, said before it is done, and what forbids it.

Owns the shape of a plan and its execution. What a plan contains is decided by the modules that make
one. A plan with a refusal is never carried out; consent that is missing is a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.base.durable import named_os_errors
from appliance.base.errors import UsageError
from appliance.base.process import run
from appliance.base.progress import Progress

_STEP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Step:
    """One thing to do: a program, or a value for a file of sysfs.

    Attributes:
        text: what it does, for a person.
        argv: the program; empty where `file` is written instead.
        stdin: what the program reads.
        file: a file of sysfs.
        value: what is written there.
    """

    text: str
    argv: tuple[str, ...] = ()
    stdin: str = ""
    file: Path | None = None
    value: str = ""


@dataclass(frozen=True)
class Plan:
    """What would be done.

    Attributes:
        title: the whole in one line.
        steps: in order.
        warnings: what a person should know before saying yes.
        refusals: why it is not done; each says the way out.
        facts: for programs.
    """

    title: str
    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether it must not be done."""
        return bool(self.refusals)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "title": self.title,
            "steps": [
                {"text": step.text, "command": list(step.argv)}
                if step.argv
                else {"text": step.text, "file": str(step.file), "value": step.value}
                for step in self.steps
            ],
            "warnings": list(self.warnings),
            "refusals": list(self.refusals),
            **self.facts,
        }

    def carry_out(self, progress: Progress) -> None:
        """Do the steps in order, and stop at the first that fails.

        Raises UsageError for a refused plan, HoldfastError with what a program said. The steps are
        such that stopping after any of them leaves all data readable.
        """
        if self.refusals:
            raise UsageError(self.refusals[0])
        for step in self.steps:
            progress.phase("carrying out", None, "items", about=step.text)
            if step.file is not None:
                with named_os_errors(step.file):
                    step.file.write_text(step.value)
            else:
                run(step.argv, timeout_s=_STEP_TIMEOUT_S, stdin=step.stdin)
