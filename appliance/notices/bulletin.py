"""What is told: the findings that came, became worse or are over, in one message.

Owns its JSON (docs/format/notice.md) and its text. All foreign text is made harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.base.text import printable
from appliance.formats.finding import Finding, sort_findings
from appliance.formats.names import format_time

_SUBJECT_MAX = 160
_SHOWN_MAX = 50
_KINDS = ("came", "worse", "over")


@dataclass(frozen=True)
class Bulletin:
    """Findings by what happened to them; each list worst first."""

    came: Sequence[Finding] = ()
    worse: Sequence[Finding] = ()
    over: Sequence[Finding] = ()

    def to_json(self, box: str, now: datetime) -> dict[str, Any]:
        """The message as it is kept, and as webhooks carry it."""
        return {
            "format": 1,
            "box": box,
            "time": format_time(now.replace(microsecond=0)),
            "test": False,
            **{
                kind: [finding.to_json() for finding in sort_findings(getattr(self, kind))]
                for kind in _KINDS
            },
        }


def make_test(box: str, now: datetime) -> dict[str, Any]:
    """A message that only says that the way is open."""
    return {**Bulletin().to_json(box, now), "test": True}


def describe_subject(body: Mapping[str, Any]) -> str:
    """The subject of a mail: one line."""
    box = printable(str(body["box"]))
    if body["test"]:
        return f"[{box}] test: notices arrive"
    news = [*body["came"], *body["worse"]]
    if not news:
        text = _count(body["over"], "over")
    else:
        first = news[0]
        more = f", and {len(news) - 1} more" if len(news) > 1 else ""
        text = f"{first['severity']}: {first['subject']}: {first['summary']}{more}"
    return f"[{box}] {printable(text)}"[:_SUBJECT_MAX]


def describe_body(body: Mapping[str, Any]) -> str:
    """The text of a mail."""
    if body["test"]:
        return (
            f"This is a test message of {printable(str(body['box']))}.\n"
            "Findings will arrive here: what is wrong, why, what follows, and what to do.\n"
        )
    parts = []
    for kind, title in (("came", "New"), ("worse", "Became worse"), ("over", "Over")):
        findings = body[kind]
        if not findings:
            continue
        parts.append(f"{title}:")
        parts += [line for each in findings[:_SHOWN_MAX] for line in _describe(each, kind)]
        if len(findings) > _SHOWN_MAX:
            parts.append(f"  and {len(findings) - _SHOWN_MAX} more: 'holdfast health' shows all")
        parts.append("")
    parts.append("'holdfast acknowledge' keeps a finding quiet until it becomes worse.")
    return "\n".join(parts) + "\n"


def _describe(finding: Mapping[str, Any], kind: str) -> Iterable[str]:
    yield printable(f"  {finding['severity']}: {finding['subject']}: {finding['summary']}")
    if kind == "over":
        return
    for evidence in finding["evidence"]:
        values = " -> ".join(str(one["value"]) for one in evidence["values"][-4:])
        limit = f" (limit {evidence['limit']})" if evidence["limit"] else ""
        yield printable(f"    because {evidence['what']}: {values} {evidence['unit']}{limit}")
    yield printable(f"    then    {finding['consequence']}")
    yield printable(f"    do      {finding['action']}")


def _count(findings: Sequence[object], word: str) -> str:
    return f"{len(findings)} finding{'' if len(findings) == 1 else 's'} {word}"
