"""What is appended, for all live tails of a process together, at a rate that people can read.

The log is looked at once a second, and of what came only the last events are read: however much is appended, and
however many look, the cost stays the same. What was left out is counted. So this is no feed for programs; those have
`twofold.tail`, which leaves nothing out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from twofold.errors import EventUnreadable, StoreUnavailable, TwofoldError
from twofold.events import Recorded
from twofold.inspecting.events import ShownEvent, shown
from twofold.inspecting.inspection import Inspection
from twofold.store import EventStore

EVERY_SECONDS = 1.0  # a look at the log
READ = 100  # events that are read at each look, the last ones
SENT = 10  # of them to one tail, at each look
KEPT = 20  # looks that a tail keeps for a reader that is busy

log = logging.getLogger("twofold.console")


class Filter(NamedTuple):
    """Which events a tail shows; an empty text lets all pass. `text` stands anywhere in the stream's name or the data.

    What is in the data is not looked for on behalf of who may not see it.
    """

    category: str = ""
    type: str = ""
    actor: str = ""
    text: str = ""

    def passes(self, event: Recorded[bytes], *, personal: bool) -> bool:
        """Whether an event is shown."""
        return (
            self.category in ("", event.category)
            and self.type in ("", event.type)
            and self.actor in ("", event.metadata.actor)
            and (not self.text or self.text.casefold() in _words(event, personal=personal).casefold())
        )


def _words(event: Recorded[bytes], *, personal: bool) -> str:
    return f"{event.stream}\n{event.data.decode(errors='replace')}" if personal else event.stream


class Batch(NamedTuple):
    """What one look brought to a tail: events, oldest first, and how many came beside them that are not shown.

    With a filter nobody knows how many of those would have passed.
    """

    position: int
    events: tuple[ShownEvent, ...]
    left: int


class Look(NamedTuple):
    """What one look at the log brought: the last events, and how many came before them."""

    position: int
    events: tuple[Recorded[bytes], ...]
    left: int


class Feed:
    """One tail's view of what comes."""

    def __init__(self, inspection: Inspection, chosen: Filter) -> None:
        self._inspection = inspection
        self._chosen = chosen
        self._looks: asyncio.Queue[Look | None] = asyncio.Queue(KEPT)
        self._missed = 0

    def push(self, look: Look) -> None:
        """Tell of a look; where the reader is too slow, only of how much it was."""
        try:
            self._looks.put_nowait(look)
        except asyncio.QueueFull:
            self._missed += look.left + len(look.events)

    async def next(self, seconds: float) -> Batch | None:
        """The next batch with something in it; None if there is none for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    look = await self._looks.get()
                    if look is None:
                        raise StoreUnavailable("the log is not followed any more")
                    batch = self._batch(look)
                    if batch.events or batch.left:
                        return batch
        return None

    def end(self) -> None:
        """Nothing comes any more."""
        while not self._looks.empty():
            self._looks.get_nowait()
        self._looks.put_nowait(None)

    def _batch(self, look: Look) -> Batch:
        inspection = self._inspection
        passed = [each for each in look.events if self._chosen.passes(each, personal=inspection.personal)]
        events = tuple(shown(inspection, event) for event in passed[-SENT:])
        left = look.left + len(passed) - len(events) + self._missed
        self._missed = 0
        return Batch(look.position, events, left)


class LiveTail:
    """Looks at the log as long as somebody holds a feed."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._feeds: set[Feed] = set()
        self._following: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def feed(self, inspection: Inspection, chosen: Filter) -> AsyncGenerator[Feed]:
        """A feed of what is appended from now on."""
        feed, head = Feed(inspection, chosen), await self._store.head()
        self._feeds.add(feed)
        if self._following is None:
            self._following = asyncio.create_task(self._follow(head))
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
            if not self._feeds:
                self._rest()

    def _rest(self) -> None:
        """Look no more: nobody does."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()

    async def _follow(self, position: int) -> None:
        try:
            while True:
                await self._store.wait_appended(after=position)
                head = await self._store.head()
                look = await self._look(position, head)
                position = max(look.position, head)
                for feed in self._feeds:
                    feed.push(look)
                await asyncio.sleep(EVERY_SECONDS)
        except TwofoldError as error:
            log.warning("the log cannot be followed: %s", error)
        except Exception:  # a fault of ours: it must be seen, and tails must not wait for ever
            log.exception("the log cannot be followed")
        self._following = None
        for feed in self._feeds:
            feed.end()

    async def _look(self, position: int, head: int) -> Look:
        """The last events up to the head, from behind a position."""
        after = max(position, head - READ)
        events: list[Recorded[bytes]] = []
        while after < head:
            try:
                async for recorded in self._store.read_all(after=after, limit=READ):
                    events.append(recorded)
                    after = recorded.position
                break
            except EventUnreadable:
                after += 1
        return Look(after, tuple(events), max(0, head - READ - position))
