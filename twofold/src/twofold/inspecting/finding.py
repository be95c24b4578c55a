"""The search box: a text that may be anything leads to whatever it names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec import Struct

from twofold.errors import EventUnreadable, StatementFailed
from twofold.events import Recorded
from twofold.inspecting.inspection import Inspection, exists
from twofold.inspecting.streams import position_at
from twofold.model import table_of
from twofold.store import check_names
from twofold.table_view import TableView
from twofold.views import Views

LONGEST = 500
"""Characters of a text that is looked for; a longer one finds nothing."""
MOST_ROWS = 10
"""Rows of one view that are found."""
NEAR = 1_000
"""Rows that are looked at first for words."""

_VERSIONED = re.compile(r"(.+)@([0-9]{1,18})", re.DOTALL)


class HitKind(StrEnum):
    """What a text was found to name."""

    STREAM = "stream"
    EVENT = "event"
    MESSAGE = "message"
    CORRELATION = "correlation"
    REQUEST = "request"
    ROW = "row"
    TIME = "time"


class Hit(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Something that was found, and where it leads: to a stream, perhaps at a version, a position, an id, or a row."""

    kind: HitKind
    title: str
    stream: str | None = None
    version: int | None = None
    position: int | None = None
    id: UUID | None = None
    correlation_id: UUID | None = None
    view: str | None = None
    key: str | None = None


async def find(inspection: Inspection, text: str) -> list[Hit]:
    """All that the text names, the surest first: a position, a time, an id of any kind, a stream, a key, words of rows.

    A stream may be named by the id alone, where the categories are known, and with a version: `order-7@3`.
    """
    text = text.strip()
    try:
        check_names(text)
    except ValueError:
        return []
    if not text or len(text) > LONGEST:
        return []
    hits: dict[Hit, None] = {}
    for look in (_position, _ids, _streams, _request, _time, _rows):
        async for hit in look(inspection, text):
            hits[hit] = None
    return list(hits)


async def _position(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    if re.fullmatch("[0-9]{1,18}", text) and int(text):
        position = int(text)
        event = await _first(inspection.store.read_all(after=position - 1, limit=1))
        if isinstance(event, EventUnreadable):
            yield Hit(kind=HitKind.EVENT, title=f"the damaged event at {position}", position=position)
        elif event is not None and event.position == position:
            yield _event(event, f"{event.type} at position {position}")


async def _ids(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    id = _parsed(UUID, text)
    if id is None:
        return
    store = inspection.store
    try:
        event = await store.find(id)
    except EventUnreadable as error:
        yield Hit(kind=HitKind.EVENT, title=str(error), stream=error.stream, version=error.version, id=id)
    else:
        if event is not None:
            yield _event(event, f"{event.type}, version {event.version} of {event.stream}")
    kinds = (
        (HitKind.MESSAGE, store.of_message(id, limit=1)),
        (HitKind.CORRELATION, store.correlated(id, limit=1)),
    )
    for kind, events in kinds:
        first = await _first(events)
        if isinstance(first, Recorded):
            yield Hit(
                kind=kind,
                title=f"the {kind} that led to {first.type} in {first.stream}",
                stream=first.stream,
                version=first.version,
                position=first.position,
                id=id,
                correlation_id=first.metadata.correlation_id,
            )


async def _streams(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    named = _VERSIONED.fullmatch(text)
    candidates: list[tuple[str, int | None]] = [(text, None)]
    if named:
        candidates.append((named[1], int(named[2])))
    model = inspection.model
    categories = [each.category for each in model.deciding] if model is not None else []
    for name, version in candidates:
        for stream in (name, *(category.stream(name) for category in categories)):
            if await exists(inspection.store, stream, version or 1):
                yield _stream(stream, version)


async def _request(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    known = await inspection.store.recall(text)
    if known is None:
        return
    title = f"the request with the key {text}"
    if known.receipt is None:
        yield Hit(kind=HitKind.REQUEST, title=f"{title}, which was refused")
    else:
        stream, version, position = known.receipt.stream, known.receipt.version, known.receipt.position
        yield Hit(kind=HitKind.REQUEST, title=title, stream=stream, version=version, position=position)


async def _time(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    time = None if text.isdigit() else _parsed(datetime.fromisoformat, text)
    if time is not None:
        time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        position = await position_at(inspection.store, time)
        yield Hit(kind=HitKind.TIME, title=f"the log at {time.isoformat()}", position=position)


async def _rows(inspection: Inspection, text: str) -> AsyncIterator[Hit]:
    views, model = inspection.views, inspection.model
    if views is None:
        return
    categories = [each.category for each in model.deciding] if model is not None else []
    for view in views.all.values():
        table = table_of(view)
        found = () if table is None else await _keys(views, table, text, personal=inspection.personal)
        for key in found:
            named = [category.stream(key) for category in categories]
            there = [stream for stream in named if await exists(inspection.store, stream, 1)]
            title, stream = f"{view.name}: {key}", there[0] if there else None
            yield Hit(kind=HitKind.ROW, title=title, view=view.name, key=key, stream=stream)


async def _keys(views: Views, view: TableView[Any, Any], text: str, *, personal: bool) -> list[str]:
    """The keys of rows that have the text as their key or in a column with an index, or all its words.

    What is in a row is not looked for on behalf of who may not see what is `personal`: to find it is to see it.
    """
    table = view.table
    led = {indexes[0] for indexes in view.projection.indexes}
    columns = [column.name for column in view.projection.columns if column.type is str and column.name in led]
    sought = ("key", *columns) if personal else ("key",)
    conditions: list[sa.ColumnElement[bool]] = [table.c[name] == text for name in sought]
    keys: dict[str, None] = {}
    with suppress(StatementFailed):  # no such table: this version of the view was never built
        for condition in conditions:
            query = sa.select(table.c.key).where(condition).limit(MOST_ROWS)
            keys |= {key: None for (key,) in await views.scan(query)}
        if view.projection.searchable and personal:
            keys |= dict.fromkeys(await _worded(views, view, text))
    return list(keys)[:MOST_ROWS]


async def _worded(views: Views, view: TableView[Any, Any], text: str) -> list[str]:
    """The keys of the newest rows that have all words of the text.

    The last rows are looked at first, where common words fill the answer. Then the words are rare, and the index is
    read: PostgreSQL does not know which words are rare, and if all it had to find were any ten rows, it would read all.
    """
    table = view.table
    newest = sa.select(table.c.row).order_by(table.c.row.desc()).limit(NEAR).cte("newest")
    near = sa.select(newest.c.row).where(view.matches(text, newest))
    keys = sa.select(table.c.key).limit(MOST_ROWS)
    rows = await views.scan(keys.where(table.c.row.in_(near)).order_by(table.c.row.desc()))
    if len(rows) < MOST_ROWS:
        rows = await views.scan(keys.where(view.matches(text)).order_by((table.c.row + 0).desc()))
    return [key for (key,) in rows]


async def _first(events: AsyncIterator[Recorded[bytes]]) -> Recorded[bytes] | EventUnreadable | None:
    try:
        async for event in events:
            return event
    except EventUnreadable as error:
        return error
    return None


def _event(event: Recorded[bytes], title: str) -> Hit:
    return Hit(
        kind=HitKind.EVENT,
        title=title,
        stream=event.stream,
        version=event.version,
        position=event.position,
        id=event.id,
    )


def _stream(stream: str, version: int | None) -> Hit:
    title = stream if version is None else f"{stream}, version {version}"
    return Hit(kind=HitKind.STREAM, title=title, stream=stream, version=version)


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    """What the text says, or None if it is not of that kind."""
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None
