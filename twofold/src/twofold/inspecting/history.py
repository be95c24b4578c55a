"""One stream: its events, with the time between them, and its state after any of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from twofold.events import Recorded, category_of
from twofold.inspecting.events import ShownEvent, content_of, shown
from twofold.inspecting.inspection import Decoded, Inspection, decoded, read_through, version_of
from twofold.model import Deciding


class History(Struct, frozen=True, rename="camel"):
    """Events of a stream that is at `version`, in their order; `after` leads to the next page, None on the last."""

    stream: str
    category: str
    version: int
    events: Sequence[ShownEvent]
    after: int | None


class StateAt(Struct, frozen=True, rename="camel"):
    """The state of a thing after the event `version` of its stream.

    `known` says whether there is code that folds it. `trouble` is why the fold ended before the version that was
    asked for.
    """

    stream: str
    version: int
    known: bool
    state: Any
    trouble: str | None = None


async def history(inspection: Inspection, stream: str, *, after: int = 0, limit: int = 100) -> History:
    """The events of a stream with versions above `after`. A stream that is not there is at version 0."""
    version = await version_of(inspection.store, stream)
    if not version:
        return History(stream, category_of(stream), 0, [], None)
    events: list[ShownEvent] = []
    before: datetime | None = None
    first = max(after - 1, 0)  # the one before the page tells how long it was until its first
    async for event in read_through(inspection.store, stream, after=first, until=after + limit):
        at = event.recorded_at if isinstance(event, Recorded) else None
        gap = (at - before).total_seconds() if at is not None and before is not None else None
        before = at or before
        if event.version > after:
            events.append(shown(inspection, event, gap=gap))
    more = after + limit < version
    return History(stream, category_of(stream), version, events, after + limit if more else None)


async def state_at(inspection: Inspection, stream: str, version: int | None = None) -> StateAt:
    """The state after an event of the stream, or after the last one. Version 0 is the initial state."""
    deciding = decider_of(inspection, stream)
    if deciding is None:
        reached = await version_of(inspection.store, stream)
        return StateAt(stream, reached if version is None else min(version, reached), known=False, state=None)
    events, trouble = await decoded(inspection, stream, until=version)
    folded, trouble = fold(inspection, deciding, Decoded(events, trouble))
    return StateAt(stream, folded[0], known=True, state=content_of(inspection, folded[1]), trouble=trouble)


def decider_of(inspection: Inspection, stream: str) -> Deciding | None:
    """Who decides about the stream, where that is known."""
    return None if inspection.model is None else inspection.model.decides(stream)


def fold(inspection: Inspection, deciding: Deciding, events: Decoded) -> tuple[tuple[int, Any], str | None]:
    """The version and the state that events come to, and why they come no further."""
    decider = deciding.category.decider
    version, state = 0, decider.initial
    for event in events.events:
        try:
            state = decider.evolve(state, event.data)
        except Exception as error:  # the application's own fold: whatever it raises is what is to be shown
            return (version, state), f"version {event.version} stops the fold: {inspection.told(error)}"
        version = event.version
    return (version, state), events.trouble
