"""The style sheets: each thing on the page is described in one of them."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.command import ROOT

STYLE = ROOT / "appliance" / "web" / "style"
_WHOLE_RULE = re.compile(r"^(\.[a-z-]+)\s*\{", re.MULTILINE)


def test_a_class_is_described_in_one_sheet() -> None:
    """Two sheets that use one name for two things break each other's pages."""
    sheets = defaultdict(set)
    for path in STYLE.glob("*.css"):
        for name in _WHOLE_RULE.findall(path.read_text()):
            sheets[name].add(path.name)
    assert sheets
    assert not {name: found for name, found in sheets.items() if len(found) > 1}
