"""The end of the log at a terminal, filtered, at a rate that a person can read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from twofold.cli.listing import as_text, line_of, print_line
from twofold.cli.printing import said
from twofold.cli.terminal import print_json
from twofold.connect import connect
from twofold.errors import EventCorrupt
from twofold.events import Recorded
from twofold.store import EventStore

PAGE = 1_000
WINDOW_SECONDS = 1.0


class Wanted(NamedTuple):
    """Which events are shown: of this category, stream, type and actor, where one is named."""

    category: str | None = None
    stream: str | None = None
    type: str | None = None
    actor: str | None = None

    def __call__(self, event: Recorded[bytes]) -> bool:
        """Whether an event is one of them."""
        pairs = (
            (self.category, event.category),
            (self.stream, event.stream),
            (self.type, event.type),
            (self.actor, event.metadata.actor),
        )
        return all(asked is None or asked == found for asked, found in pairs)


class Cap:
    """Lets so many pass in each second, and counts what it held back."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._until = clock() + WINDOW_SECONDS
        self._passed = 0
        self.left_out = 0

    @property
    def full(self) -> bool:
        """Whether nothing passes any more in this second."""
        return self._passed >= self._rate and self.left > 0

    @property
    def left(self) -> float:
        """How many seconds the second still has."""
        return max(0.0, self._until - self._clock())

    def over(self) -> int | None:
        """Begin the next second if this one is over, and answer how many it left out; None if it is not over."""
        if self.left:
            return None
        left_out, self.left_out, self._passed = self.left_out, 0, 0
        self._until = self._clock() + WINDOW_SECONDS
        return left_out

    def passes(self) -> bool:
        """Whether one more may pass now."""
        if self._passed < self._rate:
            self._passed += 1
            return True
        self.left_out += 1
        return False


async def tail(url: str, *, wanted: Wanted, after: int | None, rate: int, limit: int | None, json: bool) -> None:
    """Print what comes, until interrupted or `limit` are printed; of more than `rate` a second, only how many."""
    console = Console(highlight=False)
    shown = 0
    async with connect(url, create=False) as store:
        cap = Cap(rate)
        start = await store.head() if after is None else after
        async for event in _following(store, start, cap, skipping=wanted == Wanted()):
            if isinstance(event, int):
                _tell_left_out(console, event, json=json)
            elif isinstance(event, EventCorrupt):
                console.print(said(event, "red"), soft_wrap=True)
            elif wanted(event) and cap.passes():
                _tell(console, event, json=json)
                shown += 1
                if shown == limit:
                    return


async def _following(
    store: EventStore, after: int, cap: Cap, *, skipping: bool
) -> AsyncGenerator[Recorded[bytes] | EventCorrupt | int]:
    """Each event behind a position, for ever; and after a second that left some out, how many these were.

    Where all are wanted, it is `skipping` those that would not pass: they are not even read, but told by positions.
    """
    while True:
        if skipping and cap.full:
            await asyncio.sleep(cap.left)
            head = await store.head()
            cap.left_out, after = cap.left_out + head - after, head
        read = 0
        try:
            async for event in store.read_all(after=after, limit=PAGE):
                after, read = event.position, read + 1
                if left_out := cap.over():
                    yield left_out
                yield event
                if skipping and cap.full:
                    break
        except EventCorrupt as error:
            after = error.position
            yield error
            continue
        if read == PAGE or (skipping and cap.full):
            continue
        if cap.left_out:
            await asyncio.sleep(cap.left)
        if left_out := cap.over():
            yield left_out
        elif not cap.left_out:
            await store.wait_appended(after=after)


def _tell(console: Console, event: Recorded[bytes], *, json: bool) -> None:
    if json:
        print_json(msgspec.json.encode(line_of(event)), flush=True)
    else:
        print_line(console, as_text(event))
        console.file.flush()


def _tell_left_out(console: Console, number: int, *, json: bool) -> None:
    if json:
        print_json(msgspec.json.encode({"leftOut": number}), flush=True)
    else:
        console.print(Text(f"    … {number} more came in that second and are left out", "dim"))
        console.file.flush()
