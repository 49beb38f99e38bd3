"""/setup/store and /box/unlock: the store is made, and opened after the box was switched on."""

from __future__ import annotations

from asyncio import to_thread
from contextlib import AsyncExitStack, suppress
from typing import Annotated

import msgspec

from appliance.api.route import Ask, Reply, Route
from appliance.base.errors import AccessError, HoldfastError, UsageError
from appliance.formats.recovery_key import TEXT_MAX

_STORE = "store:"  # no user is called so
Passphrase = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class NewStore(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """With a passphrase the box asks for it after each start of the machine."""

    passphrase: Passphrase | None = None


class MadeStore(msgspec.Struct, kw_only=True):
    """`recovery_key` is the whole text to be printed: words with check digits, and base32.

    It is told once and is nowhere on the box.
    """

    store_id: str
    has_passphrase: bool
    recovery_key: str


class Unlock(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One of both."""

    passphrase: Passphrase | None = None
    recovery_key: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)] | None = None


async def make_store(ask: Ask) -> Reply:
    """Make the store and its keys."""
    workers, passphrase = ask.parts.workers, ask.body.passphrase
    contents = {} if passphrase is None else {"passphrase": passphrase}
    async with workers.secret_folder(contents) as folder:
        sheet = folder / "recovery"
        words = ["init", f"--recovery-out={sheet}"]
        if passphrase is not None:
            words.append(f"--passphrase-file={folder / 'passphrase'}")
        made = await workers.ask(words)
        text = await to_thread(sheet.read_text)
    with suppress(HoldfastError):  # the daemon tries again every minute
        # From its first moment on, the store says that there was an administrator.
        await to_thread(ask.parts.access.keep)
    await ask.parts.look_again()
    return Reply(
        MadeStore(store_id=made["store_id"], has_passphrase=made["passphrase"], recovery_key=text),
        status=201,
    )


async def unlock_box(ask: Ask) -> Reply:
    """Open the store until the machine is switched off."""
    body: Unlock = ask.body
    if (body.passphrase is None) == (body.recovery_key is None):
        raise UsageError("give the passphrase or the recovery key")
    name, text = "passphrase", body.passphrase or ""
    if body.recovery_key is not None:
        name, text = "recovery", body.recovery_key
    attempts, who = ask.parts.access.attempts, ask.caller
    async with AsyncExitStack() as stack:
        await to_thread(stack.enter_context, attempts.trying(_STORE, who.address))
        folder = await stack.enter_async_context(ask.parts.workers.secret_folder({name: text}))
        option = "--passphrase-file" if name == "passphrase" else "--recovery-key"
        try:
            await ask.parts.workers.ask(["unlock", f"{option}={folder / name}"])
        except AccessError:
            await to_thread(attempts.fail, _STORE, who.address)
            raise
        await to_thread(attempts.succeed, _STORE, who.address)
    await ask.parts.look_again()
    return Reply()


ROUTES = (
    Route(
        *("POST", "/setup/store", "Make the store and its keys", make_store, "admin"),
        body=NewStore,
        answer=MadeStore,
        status=201,
        is_secret=True,
        problems=(409,),
    ),
    Route(
        *("POST", "/box/unlock", "Open the store until the next start", unlock_box, "operator"),
        body=Unlock,
        status=204,
        is_secret=True,
    ),
)
