"""Views checked against the log, and builds against what is in use.

A check folds the log afresh into an empty store and compares every row. The stored views are those of one moment, and
the fold is told how far they were then, part by part and without what was parked; so appends and folds may go on.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from twofold.building import PATIENCE_SECONDS, Build, OnProgress
from twofold.claims import Claims, partition
from twofold.errors import BuildMissing, ProjectionFailed, TwofoldError
from twofold.events import Recorded
from twofold.letters import parked
from twofold.sequences import Failures, Part, partition_of, stream_sequence
from twofold.sql import Row, Work
from twofold.store import EventStore, Moment, Progress, ViewStore
from twofold.table_view import TableView
from twofold.tables import LOCAL, Generation
from twofold.views import PAGE, View, Views, identity, remade, table_names

Keyed = tuple[Row, Row]


class ViewMissing(TwofoldError):
    """A view is to be checked, or a version to be compared with, that was never built."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} was never built")


class Difference(NamedTuple):
    """A row that two tables do not agree on; None where one of them has no row.

    In a check `stored` is what is in use and `folded` a fresh fold of the log; in a comparison `folded` is the build.
    """

    view: str
    table: str
    key: Row
    stored: Row | None
    folded: Row | None


class Side(NamedTuple):
    """One generation of tables at one moment."""

    moment: Moment
    generation: Generation


class Reached(NamedTuple):
    """Which parts of which events are in a view: up to where each of its partitions has come, without its letters."""

    positions: tuple[int, ...]
    letters: frozenset[tuple[int, str, int]]

    @property
    def last(self) -> int:
        """The last position that any partition has reached."""
        return max(self.positions)

    async def events(self, view: View, log: EventStore, on_progress: OnProgress) -> AsyncIterator[Part]:
        """The parts of the log's events that are in the view, in order."""
        count = 0
        async for recorded in log.read_all(limit=self.last):  # enough, and too many where positions have holes
            if recorded.position > self.last:
                break
            for part in self._parts(view, recorded):
                yield part
            count += 1
            if count % PAGE == 0:
                on_progress(Progress(recorded.position, self.last))
        on_progress(Progress(self.last, self.last))

    def _parts(self, view: View, stored: Recorded[bytes]) -> Sequence[Part]:
        try:
            parts = view.parts(stored)
        except Exception:
            if any(letter[1:] == (stream_sequence(stored.stream), stored.position) for letter in self.letters):
                return ()
            raise
        if not self.letters and stored.position <= min(self.positions):
            return parts
        return [part for part in parts if self._has(part)]

    def _has(self, part: Part) -> bool:
        position = part.event.position
        number = partition_of(part.sequence, len(self.positions))
        sequences = part.sequence, stream_sequence(part.event.stream)
        return position <= self.positions[number] and not any(
            (number, sequence, position) in self.letters for sequence in sequences
        )


_POSITIONS = (
    sa.select(partition.c.position).where(partition.c.name == sa.bindparam("b_name")).order_by(partition.c.partition)
)
_LETTERS = sa.select(parked.c.partition, parked.c.sequence, parked.c.position).where(
    parked.c.name == sa.bindparam("b_name")
)


async def _reached(moment: Moment, dialect: str, name: str) -> Reached:
    claims = Claims(dialect)
    inline = await moment.checkpoint(name)
    if inline is not None:
        return Reached((inline,), frozenset())
    positions = await moment.scan(claims.query(_POSITIONS, b_name=name))
    if not positions:
        raise ViewMissing(name)
    letters = await moment.scan(claims.query(_LETTERS, b_name=name))
    return Reached(tuple(row[0] for row in positions), frozenset((row[0], row[1], row[2]) for row in letters))


async def verify(views: Views, log: EventStore, scratch: ViewStore, on_progress: OnProgress) -> list[Difference]:
    """Fold the log afresh into `scratch`, which must be empty, and compare each view there with the stored one.

    Raises ViewMissing, and what the codec raises of an event that is in a view and cannot be read any more.
    """
    differences: list[Difference] = []
    for view in views.all.values():
        async with views.store.moment() as moment:
            reached = await _reached(moment, views.store.dialect, identity(view))
            fresh = Generation(scratch.dialect, dict.fromkeys(table_names(view), ""))
            await scratch.work(partial(remade, fresh, view))
            await _fold(reached.events(view, log, on_progress), scratch, partial(_fold_page, view, fresh))
            async with scratch.moment() as folded:
                sides = Side(moment, views.current), Side(folded, fresh)
                differences += [found async for found in _compared(view, *sides)]
    return differences


async def compare(views: Views, name: str, on_progress: OnProgress, *, version: int | None = None) -> list[Difference]:
    """Compare the build of a view, row by row, with what is in use, or with an older `version`.

    Both go on meanwhile; for a while it looks for a moment at which they have come equally far. If there is none, the
    rows that one of them may have changed since are left out; so it cannot tell of tables in free SQL, which are
    compared as they stand: pause the projection to be exact. Of another version, which may have other columns, the
    keys, positions and bodies are compared.

    Raises ProjectionUnknown, BuildMissing, ViewMissing, and StatementFailed if free SQL has other columns by now.
    """
    view = views.view(name)
    building = Build(views, view)
    if not await building.exists():
        raise BuildMissing(name)
    other = identity(view) if version is None else f"{view.name}_v{version}"
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        await building.run(on_progress, pace=0.0)
        async with views.store.moment() as moment:
            used, built = [await _reached(moment, views.store.dialect, key) for key in (other, building.key)]
            positions = {*used.positions, *built.positions}
            if len(positions) == 1 or time.monotonic() > end:
                late = await _changed(view, views.store, min(positions), max(positions))
                sides = Side(moment, building.generation(other)), Side(moment, building.beside)
                columns = None if version in (None, view.version) else _TOLD
                return [found async for found in _compared(view, *sides, late=late, only=columns)]


_TOLD = frozenset({"key", "first_position", "last_position", "body"})  # of each version of a table view


async def _changed(view: View, log: EventStore, after: int, until: int) -> set[str]:
    """The keys of a table view that events between two positions concern."""
    changed: set[str] = set()
    if isinstance(view, TableView):
        async for recorded in log.read_all(after=after, limit=until - after):
            with suppress(Exception):  # it is parked, or will be: so nothing was changed
                changed.update(part.sequence for part in view.parts(recorded))
    return changed


async def _fold(parts: AsyncIterator[Part], scratch: ViewStore, fold: Callable[[list[Part]], Work[None]]) -> None:
    page: list[Part] = []
    async for part in parts:
        page.append(part)
        if len(page) == PAGE:
            await scratch.work(partial(fold, page))
            page = []
    await scratch.work(partial(fold, page))


def _fold_page(view: View, fresh: Generation, page: list[Part]) -> Work[None]:
    failures: Failures = {}
    yield from view.fold_parts(fresh, page, failures)
    for failure in failures.values():
        raise ProjectionFailed(view.name, f"position {failure.position}: {failure.error}")


async def _compared(
    view: View, left: Side, right: Side, *, late: Set[str] = frozenset(), only: Set[str] | None = None
) -> AsyncIterator[Difference]:
    """The rows that differ, but for those of the keys that are `late`; in all columns, or in `only` these."""
    for table in view.tables:
        columns = _columns(table)
        if only is not None and isinstance(view, TableView):
            columns = [column for column in columns if column.name in only]
        async for key, stored, folded in _paired(_rows(left, table, columns), _rows(right, table, columns)):
            if stored != folded and key[0] not in late:
                yield Difference(view.name, str(table.name), key, stored, folded)


def _key(table: sa.Table) -> list[sa.Column[Any]]:
    compared = [column for column in table.c if not column.info.get(LOCAL)]
    return [column for column in compared if column.primary_key] or [column for column in compared if column.unique]


def _columns(table: sa.Table) -> list[sa.Column[Any]]:
    """What is compared, the key first. What names a row only inside one table is left out."""
    key = _key(table)
    return [*key, *(column for column in table.c if not column.info.get(LOCAL) and column not in key)]


async def _rows(side: Side, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> AsyncIterator[Keyed]:
    """All rows in the order of their keys, page by page."""
    key = _key(table)
    page = sa.select(*columns).order_by(*key).limit(PAGE)
    last: Row | None = None
    while True:
        query = page if last is None else page.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(part) for part in last)))
        rows = await side.moment.scan(side.generation.compile(query).fetch())
        for row in rows:
            yield row[: len(key)], row
        if len(rows) < PAGE:
            return
        last = rows[-1][: len(key)]


async def _paired(
    left: AsyncIterator[Keyed], right: AsyncIterator[Keyed]
) -> AsyncIterator[tuple[Row, Row | None, Row | None]]:
    """The rows of both sides by key, with None where a side has none. Both must come in the order of keys."""
    a, b = await anext(left, None), await anext(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            yield (a[0], a[1], None) if a is not None else ((), None, None)
            a = await anext(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = await anext(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = await anext(left, None), await anext(right, None)
