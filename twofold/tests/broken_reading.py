"""Stores that are read in a wrong way, or at the wrong time, on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import msgspec

from broken_stores import Appending, turns
from twofold.errors import Conflict
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.stores.memory import MemoryStore


class OutOfOrder(MemoryStore):
    """Two neighbours change places, where there is more than one event to read."""

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        page = [recorded async for recorded in super().read_all(after=after, limit=limit)]
        if len(page) > 1:
            page[-2:] = page[:-3:-1]
        for recorded in page:
            yield recorded


class StreamOutOfOrder(MemoryStore):
    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        for recorded in reversed([recorded async for recorded in super().read(stream, after=after, until=until)]):
            yield recorded


class LosesTheTail(MemoryStore):
    """Who reads on misses the first event where several are new."""

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        page = [recorded async for recorded in super().read_all(after=after, limit=limit)]
        for recorded in page[1:] if after > 0 and len(page) > 1 else page:
            yield recorded


class LosesAtThePage(MemoryStore):
    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_all(after=after, limit=limit):
            if recorded.position != 1001:
                yield recorded


class PagesOverlap(MemoryStore):
    """Each page but the first begins with what the one before it ended with."""

    async def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        events = [event async for event in super().read(stream, after=after, until=until)]
        for first in range(0, len(events), 500):
            yield events[max(first - 1, 0) : first + 500]

    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        for recorded in self._streams.get(stream, [])[after:until]:
            yield recorded


class EmptyPageAtTheEnd(MemoryStore):
    async def read_all_pages(
        self, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        async for page in super().read_all_pages(after=after, limit=limit):
            yield page
        yield []


class FirstAgain(MemoryStore):
    """Takes `after` for `from`."""

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_all(after=max(after - 1, 0), limit=limit):
            yield recorded


class CountsFromTheEnd(MemoryStore):
    """Takes bounds below 0 as a list does."""

    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        for recorded in self._streams.get(stream, [])[after:until]:
            yield recorded


class VisibleLate(Appending):
    """Every other append is seen some turns after it got its position, though it is acknowledged only then."""

    def __init__(self) -> None:
        super().__init__()
        self._hidden: set[int] = set()
        self._number = 0

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        receipt = await self.right(stream, events, expected, asked)
        self._number += 1
        if not receipt.repeated and self._number % 2:
            hidden = set(range(receipt.position - len(events) + 1, receipt.position + 1))
            self._hidden |= hidden
            await turns(3)
            self._hidden -= hidden
            self._wake()
        return receipt

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_all(after=after, limit=limit):
            if recorded.position not in self._hidden:
                yield recorded


class FindsByName(MemoryStore):
    """Finds the stream of the event, and its first."""

    async def find(self, id: UUID) -> Recorded[bytes] | None:
        found = await super().find(id)
        return found and self._streams[found.stream][0]


class FindsWhatWasRefused(Appending):
    """Keeps the ids before it looks at the version."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        try:
            return await self.right(stream, events, expected, asked)
        except Conflict:
            self._ids.update((event.id, event) for event in self._recorded(stream, 0, events))
            raise


class AnotherIdEachTime(MemoryStore):
    @property
    def id(self) -> UUID:
        return uuid4()


class OneIdForAll(MemoryStore):
    @property
    def id(self) -> UUID:
        return UUID(int=1)


class SharedLog(list[Recorded[bytes]]):
    """A log that several openings share, with the positions that they took."""

    taken = 0


class ReservesPositions(MemoryStore):
    """Takes its positions when an append begins, as the sequence of a database gives them, and shows it when it ends.

    What commits later with a lower position comes in below what was read: the classic fault of a log in a database.
    """

    def __init__(self, log: SharedLog) -> None:
        super().__init__()
        self._log = self._shared = log

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        first, self._shared.taken = self._shared.taken, self._shared.taken + len(events)
        added = [
            msgspec.structs.replace(recorded, position=first + number)
            for number, recorded in enumerate(self._recorded(stream, 0, events), start=1)
        ]
        for fold in self._folds.values():
            for _ in fold(added):
                await asyncio.sleep(0.001)
        self._log.extend(added)
        self._log.sort(key=lambda recorded: recorded.position)
        return Receipt(stream, len(added), added[-1].position)

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        for recorded in list(self._log):
            yield recorded
