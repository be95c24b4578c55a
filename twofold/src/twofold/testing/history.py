"""Events as a store would give them, made from plain values.

A test of a projection means "this happened, then that"; the ids, versions, positions and times that a `Recorded` also
has are filled in here, rising as a store promises, and the same in each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from twofold.events import Recorded
from twofold.messages import Metadata

E = TypeVar("E")

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""The time before the first event. The event at position n was said, and taken, n seconds later."""


@dataclass(frozen=True)
class History(Generic[E]):
    """A log in plain values: `History().then(OrderCreated(...)).then(OrderPaid(...), stream="payment-1")`."""

    events: tuple[Recorded[E], ...] = ()

    def then(
        self, *events: E, stream: str = "thing-1", metadata: Metadata | None = None, skipped: int = 0
    ) -> History[E]:
        """This history and, after it, these events of one stream.

        `skipped` positions are left out before them: a store may have holes there, and a projection must not mind.
        """
        version = sum(event.stream == stream for event in self.events)
        position = skipped + (self.events[-1].position if self.events else 0)
        more = (
            recorded(event, stream=stream, version=version + n, position=position + n, metadata=metadata)
            for n, event in enumerate(events, start=1)
        )
        return History((*self.events, *more))


def recorded(event: E, *, stream: str, version: int, position: int, metadata: Metadata | None = None) -> Recorded[E]:
    """The event as it stands in a log. Its id and its time follow from the position."""
    at, id = BEGAN + timedelta(seconds=position), UUID(int=position)
    return Recorded.of(
        id=id,
        stream=stream,
        version=version,
        position=position,
        type=type(event).__name__,
        schema=1,
        data=event,
        metadata=metadata or Metadata(message_id=id, correlation_id=id, at=at),
        recorded_at=at,
    )
