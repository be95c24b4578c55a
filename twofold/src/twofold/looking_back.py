"""What a store promises to who looks back: the newest first, and what one request led to.

Nothing here is needed to decide or to fold. It is for people, at a console or a terminal, and works in logs of
millions: each call looks at a bounded number of events, and says from where to go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from twofold.events import Recorded

LOOKED_AT = 5_000
"""How many events one call for streams looks at, at most."""


class StreamHead(NamedTuple):
    """The last event of a stream, without its content: the stream, and where it is now."""

    stream: str
    version: int
    position: int
    type: str
    recorded_at: datetime


class StreamPage(NamedTuple):
    """Some streams, the one with the newest event first. `before` is where to go on; None where none are left."""

    heads: Sequence[StreamHead]
    before: int | None


class InspectionStore(Protocol):
    """The log, seen from its end, and by what was said.

    A bound below 0 is like 0, and no bound is too large. Whoever reads on behind an EventCorrupt takes its position.
    """

    async def streams(self, *, category: str | None = None, before: int | None = None, limit: int = 100) -> StreamPage:
        """Streams whose last event stands at a position below `before`, newest activity first, at most `limit`.

        With `category` only those of that family. A call looks at 5,000 events at most, so a page may be short, or
        empty, though there are more: its `before` tells. A stream that is appended to while pages are read moves to
        the front, and may be missed behind it.
        """
        ...

    def read_back(self, *, before: int | None = None, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """The events of the whole log with positions below `before`, the last one first, at most `limit`.

        Raises EventCorrupt on an event whose checksum differs.
        """
        ...

    def correlated(
        self, correlation_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """The events of this correlation with positions above `after`, in the order of positions, at most `limit`.

        Raises EventCorrupt on an event whose checksum differs.
        """
        ...

    def of_message(
        self, message_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Recorded[bytes]]:
        """The events that a message led to, in the order of positions: those whose ids were made of it.

        Deciders make them so (`messages.ids_of`). Events that were given other ids are found by their correlation.
        Raises EventCorrupt on an event whose checksum differs.
        """
        ...


def first_half(id: UUID) -> int:
    """The first 64 bits of an id. An event's id begins like that of the message it was made of."""
    return id.int >> 64
