"""One event in full, with what it came of, what came of it, and which views took it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec import Struct

from twofold.claims import Claims
from twofold.errors import EventUnknown, EventUnreadable
from twofold.events import Recorded
from twofold.inspecting.changes import keys_of
from twofold.inspecting.events import ShownEvent, shown
from twofold.inspecting.inspection import Inspection
from twofold.letters import parked
from twofold.model import source_of, table_of
from twofold.overview import overview
from twofold.views import identity

MOST = 200
"""Events of its correlation that are looked at for causes and effects."""


class Took(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a view did with an event: `taken` once its position is behind it, `parked` where it could not be folded.

    `keys` are those of the rows that it concerns, where the view keeps one row a key.
    """

    view: str
    keys: Sequence[str]
    taken: bool
    parked: str | None


class EventInContext(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event with all of its data. `cause` is the event that it came of, or the last one of the message it came of.

    `together` came of the same message, `effects` of this event or its message. `took` tells of views that concern it.
    Of a large correlation only the first events are looked at.
    """

    event: ShownEvent
    cause: ShownEvent | None
    together: Sequence[ShownEvent]
    effects: Sequence[ShownEvent]
    took: Sequence[Took]


async def in_context(
    inspection: Inspection, *, position: int | None = None, id: UUID | None = None
) -> EventInContext | None:
    """The event at a position, or of an id; None if there is none."""
    store = inspection.store
    stored: Recorded[bytes] | EventUnreadable | None = None
    try:
        if id is not None:
            stored = await store.find(id)
        elif position is not None:
            async for recorded in store.read_all(after=position - 1, limit=1):
                stored = recorded if recorded.position == position else None
    except EventUnreadable as error:
        stored = error
    if stored is None:
        return None
    event = shown(inspection, stored, whole=True)
    if isinstance(stored, EventUnreadable):
        return EventInContext(event=event, cause=None, together=[], effects=[], took=[])
    related = await _related(inspection, stored)
    said = stored.metadata
    causes = [each for each in related if said.causation_id in (each.id, each.metadata.message_id)]
    cause = causes[-1] if causes else await _find(inspection, said.causation_id)
    show = partial(shown, inspection)
    return EventInContext(
        event=event,
        cause=None if cause is None else show(cause),
        together=[
            show(each) for each in related if each.metadata.message_id == said.message_id and each.id != stored.id
        ],
        effects=[show(each) for each in related if each.metadata.causation_id in (stored.id, said.message_id)],
        took=await _took(inspection, stored),
    )


async def _related(inspection: Inspection, stored: Recorded[bytes]) -> list[Recorded[bytes]]:
    found: list[Recorded[bytes]] = []
    try:
        async for recorded in inspection.store.correlated(stored.metadata.correlation_id, limit=MOST):
            found.append(recorded)  # noqa: PERF401 - those before one that is damaged are kept
    except EventUnreadable:
        return found
    return found


async def _find(inspection: Inspection, id: UUID | None) -> Recorded[bytes] | None:
    try:
        return None if id is None else await inspection.store.find(id)
    except EventUnreadable:
        return None


async def _took(inspection: Inspection, stored: Recorded[bytes]) -> list[Took]:
    """What the views that the application keeps did with the event."""
    views, found = inspection.views, list[Took]()
    if views is None:
        return found
    statuses = {status.name: status for status in await overview(inspection.store, views)}
    letters = await _letters(inspection, stored.position)
    for view in views.all.values():
        source, table, status = source_of(view), table_of(view), statuses.get(identity(view))
        if source is None or stored.category not in source.categories:
            continue
        keys: Sequence[str] = ()
        if table is not None:
            with suppress(EventUnknown, EventUnreadable):
                event: Recorded[Any] = source.codec.decode(stored)
                keys = keys_of(table, event)
        taken = status is not None and status.position >= stored.position
        found.append(Took(view=view.name, keys=keys, taken=taken, parked=letters.get(identity(view))))
    return found


async def _letters(inspection: Inspection, position: int) -> dict[str, str]:
    """Why the event is parked, by the name of the subscription."""
    query = sa.select(parked.c.name, parked.c.error).where(parked.c.position == position, parked.c.skipped.is_(None))
    return dict(await inspection.store.scan(Claims(inspection.store.dialect).query(query)))
