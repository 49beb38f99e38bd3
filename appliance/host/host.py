"""The host that the box runs on: its files, its programs, and whether it lets itself be set.

Owns the first reasons why not, which hold for everything. Never changes anything by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance.base import process
from appliance.base.errors import AccessError

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Obstacle:
    """Why something cannot be set here.

    Attributes:
        reason: a word, which pages translate.
        text: the same as a sentence, with the way out.
    """

    reason: str
    text: str

    def to_json(self) -> dict[str, str]:
        """As `--json` prints it."""
        return asdict(self)


class Host:
    """One host. What systemd keeps lies below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, below: str) -> Path:
        """A file of the host."""
        return self.root / below

    def run(self, *argv: str, timeout_s: float = _TIMEOUT_S) -> str:
        """What a program of the host says. Raises HoldfastError as `base.process.run` does."""
        return process.run(argv, timeout_s=timeout_s)

    def find_obstacle(self) -> Obstacle | None:
        """Why nothing of this host can be set; None where that depends."""
        if not self.path("run/systemd/system").is_dir():
            return Obstacle(
                "no-systemd", "systemd does not run here: whoever runs this host sets it"
            )
        if self.path("run/systemd/container").exists():
            return Obstacle("container", "this is a container: set it on the host below it")
        if os.geteuid() != 0:
            return Obstacle("no-right", "only root may set this: run the box as root")
        return None


def require(obstacle: Obstacle | None) -> None:
    """Raises AccessError where there is an obstacle."""
    if obstacle is not None:
        raise AccessError(obstacle.text)


def list_words(words: Sequence[object]) -> str:
    """As the files of systemd spell a list."""
    return " ".join(map(str, words))
