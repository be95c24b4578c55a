"""The log as a list: read to its end, or followed as it grows."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from rich.console import Console
from rich.text import Text

from twofold.cli.terminal import print_json, printable
from twofold.connect import connect
from twofold.errors import TwofoldError
from twofold.events import Recorded
from twofold.store import EventStore


class StreamMissing(TwofoldError):
    """A stream was asked for that has no events."""


class EventLine(msgspec.Struct, frozen=True, rename="camel"):
    """An event as `--json` prints it; `data` is what is stored, byte for byte."""

    position: int
    stream: str
    version: int
    id: UUID
    type: str
    schema: int
    data: msgspec.Raw
    at: datetime
    recorded_at: datetime
    message_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    actor: str | None
    extra: Mapping[str, str]


def line_of(recorded: Recorded[bytes]) -> EventLine:
    """The event as `--json` prints it."""
    metadata = recorded.metadata
    return EventLine(
        position=recorded.position,
        stream=recorded.stream,
        version=recorded.version,
        id=recorded.id,
        type=recorded.type,
        schema=recorded.schema,
        data=msgspec.Raw(recorded.data),
        at=metadata.at,
        recorded_at=recorded.recorded_at,
        message_id=metadata.message_id,
        correlation_id=metadata.correlation_id,
        causation_id=metadata.causation_id,
        actor=metadata.actor,
        extra=metadata.extra,
    )


def as_text(recorded: Recorded[bytes]) -> Text:
    """The event as one line for a person."""
    return Text.assemble(
        (f"{recorded.position:>7}", "dim"),
        f"  {recorded.recorded_at:%Y-%m-%d %H:%M:%S}  ",
        (printable(recorded.stream), "cyan"),
        f" {recorded.version}  ",
        (printable(recorded.type), "bold"),
        f"  {printable(recorded.data.decode(errors='replace'))}",
    )


async def list_events(url: str, *, stream: str | None, after: int, limit: int | None, follow: bool, json: bool) -> None:
    """Print the events of the log, or of one stream, after a position; with `follow`, never come to an end.

    Raises StoreRefused if there is no such store, StreamMissing if there is no such stream and none is waited for.
    """
    console = Console(highlight=False)
    found = 0
    async with connect(url, create=False) as store:
        async for recorded in events(store, stream=stream, after=after, follow=follow):
            if json:
                print_json(msgspec.json.encode(line_of(recorded)), flush=follow)
            else:
                print_line(console, as_text(recorded))
            found += 1
            if found == limit:
                break
        if not found and stream is not None and not [known async for known in store.read(stream, until=1)]:
            raise StreamMissing(f"there is no stream {stream} in {url}")
    sys.stdout.flush()  # here, where a reader that has gone is still taken care of


def print_line(console: Console, line: Text) -> None:
    """Print one line: at a terminal what fits into it, anywhere else all of it."""
    if console.is_terminal:
        console.print(line, no_wrap=True, overflow="ellipsis")
    else:
        console.print(line, soft_wrap=True)


async def events(store: EventStore, *, stream: str | None, after: int, follow: bool) -> AsyncGenerator[Recorded[bytes]]:
    """The events of the log, or of one stream, after a position; with `follow`, for ever."""
    version = 0
    while True:
        head = await store.head()  # before reading: what comes in meanwhile is read in the next round at the latest
        if stream is None:
            async for recorded in store.read_all(after=after):
                after = recorded.position
                yield recorded
        else:
            async for recorded in store.read(stream, after=version):
                version = recorded.version
                if recorded.position > after:
                    yield recorded
        if not follow:
            return
        await store.wait_appended(after=max(head, after))
