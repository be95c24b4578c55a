"""Stores that look back in a wrong way, on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from twofold.events import Recorded
from twofold.looking_back import StreamHead, StreamPage, first_half
from twofold.stores.memory import MemoryStore


class ListsEveryEvent(MemoryStore):
    """A stream is there with each of its events."""

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        last = [recorded async for recorded in self.read_back(before=before, limit=limit)]
        heads = [
            StreamHead(event.stream, event.version, event.position, event.type, event.recorded_at) for event in last
        ]
        return StreamPage(heads, heads[-1].position if heads else None)


class OldestFirst(MemoryStore):
    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        heads, cursor = await super().streams(category=category, before=before, limit=limit)
        return StreamPage(heads[::-1], cursor)


class TakesAPrefix(MemoryStore):
    """Takes each stream whose name begins so for one of the category."""

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        heads, cursor = await super().streams(before=before, limit=limit)
        return StreamPage([head for head in heads if head.stream.startswith(category or "")], cursor)


class GivesUp(MemoryStore):
    """Finds nothing in what it looks at, and says that there is nothing."""

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        page = await super().streams(category=category, before=before, limit=limit)
        return page if page.heads else StreamPage([], None)


class RepeatsTheCursor(MemoryStore):
    """Takes the cursor for the first that is to be shown, not for the last that was."""

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        heads, cursor = await super().streams(category=category, before=before, limit=limit)
        return StreamPage(heads, cursor and cursor + 1)


class BackwardsFrom(MemoryStore):
    """Takes `before` for `from`."""

    async def read_back(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_back(before=None if before is None else before + 1, limit=limit):
            yield recorded


class BackOnePage(MemoryStore):
    async def read_back(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_back(before=before, limit=min(1000, 1000 if limit is None else limit)):
            yield recorded


class KnowsOnlyIds(MemoryStore):
    """Finds of a correlation what was made of its first message, and nothing that came of that."""

    async def correlated(
        self, correlation_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in self.of_message(correlation_id, after=after, limit=limit):
            yield recorded


class TrustsTheFirstHalf(MemoryStore):
    """Takes for one message what begins alike."""

    async def of_message(
        self, message_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in self.read_all(after=after, limit=limit):
            if first_half(recorded.id) == first_half(message_id):
                yield recorded


class TakesTheWholeCorrelation(MemoryStore):
    async def of_message(
        self, message_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in self.correlated(message_id, after=after, limit=limit):
            yield recorded


class CorrelatedByStream(MemoryStore):
    """Comes stream by stream."""

    async def correlated(
        self, correlation_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        found = [recorded async for recorded in super().correlated(correlation_id, after=after, limit=limit)]
        for recorded in sorted(found, key=lambda event: event.stream):
            yield recorded
