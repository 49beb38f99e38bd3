"""notices: list, add, test, log, remove, send."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.locks import FileLock
from appliance.base.secret_file import read_secret
from appliance.base.text import printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.catalog.notice_log import Message, NoticeLog
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.formats.notice_channel import CA_MAX, Channel, MailChannel, WebhookChannel
from appliance.notices.bulletin import describe_subject
from appliance.notices.channels import Channels
from appliance.notices.dispatch import Dispatch
from appliance.notices.trust import make_context

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def notices(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    actions = {
        "list": _list,
        "add": _add,
        "test": _test,
        "log": _log,
        "remove": _remove,
        "send": _send,
    }
    channels = Channels(session.store.points.records)
    with closing(NoticeLog(session.state)) as log:
        return actions[options.action](session, options, channels, log)


def _dispatch(session: Session, channels: Channels, log: NoticeLog) -> Dispatch:
    return Dispatch(channels, log, session.clock, os.uname().nodename)


def _list(session: Session, _: argparse.Namespace, channels: Channels, log: NoticeLog) -> int:
    rows, troubles = [], []
    for name in channels.names():
        try:
            channel = channels.get(name)
        except HoldfastError as error:
            troubles.append(str(error))
            continue
        last = [_message_json(message) for message in log.list(1, name)]
        rows.append({**channel.to_json(), "last": last[0] if last else None})
    for trouble in troubles:
        session.console.note(f"holdfast: {printable(trouble)}")
    text = "\n".join(map(_line, rows))
    session.console.result(
        {"channels": rows, "troubles": troubles},
        text or "findings stay on the box: 'holdfast notices add' sends them by mail or webhook",
    )
    return DONE


def _line(row: dict[str, Any]) -> str:
    if row["kind"] == "mail":
        where = f"mail to {', '.join(row['recipients'])} by {row['server']} ({row['security']})"
    else:
        where = f"webhook {row['url']}"
    last = row["last"]
    how = "nothing sent yet" if last is None else f"last {last['state']}: {last['answer']}"
    return printable(f"{row['name']}: {where}, from {row['least']} on; {how}")


def _add(session: Session, options: argparse.Namespace, channels: Channels, _: NoticeLog) -> int:
    if (options.url is None) == (options.server is None):
        raise UsageError("give --server and --to for mail, or --url for a webhook")
    secret = None if options.secret_file is None else read_secret(options.secret_file)
    ca = _read_ca(options.ca_file)
    channel: Channel
    if options.url is not None:
        if secret is None:
            raise UsageError("a webhook is signed: --secret-file F holds the secret")
        channel = WebhookChannel(
            name=options.name,
            least=options.least,
            url=options.url,
            secret=secret,
            allow_private=options.allow_private,
            ca=ca,
        )
    else:
        host, port = _split_server(options.server, _PORTS[options.security])
        if not options.to:
            raise UsageError("--to ADDRESS says who gets the mail")
        channel = MailChannel(
            name=options.name,
            least=options.least,
            host=host,
            port=port,
            security=options.security,
            user=options.user,
            password=secret,
            sender=options.sender or options.to[0],
            recipients=tuple(options.to),
            ca=ca,
        )
    channels.put(channel)
    session.console.result(
        channel.to_json(),
        f"{options.name} is set: 'holdfast notices test {options.name}' tries it",
    )
    return DONE


def _split_server(text: str, port: int) -> tuple[str, int]:
    host, colon, number = text.rpartition(":")
    if not colon or host.endswith(":") or (":" in host.strip("[]") and not host.startswith("[")):
        return text.strip("[]"), port
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
        raise UsageError(f"'{printable(text[:80])}' is no server: write HOST or HOST:PORT")
    return host.strip("[]"), int(number)


def _read_ca(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_bytes()[: CA_MAX + 1].decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as certificates in PEM") from error
    if len(text) > CA_MAX:
        raise UsageError(f"{path} is longer than {CA_MAX >> 10} KiB: give only what is needed")
    make_context(text)
    return text


def _test(session: Session, options: argparse.Namespace, channels: Channels, log: NoticeLog) -> int:
    answer = _dispatch(session, channels, log).test(options.name)
    session.console.result(
        {"name": options.name, "answer": answer}, f"the test message is sent: {printable(answer)}"
    )
    return DONE


def _log(session: Session, options: argparse.Namespace, _: Channels, log: NoticeLog) -> int:
    if not 1 <= options.limit <= 1000:
        raise UsageError("--limit takes 1 to 1000")
    rows = [_message_json(message) for message in log.list(options.limit, options.name)]
    lines = [
        f"{row['made']}  {row['channel']}  {row['state']} after {row['tries']} tries: "
        f"{row['subject']}: {row['answer']}"
        for row in rows
    ]
    session.console.result(
        {"messages": rows}, "\n".join(map(printable, lines)) or "nothing was sent yet"
    )
    return DONE


def _message_json(message: Message) -> dict[str, Any]:
    is_test = message.body.get("test", False)
    return {
        "id": message.id,
        "channel": message.channel,
        "made": format_time(message.made.replace(microsecond=0)),
        "state": message.state,
        "tries": message.tries,
        "next": format_time(message.next.replace(microsecond=0))
        if message.state == "waiting"
        else None,
        "answer": message.answer,
        "subject": "test" if is_test else describe_subject(message.body),
        "test": is_test,
    }


def _remove(
    session: Session, options: argparse.Namespace, channels: Channels, log: NoticeLog
) -> int:
    channels.remove(options.name)
    log.forget(options.name)
    session.console.result({"removed": options.name}, f"nothing is sent to {options.name} any more")
    return DONE


def _send(session: Session, _: argparse.Namespace, channels: Channels, log: NoticeLog) -> int:
    run = session.state / "run"
    make_directory(run)
    busy = "another command is sending notices: wait until it has ended"
    with FileLock(run / "notices.lock", wait=False, busy=busy):
        dispatch = _dispatch(session, channels, log)
        with Catalog(session.state / "catalog.db") as catalog:
            made = dispatch.gather(FindingLog(catalog).list_standing())
        tried = dispatch.deliver()
    rows = [
        {"channel": message.channel, "state": state, "answer": answer}
        for message, state, answer in tried
    ]
    lines = [printable(f"{row['channel']}: {row['state']}: {row['answer']}") for row in rows]
    session.console.result(
        {"made": made, "tried": rows}, "\n".join(lines) or "nothing changed, nothing waits"
    )
    return DONE if all(row["state"] == "sent" for row in rows) else DONE_WITH_GAPS
