"""A view's fold, one event at a time: the rows before an event, and after it.

It folds a stream into tables of its own, in memory, by the same code and the same statements that fold the log into
the tables in use. So it can be walked through without touching those, and works for views in free SQL too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from twofold.connect import connect
from twofold.console.fields import Field, compared, parsed
from twofold.events import Recorded
from twofold.sequences import Failures, Part, describe, is_poison
from twofold.sql import Work
from twofold.store import Store
from twofold.tables import LOCAL, Generation
from twofold.views import View, remade, table_names

ROWS = 50  # of each table that are looked at

Rows = dict[tuple[str, str], dict[str, object]]
"""Rows by their table and key."""


class RowChange(NamedTuple):
    """A row that the event has made, changed or ended; or one that it left as it was."""

    table: str
    key: str
    fields: Sequence[Field]

    @property
    def changed(self) -> bool:
        """Whether the event has changed it."""
        return any(field.changed for field in self.fields)


class Step(NamedTuple):
    """What the last of some events does to the rows, or why the fold stops there."""

    rows: Sequence[RowChange]
    trouble: str | None


async def step(view: View, events: Sequence[Recorded[bytes]]) -> Step:
    """Fold these events of one stream, and tell what the last of them does."""
    async with connect("memory:") as scratch:
        fresh = Generation(scratch.dialect, dict.fromkeys(table_names(view), ""))
        await scratch.work(partial(remade, fresh, view))
        trouble = await _folded(view, scratch, fresh, events[:-1])
        before = await _rows(view, scratch, fresh)
        if trouble is None:
            trouble = await _folded(view, scratch, fresh, events[-1:])
        after = await _rows(view, scratch, fresh)
    keys = dict.fromkeys([*after, *before])
    changes = [RowChange(*key, compared(before.get(key), after.get(key))) for key in keys]
    return Step(sorted(changes, key=lambda change: not change.changed), trouble)


async def _folded(view: View, scratch: Store, fresh: Generation, events: Sequence[Recorded[bytes]]) -> str | None:
    """Fold the events; answers what stops the fold, if anything does."""
    failures: Failures = {}
    try:
        parts = [part for event in events for part in view.parts(event)]
        await scratch.work(partial(_work, view, fresh, parts, failures))
    except Exception as error:
        if not is_poison(error):
            raise
        return describe(error)
    return next((failure.error for failure in failures.values()), None)


def _work(view: View, fresh: Generation, parts: Sequence[Part], failures: Failures) -> Work[None]:
    failures.clear()
    yield from view.fold_parts(fresh, parts, failures)


async def _rows(view: View, scratch: Store, fresh: Generation) -> Rows:
    found: Rows = {}
    for table in view.tables:
        columns: list[sa.Column[Any]] = [column for column in table.c if not column.info.get(LOCAL)]
        for values in await scratch.scan(fresh.compile(sa.select(*columns).limit(ROWS)).fetch()):
            row = {column.name: _plain(value) for column, value in zip(columns, values, strict=True)}
            key = [str(row[column.name]) for column in columns if column.primary_key] or [str(values[0])]
            found[str(table.name), ", ".join(key)] = row
    return found


def _plain(value: object) -> object:
    """A value of a column; a body as the JSON that it is."""
    return parsed(value) if isinstance(value, bytes) else value
