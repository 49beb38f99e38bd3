"""The channels of a box: sealed records below `store/notices`. They go to the box's successor.

Owns where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.formats.notice_channel import (
    NAME_RULE,
    Channel,
    check_channel,
    decode_channel,
    encode_channel,
)
from appliance.store.records import Records

_FOLDER = "notices"
_SUFFIX = ".channel"


class Channels:
    """The channels of one store."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def names(self) -> Iterator[str]:
        """The names of all channels, sorted."""
        for place in self._records.places(_FOLDER, _SUFFIX):
            yield place.removeprefix(f"{_FOLDER}/").removesuffix(_SUFFIX)

    def get(self, name: str) -> Channel:
        """One channel. Raises NotFoundError, or IntegrityError for a damaged record."""
        data = self._records.read(self._place(name))
        if data is None:
            raise NotFoundError(
                f"there is no channel '{name}': 'holdfast notices list' lists them",
                code="no-channel",
            )
        channel = decode_channel(data)
        if channel.name != name:
            raise IntegrityError(f"the record of channel '{name}' is another channel's")
        return channel

    def put(self, channel: Channel) -> None:
        """Keep a channel in place of one of its name, durably on return. Raises UsageError."""
        place = self._place(check_channel(channel).name)
        durable.make_directory(self._records.path(place).parent)
        self._records.write(place, encode_channel(channel))

    def remove(self, name: str) -> None:
        """Forget a channel, damaged or not, durably on return. Raises NotFoundError."""
        if name not in self.names():
            raise NotFoundError(
                f"there is no channel '{name}': 'holdfast notices list' lists them",
                code="no-channel",
            )
        self._records.remove(self._place(name))

    @staticmethod
    def _place(name: str) -> str:
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise UsageError(f"a channel's name is {NAME_RULE}", code="bad-channel-name")
        return f"{_FOLDER}/{name}{_SUFFIX}"
