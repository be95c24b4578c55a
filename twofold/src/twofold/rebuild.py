"""Views made anew from the log, and views checked against it.

A rebuild folds the whole log into tables beside those in use and swaps them in at one position, in one transaction:
queries and appends go on meanwhile, and nobody sees a half-built view. A check folds the log afresh and compares.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from twofold.errors import ProjectionFailed, RebuildOvertaken
from twofold.events import Recorded
from twofold.sql import Fold, Row, Work
from twofold.store import EventStore, Moment, Progress, ViewStore
from twofold.tables import LOCAL, Generation
from twofold.views import PAGE, View, Views, identity, remade, table_names

REBUILD_PAGE = 250  # events folded under one lock: a few times the wait that another writer is used to

OnProgress = Callable[[Progress], None]


async def rebuild(views: Views, name: str, on_progress: OnProgress) -> Progress:
    """Make a view anew from the log, while it goes on being read and written.

    Between two pages it waits as long as a page took, so that others get the lock. Where the log grows as fast all the
    same, it takes larger pages until it gains on it, so it comes to an end.

    Raises ProjectionUnknown, and RebuildOvertaken if another rebuild of the same view was done first.
    """
    view = views.view(name)
    beside = Generation(views.store.dialect, dict.fromkeys(table_names(view), f"_v{view.version}_new"))
    key = f"{identity(view)}_new"
    fold = view.fold(beside)
    await views.store.reset(key, partial(remade, beside, view))
    swap = partial(_swap, beside, views.current, view)
    page = REBUILD_PAGE
    behind: int | None = None
    while True:
        began = time.monotonic()
        try:
            progress = await views.store.promote(key, fold, to=identity(view), swap=swap, limit=page)
        except ProjectionFailed as failed:
            if await views.store.checkpoint(key) is None:
                raise RebuildOvertaken(name) from failed
            raise
        on_progress(progress)
        if progress.position >= progress.head:
            return progress
        left = progress.head - progress.position
        if behind is not None and left >= behind:
            page *= 2
        behind = left
        await asyncio.sleep(time.monotonic() - began)


def _swap(beside: Generation, current: Generation, view: View) -> Work[None]:
    names = table_names(view)
    yield from current.drop(names)
    yield from beside.rename(current, names)


class Difference(NamedTuple):
    """A row that the stored view and a fresh fold of the log do not agree on; None where one of them has no row."""

    view: str
    table: str
    key: Row
    stored: Row | None
    folded: Row | None


async def verify(views: Views, log: EventStore, scratch: ViewStore, on_progress: OnProgress) -> list[Difference]:
    """Fold the log afresh into `scratch`, which must be empty, and compare each view there with the stored one.

    The stored views are those of one moment, and the log is folded up to that moment, so appends may go on.
    """
    differences: list[Difference] = []
    async with views.store.moment() as moment:
        for view in views.all.values():
            reached = await moment.checkpoint(identity(view)) or 0
            fresh = Generation(scratch.dialect, dict.fromkeys(table_names(view), ""))
            await scratch.work(partial(remade, fresh, view))
            await _fold_until(log, reached, scratch, view.fold(fresh), on_progress)
            async with scratch.moment() as folded:
                for table in view.tables:
                    stored_rows = _rows(moment, views.current, table)
                    folded_rows = _rows(folded, fresh, table)
                    async for key, stored, made in _paired(stored_rows, folded_rows):
                        if stored != made:
                            differences.append(Difference(view.name, str(table.name), key, stored, made))
    return differences


async def _fold_until(log: EventStore, last: int, scratch: ViewStore, fold: Fold, on_progress: OnProgress) -> None:
    page: list[Recorded[bytes]] = []
    async for recorded in log.read_all(limit=last):  # enough events, and too many where positions have holes
        if recorded.position > last:
            break
        page.append(recorded)
        if len(page) == PAGE:
            await scratch.work(partial(fold, page))
            on_progress(Progress(recorded.position, last))
            page = []
    await scratch.work(partial(fold, page))
    on_progress(Progress(last, last))


Keyed = tuple[Row, Row]


async def _rows(moment: Moment, generation: Generation, table: sa.Table) -> AsyncIterator[Keyed]:
    """All rows in the order of their keys, page by page. What names a row only inside one table is left out."""
    compared = [column for column in table.c if not column.info.get(LOCAL)]
    key = [column for column in compared if column.primary_key] or [column for column in compared if column.unique]
    others = [column for column in compared if column not in key]
    page = sa.select(*key, *others).order_by(*key).limit(PAGE)
    last: Row | None = None
    while True:
        query = page if last is None else page.where(sa.tuple_(*key) > sa.tuple_(*(sa.literal(part) for part in last)))
        rows = await moment.scan(generation.compile(query).fetch())
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
