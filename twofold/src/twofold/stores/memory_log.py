"""The log of a store in memory: lists, and what can be read of them, forwards and backwards."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from twofold.events import Recorded
from twofold.looking_back import LOOKED_AT, StreamHead, StreamPage, first_half
from twofold.store import LARGEST, bounded, check_names
from twofold.stores.reading import PagedReading

PAGE = 1000  # events handed out before others may run


class MemoryLog(PagedReading):
    """The parts of `EventStore` and `InspectionStore` that read. The store says whether it is open, and appends."""

    def _empty(self) -> None:
        """Begin anew."""
        self._log: list[Recorded[bytes]] = []
        self._streams: dict[str, list[Recorded[bytes]]] = {}
        self._ids: dict[UUID, Recorded[bytes]] = {}

    def _check_open(self) -> None:
        raise NotImplementedError

    def _keep(self, added: Sequence[Recorded[bytes]]) -> None:
        self._log += added
        for event in added:
            self._streams.setdefault(event.stream, []).append(event)
            self._ids[event.id] = event

    @property
    def _head(self) -> int:
        return self._log[-1].position if self._log else 0

    def _next(self, position: int, limit: int | None = None) -> list[Recorded[bytes]]:
        """The events above a position; adopted ones may have left holes between the positions."""
        first = bisect_right(self._log, position, key=lambda event: event.position)
        return self._log[first : None if limit is None else first + limit]

    async def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_pages."""
        self._check_open()
        check_names(stream)
        last = None if until is None else bounded(until)
        if events := self._streams.get(stream, [])[bounded(after) : last]:
            yield events

    async def read_all_pages(
        self, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_all_pages."""
        self._check_open()
        after, left = bounded(after), LARGEST if limit is None else bounded(limit)
        while page := self._next(after, min(PAGE, left)):
            yield page
            after, left = page[-1].position, left - len(page)
            await asyncio.sleep(0)  # let others run between two pages

    async def find(self, id: UUID) -> Recorded[bytes] | None:
        """See EventStore.find."""
        self._check_open()
        return self._ids.get(id)

    async def head(self) -> int:
        """See EventStore.head."""
        self._check_open()
        return self._head

    # --- looking back -----------------------------------------------------------------------------------------------

    def _before(self, position: int | None) -> int:
        """How many events stand below a position."""
        end = LARGEST if position is None else bounded(position)
        return bisect_left(self._log, end, key=lambda event: event.position)

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        """See InspectionStore.streams."""
        self._check_open()
        end, size = self._before(before), bounded(limit)
        lowest = max(end - LOOKED_AT, 0)
        heads: list[StreamHead] = []
        for event in reversed(self._log[lowest:end]):
            if len(heads) == size:
                break
            if event.version == len(self._streams[event.stream]) and category in (None, event.category):
                heads.append(StreamHead(event.stream, event.version, event.position, event.type, event.recorded_at))
        if heads and len(heads) == size:
            return StreamPage(heads, heads[-1].position)
        return StreamPage(heads, self._log[lowest].position if lowest else None)

    async def read_back(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.read_back."""
        self._check_open()
        end = self._before(before)
        for number in range(min(end, LARGEST if limit is None else bounded(limit))):
            if number % PAGE == PAGE - 1:
                await asyncio.sleep(0)
            yield self._log[end - 1 - number]

    async def correlated(
        self, correlation_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.correlated."""
        left = LARGEST if limit is None else bounded(limit)
        async for recorded in self.read_all(after=after):
            if left > 0 and recorded.metadata.correlation_id == correlation_id:
                left -= 1
                yield recorded

    async def of_message(
        self, message_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.of_message."""
        left = LARGEST if limit is None else bounded(limit)
        async for recorded in self.read_all(after=after):
            made_of_it = first_half(recorded.id) == first_half(message_id)
            if left > 0 and made_of_it and recorded.metadata.message_id == message_id:
                left -= 1
                yield recorded
