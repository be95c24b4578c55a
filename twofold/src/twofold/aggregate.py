"""The class style of the first fold, for people who prefer objects to functions. Same log, same codec.

An aggregate changes only by applying events; those it has applied and not yet saved are its uncommitted events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from twofold.codec import Codec
from twofold.events import Receipt, check_category
from twofold.messages import Metadata
from twofold.store import EventStore
from twofold.tracing import appending

E = TypeVar("E")
A = TypeVar("A", bound="Aggregate[Any]")  # Any: an aggregate of some events is not one of all objects


class Aggregate(Generic[E]):
    """A thing that decides by its own methods: they check the rules and `apply` events.

    Subclasses implement `when`, which changes fields and checks nothing: an event has happened already. `version`
    counts the stored events; uncommitted ones come on top.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self._uncommitted: list[E] = []

    def when(self, event: E) -> None:
        """Change this object's fields as the event says."""
        raise NotImplementedError

    def apply(self, event: E) -> None:
        """Let a new event happen: it takes effect on this object now, and is stored when the object is saved."""
        self.when(event)
        self._uncommitted.append(event)

    @property
    def uncommitted(self) -> tuple[E, ...]:
        """The events that were applied and are not stored yet, oldest first."""
        return tuple(self._uncommitted)

    @classmethod
    def from_events(cls, id: str, events: Iterable[E]) -> Self:
        """The object as its stored events make it."""
        aggregate = cls(id)
        for event in events:
            aggregate.when(event)
            aggregate.version += 1
        return aggregate

    def committed(self, version: int, count: int) -> None:
        """The oldest `count` uncommitted events are stored, up to this version of the stream."""
        self.version = version
        del self._uncommitted[:count]  # others may have been applied while these were being stored


@dataclass(frozen=True)
class Repository(Generic[A, E]):
    """Loads and saves the aggregates of one class, in streams named `<name>-<id>`."""

    name: str
    aggregate: type[A]
    codec: Codec[E]

    def __post_init__(self) -> None:
        check_category(self.name)

    async def load(self, store: EventStore, id: str) -> A | None:
        """The aggregate as its stream makes it; None if there is no such stream."""
        events = [self.codec.decode(recorded).data async for recorded in store.read(f"{self.name}-{id}")]
        return self.aggregate.from_events(id, events) if events else None

    async def save(self, store: EventStore, aggregate: Aggregate[E], metadata: Metadata) -> Receipt | None:
        """Store the uncommitted events, all or none; None if there are none.

        Raises Conflict if the stream was changed since the aggregate was loaded: load it again and decide anew. With
        an idempotency key in the metadata, a request that took effect before answers its first receipt, marked
        `repeated`: nothing was stored now, so load the aggregate again.
        """
        events = [self.codec.encode(event, metadata) for event in aggregate.uncommitted]
        if not events:
            return None
        stream, asked = f"{self.name}-{aggregate.id}", metadata.idempotency
        for number, event in enumerate(events, start=1):
            self.codec.reread(event, stream, aggregate.version + number)
        with appending(stream, len(events)):
            receipt = await store.append(stream, events, expected=aggregate.version, idempotency=asked)
        if not receipt.repeated:
            aggregate.committed(receipt.version, len(events))
        return receipt
