"""Reading event by event, over the pages in which every store reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from twofold.events import Recorded


class PagedReading:
    """`EventStore.read` and `read_all` for a store that has `read_pages` and `read_all_pages`."""

    def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_pages."""
        raise NotImplementedError

    def read_all_pages(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_all_pages."""
        raise NotImplementedError

    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """See EventStore.read."""
        async for page in self.read_pages(stream, after=after, until=until):
            for recorded in page:
                yield recorded

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """See EventStore.read_all."""
        async for page in self.read_all_pages(after=after, limit=limit):
            for recorded in page:
                yield recorded
