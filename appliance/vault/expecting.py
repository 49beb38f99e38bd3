"""How far ahead of somebody who reads whole disks containers are fetched: a bounded window.

Owns the window and the thread that fills it. What is fetched, the caller does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator


class Window:
    """Names that are going to be read in order; a few of them are begun before they are."""

    def __init__(self, begin: Callable[[bytes], bool], ahead: int) -> None:
        """`begin` starts to fetch a name, and says whether it can; at most `ahead` are unread."""
        self._begin = begin
        self._ahead = ahead
        self._unread: set[bytes] = set()
        self._expected: Iterator[bytes] | None = None
        self._changed = threading.Condition()
        self._is_closed = False

    def expect(self, names: Iterable[bytes]) -> None:
        """These come next. Nothing is asked of `names` before `start`."""
        with self._changed:
            self._expected = iter(names)

    def start(self) -> None:
        """Somebody reads now what is not here."""
        with self._changed:
            names, self._expected = self._expected, None
        if names is not None:
            threading.Thread(
                target=self._feed, args=(names,), name="expected containers", daemon=True
            ).start()

    def note_read(self, names: set[bytes]) -> None:
        """These were read, or cannot be fetched ahead: others may come in their place."""
        with self._changed:
            if self._unread & names:
                self._unread -= names
                self._changed.notify_all()

    def close(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _feed(self, names: Iterator[bytes]) -> None:
        for name in names:
            with self._changed:
                while len(self._unread) >= self._ahead and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                self._unread.add(name)
            if not self._begin(name):
                return
