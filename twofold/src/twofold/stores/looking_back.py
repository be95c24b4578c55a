"""Looking back into the table `event`, in whatever SQL: what the stores that have one share.

The events of a correlation are found in two ways. Most were made of the message that the correlation is named after,
and so their ids begin like it: they need nothing beside the index of ids. Only the others have the correlation
in a column of its own, with an index of those alone, so a usual append pays nothing for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from twofold.events import Recorded, moment_of
from twofold.looking_back import LOOKED_AT, StreamHead, StreamPage
from twofold.sql import Fetch, Row
from twofold.store import LARGEST, bounded
from twofold.stores.rows import page_of

PAGE = 256  # events read in one go


class LookingBackSql(NamedTuple):
    """The statements, and the order of their parameters."""

    floor: str  # before, number: the position of the event so many before
    heads: str  # before, floor, category or null twice, limit
    back: str  # before, limit
    correlated: str  # first id, last id, correlation, after, limit
    of_message: str  # first id, last id, after, limit


class LookingBack:
    """An `InspectionStore` over `scan`, which the store itself has."""

    looking_back: LookingBackSql

    async def scan(self, query: Fetch) -> list[Row]:
        """See ViewStore.scan."""
        raise NotImplementedError

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        """See InspectionStore.streams."""
        end, size = LARGEST if before is None else bounded(before), bounded(limit)
        lowest = await self.scan(Fetch(self.looking_back.floor, (end, LOOKED_AT - 1)))
        floor: int = lowest[0][0] if lowest else 0
        rows = await self.scan(Fetch(self.looking_back.heads, (end, floor, category, size)))
        heads = [
            StreamHead(stream, version, position, type, moment_of(at)) for position, stream, version, type, at in rows
        ]
        if heads and len(heads) == size:
            return StreamPage(heads, heads[-1].position)
        return StreamPage(heads, floor if lowest else None)

    async def read_back(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.read_back."""
        end, left = LARGEST if before is None else bounded(before), LARGEST if limit is None else bounded(limit)
        while left > 0:
            size = min(PAGE, left)
            rows = await self.scan(Fetch(self.looking_back.back, (end, size)))
            events, damage = page_of(rows)
            for recorded in events:
                yield recorded
            if damage is not None:
                raise damage
            if len(rows) < size:
                return
            end, left = rows[-1][0], left - len(rows)

    async def correlated(
        self, correlation_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.correlated."""
        ids = (*_beginning_like(correlation_id), correlation_id.bytes)
        async for recorded in self._pages(
            self.looking_back.correlated,
            ids,
            after,
            limit,
            lambda event: event.metadata.correlation_id == correlation_id,
        ):
            yield recorded

    async def of_message(
        self, message_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """See InspectionStore.of_message."""
        ids = _beginning_like(message_id)
        async for recorded in self._pages(
            self.looking_back.of_message, ids, after, limit, lambda event: event.metadata.message_id == message_id
        ):
            yield recorded

    async def _pages(
        self,
        sql: str,
        ids: Sequence[bytes],
        after: int,
        limit: int | None,
        belongs: Callable[[Recorded[bytes]], bool],
    ) -> AsyncIterator[Recorded[bytes]]:
        """What a statement finds, page by page, without what belongs to another message whose id begins alike."""
        after, left = bounded(after), LARGEST if limit is None else bounded(limit)
        while left > 0:
            size = min(PAGE, left)
            rows = await self.scan(Fetch(sql, (*ids, after, size)))
            events, damage = page_of(rows)
            for recorded in events:
                if belongs(recorded):
                    left -= 1
                    yield recorded
            if damage is not None:
                raise damage
            if len(rows) < size:
                return
            after = rows[-1][0]


def _beginning_like(id: UUID) -> tuple[bytes, bytes]:
    """The lowest and the highest id that begin like this one."""
    return id.bytes[:8] + bytes(8), id.bytes[:8] + b"\xff" * 8
