"""That notices do not get through is a finding, too: somebody else may hear of it.

Owns the rule. It asks the log, never a server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from appliance.base.text import duration
from appliance.catalog.notice_log import NoticeLog
from appliance.formats.finding import Evidence, Finding

TRIES = 4
"""A server that restarts is no finding: a quarter of an hour has passed by then."""


def judge_channels(log: NoticeLog, now: datetime) -> Iterator[Finding]:
    """Channels that take nothing."""
    for message in log.find_stuck(TRIES):
        waits_s = max(0.0, (now - message.made).total_seconds())
        yield Finding(
            subject=f"channel {message.channel}",
            rule="notices.stuck",
            severity="warning",
            summary=f"notices have not got through for {duration(waits_s)}: {message.answer}",
            evidence=(Evidence("tries", ((now, float(message.tries)),), "", f"{TRIES}"),),
            consequence="Nobody hears of findings by this way; after a day a message is given up.",
            action=f"'holdfast notices test {message.channel}' says what the other side answers.",
        )
