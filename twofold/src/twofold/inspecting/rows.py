"""The rows of views beside a fresh fold of their stream: what is stored, what should be, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from twofold.errors import StoreUnavailable
from twofold.events import Recorded
from twofold.inspecting.changes import Change, keyed, state_changes
from twofold.inspecting.events import content_of
from twofold.inspecting.inspection import Inspection, decoded
from twofold.model import source_of, table_of
from twofold.table_view import TableView


class ShownRow(Struct, frozen=True, kw_only=True, rename="camel"):
    """A row of a view, as it is stored and as this stream makes it.

    `behind` is how many events of the stream the stored row has not folded yet; the two are compared as of then.
    Events of other streams are in a `shared` row, and it is not compared. `differences` tell what is stored (before)
    and what it should be (after): of a view that is as it should be there are none.
    """

    view: str
    key: str
    stored: Any
    folded: Any
    behind: int
    shared: bool
    differences: Sequence[Change]
    trouble: str | None = None


async def rows(inspection: Inspection, stream: str) -> list[ShownRow]:
    """The rows that the stream's events are in, of each view that keeps one row a key."""
    if inspection.views is None:
        return []
    events, trouble = await decoded(inspection, stream)
    found: list[ShownRow] = []
    for view in inspection.views.all.values():
        source, table = source_of(view), table_of(view)
        if events and source and table and events[0].category in source.categories:
            for key, concerned in keyed(table, events).items():
                found.append(await _row(inspection, table, key, concerned, trouble))
    return found


async def _row(
    inspection: Inspection,
    view: TableView[Any, Any],
    key: str,
    events: Sequence[Recorded[Any]],
    trouble: str | None,
) -> ShownRow:
    kept: Any = None
    last: int | None = None
    try:
        stored = await inspection.views.rows(view.by_key, b_key=key) if inspection.views is not None else []
        if stored:
            body, last = stored[0]
            kept = view.decode(bytes(body))
    except StoreUnavailable:
        raise
    except Exception as error:  # no such table, or an old row, of another shape than its class has today
        trouble = f"the stored row cannot be read: {inspection.told(error)}"
    concerned = [event for event in events if last is None or event.position <= last]
    shared = last is not None and last not in {event.position for event in events}
    folded: Any = None
    try:
        for event in concerned:
            folded = view.projection.evolve(folded, event)
    except Exception as error:  # the application's own fold: whatever it raises is what is to be shown
        trouble = f"the fold stops: {inspection.told(error)}"
    return ShownRow(
        view=view.name,
        key=key,
        stored=content_of(inspection, kept),
        folded=content_of(inspection, folded),
        behind=len(events) - len(concerned),
        shared=shared,
        differences=[] if shared else state_changes(inspection, kept, folded),
        trouble=trouble,
    )
