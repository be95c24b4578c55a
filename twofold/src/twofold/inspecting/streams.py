"""Which streams there are, the newest activity first, and where in the log a time is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from twofold.errors import EventCorrupt
from twofold.events import category_of
from twofold.inspecting.events import ShownEvent, shown
from twofold.inspecting.inspection import Inspection, read_back_through
from twofold.looking_back import StreamHead
from twofold.store import Store

CALLS = 8
"""How often a store is asked for one page of streams, where most of what it looks at belongs to others."""
RECENT = 1_000
"""Events, from the end of the log, in which categories are looked for."""


class ShownStream(Struct, frozen=True, rename="camel"):
    """A stream, and the last event in it."""

    stream: str
    category: str
    version: int
    position: int
    type: str
    recorded_at: datetime


class Streams(Struct, frozen=True, rename="camel"):
    """A page of streams; `before` leads to the next, which may be there though this one is short. None on the last."""

    streams: Sequence[ShownStream]
    before: int | None


async def streams(
    inspection: Inspection,
    *,
    category: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Streams:
    """Streams by the position of their last event, the newest first: of one category, or of all."""
    found: list[StreamHead] = []
    if category is not None and "\0" in category:  # no name has one, and stores refuse to look for it
        return Streams([], None)
    for _ in range(CALLS):
        page = await inspection.store.streams(category=category, before=before, limit=limit - len(found))
        found += page.heads
        before = page.before
        if before is None or len(found) >= limit:
            break
    return Streams([_shown(head) for head in found], before)


def _shown(head: StreamHead) -> ShownStream:
    return ShownStream(head.stream, category_of(head.stream), head.version, head.position, head.type, head.recorded_at)


class Events(Struct, frozen=True, rename="camel"):
    """Events of the whole log, the newest first; `before` leads to the next page. None on the last."""

    events: Sequence[ShownEvent]
    before: int | None


async def recent(inspection: Inspection, *, before: int | None = None, limit: int = 100) -> Events:
    """The log from its end, or from below a position."""
    events = [event async for event in read_back_through(inspection.store, before=before, limit=limit)]
    last = events[-1].position if events and len(events) == limit else None
    return Events([shown(inspection, event) for event in events], last)


async def categories(inspection: Inspection) -> list[str]:
    """The categories of the model, and others that have events of late."""
    known = [each.category.name for each in inspection.model.deciding] if inspection.model is not None else []
    events = read_back_through(inspection.store, before=None, limit=RECENT)
    late = {category_of(event.stream) async for event in events}
    return [*known, *sorted(late.difference(known))]


async def position_at(store: Store, time: datetime) -> int:
    """The position of the last event that was recorded at this time or before; 0 if there is none.

    Found by halving, as clocks rise with positions as a rule; where a clock was set back it may be off by as much.
    """
    low, high = 0, await store.head()  # the answer is within, both included
    while low < high:
        middle = (low + high + 1) // 2
        position, at = await _first_at_or_above(store, middle, high)
        if at is None or at > time:
            high = middle - 1
        else:
            low = position
    return low


async def _first_at_or_above(store: Store, position: int, most: int) -> tuple[int, datetime | None]:
    """The next event that can be read, up to `most`: its position and when it was recorded."""
    while position <= most:
        try:
            async for recorded in store.read_all(after=position - 1, limit=1):
                return recorded.position, recorded.recorded_at
        except EventCorrupt as error:
            position = error.position + 1
        else:
            break
    return position, None
