"""A second opinion on `ledgers`: plain code that shares nothing with the framework reads a database and folds by hand.

It takes one look, of one moment, at the log, the rows, the positions that the parts have reached and the letters, with
the drivers alone, and says in sentences what does not fit together.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from twofold.sql import Fetch
from twofold.store import Store

asyncpg: Any = import_module("asyncpg")  # it has no types

EVENTS = "select position, stream, data from event order by position"
ROWS = "select key, body from ledgers_v1"
PARTS = "select partition, position from subscription_partition where name = 'ledgers_v1'"
LETTERS = "select sequence, position, partition from parked where name = 'ledgers_v1'"

QUERIES = (EVENTS, ROWS, PARTS, LETTERS)
NAIVE_SQLITE = Path(__file__).with_name("naive_sqlite.py")

Rows = Sequence[Sequence[Any]]


class Event(NamedTuple):
    stream: str
    customers: list[str]
    amount: int


class Image(NamedTuple):
    """What a database holds at one moment."""

    events: dict[int, Event]
    rows: dict[str, dict[str, Any]]
    parts: dict[int, int]
    letters: list[tuple[str, int, int]]


def image(events: Rows, rows: Rows, parts: Rows, letters: Rows) -> Image:
    return Image(
        {position: _event(stream, json.loads(data)) for position, stream, data in events},
        {key: json.loads(body) for key, body in rows},
        {row[0]: row[1] for row in parts},
        [(row[0], row[1], row[2]) for row in letters],
    )


def _event(stream: str, data: Any) -> Event:
    customers = data.get("customers")
    return Event(stream, customers if isinstance(customers, list) else [], data.get("amount", 0))


async def image_at(url: str) -> Image:
    """What stands in the database of this URL, asked from outside."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        command = [sys.executable, str(NAIVE_SQLITE), rest.removeprefix("///"), *QUERIES]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        said, _ = await process.communicate()
        return image(*json.loads(said))
    server = await asyncpg.connect(url)
    try:
        async with server.transaction(isolation="repeatable_read", readonly=True):
            return image(*[await server.fetch(sql) for sql in QUERIES])
    finally:
        await server.close()


async def image_in(store: Store) -> Image:
    """The same by way of the store: what is in memory cannot be asked from outside. Nothing may be going on."""
    ask: Callable[[str], Awaitable[Rows]] = lambda sql: store.scan(Fetch(sql))  # noqa: E731 - a name for the line below
    events = [(event.position, event.stream, event.data) async for event in store.read_all()]
    return image(events, await ask(ROWS), await ask(PARTS), await ask(LETTERS))


def faults(seen: Image, *, in_order: bool = True) -> list[str]:
    """Everything that is wrong; none if the rows are exactly the events up to the checkpoints, without the parked ones.

    Each event must be in a row or parked, in one of the two and once. The events of a stream must be in their order in
    each row, and those of a row in the order of the log, unless that is not asked for: what a stream waits with whose
    event could not be read comes later than what others brought meanwhile.
    """
    found: list[str] = []
    parts = len(seen.parts)
    keys = {customer for event in seen.events.values() for customer in event.customers} | seen.rows.keys()
    for key in sorted(keys):
        part = crc32(key.encode()) % parts
        due = [p for p, event in seen.events.items() if key in event.customers and p <= seen.parts[part]]
        parked = [
            position
            for sequence, position, partition in seen.letters
            if partition == part
            and key in seen.events[position].customers
            and sequence in (key, f"stream {seen.events[position].stream}")
        ]
        row = seen.rows.get(key, {"positions": [], "total": 0})
        kept: list[int] = row["positions"]
        if sorted(kept + parked) != due:
            twice = sorted({p for p in kept + parked if (kept + parked).count(p) > 1})
            missing, more = sorted({*due} - {*kept, *parked}), sorted({*kept, *parked} - {*due})
            found.append(f"{key}: twice {twice}, missing {missing}, too early {more}, up to {seen.parts[part]}")
        if row["total"] != sum(seen.events[p].amount for p in kept):
            found.append(f"{key}: the total {row['total']} is not that of its events")
        streams = {seen.events[p].stream for p in kept}
        sequences = [kept] if in_order else [[p for p in kept if seen.events[p].stream == each] for each in streams]
        if any(each != sorted(each) for each in sequences):
            found.append(f"{key}: out of order: {kept}")
    return found


def whole(seen: Image) -> list[str]:
    """What is wrong where all must have been folded, and nothing be parked."""
    head = max(seen.events, default=0)
    late = [f"part {part} stands at {position} of {head}" for part, position in seen.parts.items() if position != head]
    return [*late, *(f"{sequence} is parked at {position}" for sequence, position, _ in seen.letters), *faults(seen)]
