"""Reading what is in a vault and believing only what verifies (docs/format/vault.md).

Owns: which version of an object counts, the newest heads, and the chain. Works without a key: the
public key then is the one that `vault.json` states. Never writes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.formats.bill import Bill, decode_bill
from appliance.formats.vault import (
    BoxHead,
    Head,
    Link,
    Owner,
    VaultSeal,
    decode_box_head,
    decode_head,
    decode_owner,
    decode_seal,
    split_statement,
)
from appliance.formats.vault_names import (
    BOX,
    HEADS,
    OWNERS,
    VAULT_KEY,
    HeadKey,
    Kind,
    object_key,
    owner_key,
    parse_head_key,
    parse_owner_key,
)
from appliance.keys.signing import open_statement
from appliance.vault.bucket import (
    Bucket,
    MissingObjectError,
    ObjectInfo,
    list_all_versions,
    list_objects,
)

_Value = TypeVar("_Value")
# Sorts behind every counter.
_BEHIND = "~"


class Contents:
    """One vault, opened. `seal` is what it says of itself."""

    def __init__(self, bucket: Bucket, seal: VaultSeal) -> None:
        """See `open_contents`."""
        self.bucket = bucket
        self.seal = seal

    # ---- objects ----

    async def read(self, kind: Kind, digest: bytes) -> bytes:
        """A small object that is named by its hash, whichever version of it is sound.

        Raises MissingObjectError, or IntegrityError if no version is what its name says.
        """
        key = object_key(kind, digest)

        def check(data: bytes) -> bytes:
            if hashlib.sha256(data).digest() != digest:
                raise IntegrityError(f"{key} is not what was written")
            return data

        return await self._read_sound(key, check)

    async def read_bill(self, digest: bytes) -> Bill:
        """The bill of this name. Raises as `read` does."""
        return decode_bill(await self.read("bills", digest))

    async def _read_sound(self, key: str, check: Callable[[bytes], _Value]) -> _Value:
        return await read_sound(self.bucket, key, check)

    # ---- statements ----

    async def read_head(self, key: HeadKey) -> tuple[Head, Link]:
        """A machine's head and the link that names it. Raises as `read` does."""
        line, link = await self._read_statement(str(key), key.counter)
        head = decode_head(line)
        self._check_place(head.key == key and head.vault == self.seal.vault, key)
        return head, link

    async def read_box_head(self, counter: int) -> tuple[BoxHead, Link]:
        """A head of the box and the link that names it. Raises as `read` does."""
        key = HeadKey(BOX, counter)
        line, link = await self._read_statement(str(key), counter)
        head = decode_box_head(line)
        self._check_place(head.key == key and head.vault == self.seal.vault, key)
        return head, link

    async def read_owner(self, epoch: int) -> tuple[Owner, bytes]:
        """The owner of an epoch and the SHA-256 of what says so. Raises as `read` does."""
        key = owner_key(epoch)
        line, link = await self._read_statement(key, epoch)
        owner = decode_owner(line)
        self._check_place(owner.epoch == epoch and owner.vault == self.seal.vault, key)
        return owner, link.digest

    async def _read_statement(self, key: str, counter: int) -> tuple[bytes, Link]:
        def check(data: bytes) -> tuple[bytes, Link]:
            line = open_statement(self.seal.public_key, key, data)
            return line, Link(counter, hashlib.sha256(data).digest())

        return await self._read_sound(key, check)

    @staticmethod
    def _check_place(is_right: bool, key: object) -> None:
        if not is_right:
            raise IntegrityError(f"{key} was written for another place or vault")

    # ---- what is newest ----

    async def newest_counter(self, machine: str, after: int = 0) -> int | None:
        """The highest counter of a machine's heads above `after`, or None."""
        newest = None
        async for info in self._named(f"{HEADS}{machine}/", str(HeadKey(machine, after))):
            key = parse_head_key(info.name)
            if key is not None:
                newest = key.counter
        return newest

    async def newest_box_head(self, after: int = 0) -> tuple[BoxHead, Link] | None:
        """The newest head of the box above `after`, or None without any."""
        counter = await self.newest_counter(BOX, after)
        return None if counter is None else await self.read_box_head(counter)

    async def newest_owner(self) -> tuple[Owner, bytes] | None:
        """The owner of the highest epoch, or None without any."""
        found = await self.find_owner()
        return None if found is None else await self.read_owner(found[0])

    async def find_owner(self) -> tuple[int, ObjectInfo] | None:
        """The highest epoch, and the object that says who owns the vault since; it is not read."""
        newest = None
        async for info in self._named(OWNERS, owner_key(0)):
            epoch = parse_owner_key(info.name)
            newest = newest if epoch is None else (epoch, info)
        return newest

    async def machines(self) -> list[str]:
        """The folders of all machines that have heads."""
        found: list[str] = []
        after = HEADS
        while True:
            page = await self.bucket.list_page(HEADS, after=after, limit=1)
            if not page.objects:
                return found
            name = page.objects[0].name
            machine = name.removeprefix(HEADS).partition("/")[0]
            key = parse_head_key(name)
            if key is not None and key.machine != BOX:
                found.append(machine)
            after = f"{HEADS}{machine}/{_BEHIND}"

    async def newest_heads(self, box: BoxHead | None) -> dict[str, tuple[Head, Link]]:
        """The newest head of each machine.

        Raises IntegrityError where the vault has an older one than the head of the box names.
        """
        known = {} if box is None else dict(box.heads)
        heads: dict[str, tuple[Head, Link]] = {}
        for machine in sorted({*known, *(await self.machines())}):
            least = known.get(machine)
            counter = await self.newest_counter(machine, 0 if least is None else least.counter - 1)
            if counter is None:
                raise IntegrityError(
                    f"the vault lost head {least.counter if least else 0} of machine {machine}: "
                    "it was rolled back"
                )
            heads[machine] = await self.read_head(HeadKey(machine, counter))
        return heads

    async def _named(self, prefix: str, after: str) -> AsyncIterator[ObjectInfo]:
        """Objects below `prefix` by rising name, of the moment that counts."""
        if not self.bucket.abilities.has_versions:
            async for info in list_objects(self.bucket, prefix, after=after):
                yield info
            return
        # Somebody may have hidden objects behind delete markers.
        done = after
        async for info in list_all_versions(self.bucket, prefix, after=after):
            if info.name > done and not info.is_marker:
                done = info.name
                yield info


async def open_contents(bucket: Bucket, *, public_key: bytes | None = None) -> Contents:
    """Open a vault: read its seal and believe what follows from it.

    Without `public_key` the one that the vault states is taken. Raises NotFoundError if there is no
    vault, IntegrityError if it is another store's.
    """

    def check(data: bytes) -> VaultSeal:
        seal = decode_seal(split_statement(data)[0])
        if public_key is not None and seal.public_key != public_key:
            raise IntegrityError(
                "the vault belongs to another store, or somebody made its vault.json anew: "
                "take another bucket or prefix"
            )
        open_statement(seal.public_key, VAULT_KEY, data)
        return seal

    try:
        return Contents(bucket, await read_sound(bucket, VAULT_KEY, check))
    except MissingObjectError as error:
        raise NotFoundError(
            "there is no vault: it holds no vault.json", code="no-vault-there"
        ) from error


async def read_sound(bucket: Bucket, key: str, check: Callable[[bytes], _Value]) -> _Value:
    """What `check` makes of the newest version that it does not refuse with IntegrityError.

    Raises MissingObjectError without any version, else what the newest one was refused with.
    """
    refusal: IntegrityError | None = None
    async for data in _versions(bucket, key):
        try:
            return check(data)
        except IntegrityError as error:
            refusal = refusal or error
    raise refusal or MissingObjectError(f"{key} is missing in the vault")


async def _versions(bucket: Bucket, key: str) -> AsyncIterator[bytes]:
    with contextlib.suppress(MissingObjectError):
        yield (await bucket.get(key)).data
    if not bucket.abilities.has_versions:
        return
    async for info in list_all_versions(bucket, key):
        if info.name == key and not info.is_marker and not info.is_latest:
            yield (await bucket.get(key, version=info.version)).data
