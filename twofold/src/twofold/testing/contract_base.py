"""What all parts of the store contract stand on: how a store is opened, and what is put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
import pytest_asyncio
import sqlalchemy as sa
from uuid_utils.compat import uuid7

from twofold.events import NewEvent, Recorded
from twofold.messages import Metadata
from twofold.sql import Fetch, Fold, Work
from twofold.store import EventStore, Store, ViewStore
from twofold.tables import SCHEMA, Generation

HALF = "a\ud800"
"""A text that is not UTF-8: it holds half a surrogate pair."""

HOSTILE = (
    "",
    " ",
    "'; drop table event; --",
    '"quoted" \\ `back` $1 :name ? %s {}',
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "E",
    "e",
    "e ",
    "\N{HEBREW LETTER SHIN}\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{GRINNING FACE}",
    "\N{REPLACEMENT CHARACTER}\uffff\U0010ffff",
    "line\r\nline\ttab\x1b[31m",
    "long" * 20_000,
)
"""Strings that a store might change, cut, or take for one another."""

NULS = ("\0", "a\0", "\0a", "a\0b")
"""Texts that no name or key may be, for not every SQL can keep them."""


T = TypeVar("T")


@pytest.mark.asyncio
class ContractBase:
    """How a store is opened, and what kind of store it is."""

    durable: ClassVar[bool] = True
    """Whether what was stored is there when the store is opened again."""

    shared: ClassVar[bool] = True
    """Whether the store can be opened several times at once."""

    patience: ClassVar[float] = 10.0
    """Seconds after which something that should have happened is taken not to happen."""

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        """Open the store that lives at this place: an empty folder at first, the same data each time.

        A store that needs no folder makes a name out of it, of a database for instance.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncGenerator[Store]:
        """An open and empty store."""
        async with self.open(tmp_path) as store:
            yield store

    async def soon(self, awaitable: Awaitable[T]) -> T:
        """What this comes to, or a TimeoutError: a broken store must fail a check, not hang it."""
        async with asyncio.timeout(self.patience):
            return await awaitable


def happened(data: bytes = b"{}", *, type: str = "Happened", metadata: Metadata | None = None) -> NewEvent:
    """An event that nobody has stored yet."""
    return NewEvent(id=uuid7(), type=type, schema=1, data=data, metadata=metadata or said())


def several(count: int) -> list[NewEvent]:
    """Events that one message led to; each says how many they are, so that a reader can tell a part from the whole."""
    metadata = said()
    return [happened(str(count).encode(), metadata=metadata) for _ in range(count)]


def said() -> Metadata:
    """The metadata of a new message."""
    return Metadata.new(at=datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC))


async def whole(store: EventStore) -> list[Recorded[bytes]]:
    """The whole log."""
    return [recorded async for recorded in store.read_all()]


async def events_of(store: EventStore, stream: str) -> list[Recorded[bytes]]:
    """A whole stream."""
    return [recorded async for recorded in store.read(stream)]


class Seen:
    """A view for checks: a row for each event it was given, in the order in which they came.

    It has no unique key, so an event that is folded twice shows as two rows. An event of the type `Poison` makes the
    fold raise, after it has written a row.
    """

    def __init__(self, store: ViewStore, name: str = "seen") -> None:
        self.name = name
        self._tables = Generation(store.dialect, {name: ""})
        self._table = table = sa.Table(
            name,
            sa.MetaData(schema=SCHEMA),
            sa.Column("number", sa.Integer, primary_key=True),
            sa.Column("position", sa.BigInteger, nullable=False),
        )
        self._insert = self._tables.compile(sa.insert(table).values(position=sa.bindparam("position")))
        ordered = sa.select(table.c.position).order_by(table.c.number)
        self.query: Fetch = self._tables.compile(ordered).fetch()
        self.lock: Fetch = self._tables.compile(ordered.with_for_update()).fetch()

    def create(self) -> Work[None]:
        """The work that makes the table anew."""
        yield from self._tables.drop([self.name])
        yield from self._tables.create([self._table])

    def drop(self) -> Work[None]:
        """The work that removes the table."""
        yield from self._tables.drop([self.name])

    def write(self, *positions: int) -> Work[None]:
        """The work that writes these rows."""
        yield self._insert.run([{"position": position} for position in positions])

    def fold(self, events: Sequence[Recorded[bytes]]) -> Work[None]:
        """A row for each event."""
        for recorded in events:
            yield from self.write(recorded.position)
            if recorded.type == "Poison":
                raise ValueError("this event cannot be folded")

    async def positions(self, store: ViewStore) -> list[int]:
        """The rows as they are now."""
        return [position for (position,) in await store.rows(self.query)]


async def seen_by(store: ViewStore, name: str = "seen") -> Seen:
    """The view, with its table made if it is new, and its fold attached to the store."""
    view = Seen(store, name)
    await store.reset(name, view.create, only_new=True)
    store.attach(name, view.fold)
    return view


async def attached(store: ViewStore, name: str, fold: Fold) -> None:
    """Attach a fold that keeps no table, with the checkpoint that it needs."""
    await store.reset(name, _nothing, only_new=True)
    store.attach(name, fold)


def _nothing() -> Work[None]:
    yield from ()
