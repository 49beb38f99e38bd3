"""When and how fast a vault may be written to: windows, a rate, a share of the line, a budget.

Owns these decisions. The settings are read again while it works, so that a change counts at once.
Times of windows are local times of the box; a day of the budget is one in UTC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from appliance.base.clock import Clock
from appliance.base.errors import UsageError
from appliance.formats.vault_settings import VaultSettings
from appliance.formats.window import Window, next_opening

_LOOK_S = 1.0
# The most that may go out at once after a pause: a smooth rate needs no more.
_BURST_S = 0.5
# How the line is measured: for so long of each period nothing holds the uploader back.
_PROBE_S, _PROBE_PERIOD_S = 5.0, 60.0
_FORGET = 0.9


class NotNowError(UsageError):
    """The window is closed, or the day's budget is used up; `until` is when it goes on."""

    def __init__(self, reason: str, until: datetime) -> None:
        super().__init__(reason)
        self.until = until


class Gate:
    """Decides for one vault. It is the bucket's throttle, too. Belongs to one event loop."""

    def __init__(
        self,
        read: Callable[[], VaultSettings],
        clock: Clock,
        sent_today: Callable[[], int],
        *,
        is_local: bool,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`read` gives the settings as they are now, `sent_today` the bytes sent since 00:00 UTC.

        `tell` hears of bytes as they go out.

        Without a line in between (`is_local`) only windows and an explicit rate count.
        """
        self._read = read
        self._clock = clock
        self._sent_today = sent_today
        self.is_local = is_local
        self._tell = tell
        self._settings = read()
        self._looked_s = clock.monotonic_s()
        self._credit_bytes = 0.0
        self._filled_s = self._looked_s
        self._began_s = self._looked_s
        self._meter_s, self._meter_bytes = self._looked_s, 0
        self._line_bytes_per_s: float | None = None

    @property
    def bytes_per_s(self) -> float | None:
        """How fast may be sent now; None: as fast as it goes."""
        self._look()
        rates = []
        if self._settings.limit_bytes_per_s:
            rates.append(float(self._settings.limit_bytes_per_s))
        share = self._settings.share_percent / 100
        if share < 1 and self._line_bytes_per_s and not self._is_probing():
            rates.append(share * self._line_bytes_per_s)
        return min(rates) if rates else None

    def check(self, size_bytes: int) -> None:
        """Raise NotNowError if nothing may begin now, or if so many bytes pass the budget."""
        self._look()
        moment = self._clock.now()
        windows = [Window.parse(text) for text in self._settings.windows]
        local = moment.astimezone()
        if windows and not any(window.is_open(local) for window in windows):
            until = next_opening(windows, local)
            raise NotNowError(f"uploading is allowed again from {until:%a %H:%M} on", until)
        budget = self._settings.budget_bytes_per_day
        if budget and self._sent_today() + size_bytes > budget:
            tomorrow = (moment + timedelta(days=1)).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            raise NotNowError("the day's budget is used up; it goes on at 00:00 UTC", tomorrow)

    async def wait_open(self, size_bytes: int) -> None:
        """Return at once or raise NotNowError: asked before each object begins."""
        self.check(size_bytes)

    async def spend(self, size_bytes: int) -> None:
        """Return when `size_bytes` more may go out."""
        self._measure(size_bytes)
        while True:
            rate = self.bytes_per_s
            now_s = self._clock.monotonic_s()
            if rate is None:
                self._credit_bytes, self._filled_s = 0.0, now_s
                self._tell(size_bytes)
                return
            gained = (now_s - self._filled_s) * rate
            self._credit_bytes = min(self._credit_bytes + gained, rate * _BURST_S)
            self._filled_s = now_s
            if self._credit_bytes > 0:
                self._credit_bytes -= size_bytes
                self._tell(size_bytes)
                return
            await asyncio.sleep(min(_LOOK_S, -self._credit_bytes / rate + 0.001))

    def _is_probing(self) -> bool:
        passed_s = self._clock.monotonic_s() - self._began_s
        return passed_s % _PROBE_PERIOD_S < _PROBE_S

    def _measure(self, size_bytes: int) -> None:
        """Learn what the line carries from the seconds in which nothing held us back."""
        if self.is_local:
            return
        now_s = self._clock.monotonic_s()
        self._meter_bytes += size_bytes
        passed_s = now_s - self._meter_s
        if passed_s < _LOOK_S:
            return
        rate = self._meter_bytes / passed_s
        self._meter_s, self._meter_bytes = now_s, 0
        if self._is_probing() or self._line_bytes_per_s is None:
            known = (self._line_bytes_per_s or 0.0) * _FORGET
            self._line_bytes_per_s = max(known, rate)

    def _look(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._settings = self._read()
