"""The second fold: the log becomes the views that queries read.

A projection says which rows an event concerns and what it does to each. Being a fold it needs no database: it can be
tested on plain values, folded live when asked, kept inline in SQL tables, rebuilt, and checked against the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from twofold.codec import Codec
from twofold.events import Recorded, category_of, check_category

E = TypeVar("E")
V = TypeVar("V")

Value = str | int | None
"""What an indexed column can hold. Keep money in minor units and moments in microseconds: exact, and in order."""


@dataclass(frozen=True)
class Column(Generic[V]):
    """A field of the view that queries filter or sort by: kept as a column of its own beside the body."""

    name: str
    type: type[str] | type[int]
    of: Callable[[V], Value]


class Projection(Generic[E, V]):
    """A fold keyed by something that a query asks for, and the typed row that it keeps under each key.

    Subclasses name themselves (`name`, and a `version` to raise with each change of meaning), the class of their rows
    (`view`, a frozen msgspec struct whose JSON is what a client is sent), and implement `key` and `evolve`.
    Stored as a table, a row also has the `columns` with the `indexes` over them, and the words of `text` to search.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    view: type[V]
    columns: Sequence[Column[V]] = ()
    indexes: ClassVar[Sequence[Sequence[str]]] = ()
    searchable: ClassVar[bool] = False

    def key(self, recorded: Recorded[E], /) -> str | Sequence[str] | None:
        """The key of the row that this event concerns, or several keys, or None."""
        raise NotImplementedError

    def evolve(self, view: V | None, recorded: Recorded[E], /) -> V | None:
        """The row after this event: a new one where `view` is None, no row where None is answered."""
        raise NotImplementedError

    def text(self, view: V, /) -> str:
        """The words by which a row is found, if the projection is `searchable`."""
        return ""

    def keys(self, recorded: Recorded[E], /) -> Sequence[str]:
        """The keys that this event concerns, each once."""
        key = self.key(recorded)
        return (key,) if isinstance(key, str) else tuple(dict.fromkeys(key or ()))


@dataclass(frozen=True)
class Source(Generic[E]):
    """The part of the log that a projection folds: the streams of some categories, read by one codec.

    An event of these categories that the codec does not know stops the fold with EventUnknown: skipped in silence it
    would leave the views wrong for ever.
    """

    categories: frozenset[str]
    codec: Codec[E]

    def __post_init__(self) -> None:
        for category in self.categories:
            check_category(category)

    def decode(self, events: Iterable[Recorded[bytes]]) -> Iterator[Recorded[E]]:
        """The events that belong to the source, decoded, in their order."""
        for recorded in events:
            if category_of(recorded.stream) in self.categories:
                yield self.codec.decode(recorded)


def fold(
    projection: Projection[E, V], events: Iterable[Recorded[E]], views: dict[str, V] | None = None
) -> dict[str, V]:
    """The rows by key after these events, from none or from those given. Pure: the meaning of a projection."""
    rows = dict(views or {})
    for recorded in events:
        for key in projection.keys(recorded):
            row = projection.evolve(rows.get(key), recorded)
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
    return rows


async def live(
    projection: Projection[E, V], source: Source[E], events: AsyncIterator[Recorded[bytes]], key: str
) -> V | None:
    """One row, folded when asked from the events given: a stream up to some version, or the whole log."""
    row: V | None = None
    async for stored in events:
        for recorded in source.decode((stored,)):
            if key in projection.keys(recorded):
                row = projection.evolve(row, recorded)
    return row
