"""Retention policies in the store: one sealed record per machine, and one for all others.

A machine's own policy takes the place of the default as a whole. Where there is neither,
everything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.formats.policy import KEEP_ALL, Policy, decode_policy, encode_policy
from appliance.store.records import Records

_FOLDER = "policies"
_SUFFIX = ".policy"
_DEFAULT = "default"


class Policies:
    """The policies of one store."""

    def __init__(self, records: Records, folder_of: Callable[[str], str]) -> None:
        """`folder_of` gives the name of a machine's folder, whichever name it goes by."""
        self._records = records
        self._folder_of = folder_of

    def of(self, machine: str) -> Policy:
        """The policy of `machine`. Raises IntegrityError with the way out if it is damaged."""
        for owner in (machine, None):
            policy = self.find(owner)
            if policy is not None:
                return policy
        return KEEP_ALL

    def find(self, machine: str | None) -> Policy | None:
        """What was set for just this machine, or (None) for all without one of their own."""
        option = "" if machine is None else f"--machine '{machine}' "
        place = self._place(machine)
        try:
            data = self._records.read(place)
            if data is None:
                return None
            policy, owner = decode_policy(data)
            if self._place(owner) != place:
                raise IntegrityError(f"{place} is another machine's policy")
        except IntegrityError as error:
            raise IntegrityError(
                f"{error}, so nothing is forgotten: 'holdfast policy set {option}...' replaces it"
            ) from error
        return policy

    def machines(self) -> Iterator[str]:
        """The machines that have a policy of their own, by folder; damaged ones are left out.

        By the name under which it was set, which may be an earlier one.
        """
        for place in self._records.places(_FOLDER, _SUFFIX):
            try:
                _, machine = decode_policy(self._records.read(place) or b"")
            except IntegrityError:
                continue
            if machine is not None:
                yield machine

    def set(self, machine: str | None, policy: Policy) -> None:
        """Put a policy in place of what was there, durably on return."""
        self._records.write(self._place(machine), encode_policy(policy, machine))

    def clear(self, machine: str | None) -> None:
        """Take a policy away, damaged or not, durably on return. Raises NotFoundError."""
        if not self._records.path(self._place(machine)).exists():
            raise NotFoundError("there is no such policy: 'holdfast policy show' lists them")
        self._records.remove(self._place(machine))

    def _place(self, machine: str | None) -> str:
        stem = _DEFAULT if machine is None else self._folder_of(machine)
        return f"{_FOLDER}/{stem}{_SUFFIX}"
