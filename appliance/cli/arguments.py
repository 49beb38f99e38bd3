"""How the command says that it does not understand its arguments: in one line, as all it says."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.cli.exit_codes import EXIT_CODES


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose every error is one line that names the way out."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and who explains; ends the process with exit code 2."""
        self.exit(
            EXIT_CODES[UsageError],
            f"holdfast: {printable(message)}: '{self.prog} --help' explains\n",
        )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse's, but what is left over is the error of the command that it was said to."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"not understood: {' '.join(rest)}")
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if not isinstance(action, argparse._SubParsersAction) or value in action.choices:
            super()._check_value(action, value)
            return
        near = difflib.get_close_matches(str(value), list(action.choices), 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        self.error(f"there is no {str(action.metavar).lower()} {value!r}{meant}")
