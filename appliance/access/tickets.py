"""Tickets: what was begun is finished with one, once, within some minutes.

A ticket carries everything with it and a secret belongs to it that only this process can work out:
nothing is kept for those that were given away, so that nobody's are lost however many a stranger
asks for. Owns which were used.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode

from appliance.access.callers import RateLimited
from appliance.base.clock import Clock
from appliance.base.errors import UsageError

LIFETIME_S = 300
_USED_MAX = 10_000
_DONE = "this was done already: begin again"
_TIME_BYTES, _NONCE_BYTES = 8, 16


class Tickets:
    """The tickets of one process. Any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used: dict[str, int] = {}  # ticket -> when it ends anyway
        self._lock = threading.Lock()

    def issue(self, purpose: str) -> tuple[str, bytes]:
        """A ticket, and the 32 bytes that belong to it and to `purpose`."""
        until_s = int(self._clock.now().timestamp()) + LIFETIME_S
        body = until_s.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_NONCE_BYTES)
        return urlsafe_b64encode(body).decode(), self._secret(body, purpose)

    def recall(self, ticket: str, purpose: str) -> bytes:
        """What belongs to a ticket and a purpose. Raises UsageError if it has ended or was used.

        For a ticket that was never issued it is something that nobody knows.
        """
        body = self._open(ticket)
        if ticket in self._used:
            raise UsageError(_DONE)
        return self._secret(body, purpose)

    def use(self, ticket: str) -> None:
        """It is good no more. Only after its secret was shown to be known.

        Raises UsageError if it was used before, RateLimited if too many were.
        """
        until_s = int.from_bytes(self._open(ticket)[:_TIME_BYTES], "big")
        now_s = self._clock.now().timestamp()
        with self._lock:
            self._used = {one: end_s for one, end_s in self._used.items() if end_s > now_s}
            if ticket in self._used:
                raise UsageError(_DONE)
            if len(self._used) >= _USED_MAX:
                raise RateLimited("too much is asked: try again in some minutes", LIFETIME_S)
            self._used[ticket] = until_s

    def issue_nonce(self, purpose: str) -> str:
        """A word that is good once, for `purpose`."""
        ticket, secret = self.issue(purpose)
        return f"{ticket}.{secret.hex()}"

    def use_nonce(self, nonce: str, purpose: str) -> None:
        """It is good no more. Raises UsageError if it is none, or has ended, or was used."""
        ticket, _, secret = nonce.partition(".")
        known = self.recall(ticket, purpose).hex()
        if not hmac.compare_digest(known.encode(), secret.encode("utf-8", "surrogatepass")):
            raise UsageError("this nonce is somebody else's: ask for one")
        self.use(ticket)

    def _open(self, ticket: str) -> bytes:
        try:
            body = urlsafe_b64decode(ticket)
        except ValueError:
            body = b""
        until_s = int.from_bytes(body[:_TIME_BYTES], "big")
        is_one = len(body) == _TIME_BYTES + _NONCE_BYTES
        # One ticket has one spelling.
        if not is_one or urlsafe_b64encode(body).decode() != ticket:
            raise UsageError("this is no ticket: begin again")
        if until_s <= self._clock.now().timestamp():
            raise UsageError("that took too long: begin again", code="too-slow")
        return body

    def _secret(self, body: bytes, purpose: str) -> bytes:
        return hmac.digest(
            self._key, body + purpose.encode("utf-8", "surrogatepass"), hashlib.sha256
        )
