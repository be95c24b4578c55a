"""`make bench`: how fast the log takes events, beside the floor below it.

Each comparison runs both sides in turn, several rounds after one to warm up; the figures are medians with their spread.
Ratios travel from machine to machine, rates do not. The floor is the SQLite driver alone with the same durability,
which commits, and so syncs, each event by itself.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apsw
from uuid_utils.compat import uuid7

from twofold import Metadata, NewEvent
from twofold.connect import connect

ROUNDS = 5
EVENTS = 2_000
DATA = b'{"customerId":"QUICK","items":[{"productId":"nw-38","quantity":20,"price":"263.50"}],"currency":"USD"}'

Side = Callable[[Path], Awaitable[float]]
"""Does the work in an empty folder and answers events a second."""


@dataclass(frozen=True)
class Measured:
    """One comparison: rates in events a second, medians of the rounds, and their spread as a share of the median."""

    work: str
    ratio: float
    ours: float
    ours_spread: float
    floor: float
    floor_spread: float


def event() -> NewEvent:
    """An event of usual size."""
    return NewEvent(id=uuid7(), type="OrderCreated", schema=1, data=DATA, metadata=Metadata.new())


def store_with(writers: int) -> Side:
    """Appends of one event each through the store, from so many writers at once."""

    async def side(folder: Path) -> float:
        async with connect(f"sqlite:///{folder / 'log.db'}") as store:

            async def write(writer: int) -> None:
                for number in range(EVENTS // writers):
                    await store.append(f"order-{writer}-{number}", [event()], expected=0)

            began = time.perf_counter()
            await asyncio.gather(*(write(writer) for writer in range(writers)))
            return (EVENTS // writers) * writers / (time.perf_counter() - began)

    return side


async def driver_alone(folder: Path) -> float:
    """The same rows by the driver alone: write-ahead log, synchronous=FULL, one commit an event."""
    connection: Any = apsw.Connection(str(folder / "rows.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute(
        "create table event (position integer primary key, stream text, version int, id blob, data blob)"
    )
    connection.execute("create unique index event_stream on event (stream, version)")
    connection.execute("create unique index event_id on event (id)")
    began = time.perf_counter()
    for number in range(EVENTS):
        row = (f"order-{number}", 1, uuid7().bytes, DATA)
        connection.execute("insert into event (stream, version, id, data) values (?, ?, ?, ?)", row)
    seconds = time.perf_counter() - began
    connection.close()
    return EVENTS / seconds


async def compare(work: str, ours: Side, floor: Side) -> Measured:
    """Both sides in turn; the first round of each is thrown away."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for side, kept in zip((ours, floor), rates, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                kept.append(await side(Path(folder)))
    (our, our_spread), (its, its_spread) = (_summary(kept[1:]) for kept in rates)
    return Measured(work, our / its, our, our_spread, its, its_spread)


def _summary(rates: list[float]) -> tuple[float, float]:
    median = statistics.median(rates)
    return median, (max(rates) - min(rates)) / median


async def main() -> None:
    """Run all, print a table, and with `--json` the same as JSON."""
    measured = [
        await compare(f"append, {writers} writer{'s' * (writers > 1)}, SQLite FULL", store_with(writers), driver_alone)
        for writers in (1, 8, 64)
    ]
    if "--json" in sys.argv[1:]:
        print(json.dumps([asdict(row) for row in measured], indent=2))
        return
    print(f"{'work':34} {'ratio':>6} {'ours/s':>9} {'±':>5} {'driver alone/s':>15} {'±':>5}")
    for row in measured:
        print(
            f"{row.work:34} {row.ratio:6.2f} {row.ours:9,.0f} {row.ours_spread:5.0%}"
            f" {row.floor:15,.0f} {row.floor_spread:5.0%}"
        )


if __name__ == "__main__":
    asyncio.run(main())
