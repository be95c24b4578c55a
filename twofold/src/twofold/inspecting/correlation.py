"""What came of one request: its messages and their events, as a tree, with the time that passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from twofold.errors import EventCorrupt
from twofold.events import Recorded
from twofold.inspecting.events import ShownEvent, shown
from twofold.inspecting.inspection import Inspection

MOST = 1_000
"""Events of one correlation that are shown."""


class ShownMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """A message, and the events that it led to. Its cause is a message, or an event of one, `depth` steps from a root.

    `seconds` is how long after the message that it came of it was said. Of a cause outside the correlation nothing but
    its id is known.
    """

    id: UUID
    cause: UUID | None
    parent: UUID | None
    depth: int
    actor: str | None
    at: datetime
    seconds: float | None
    events: Sequence[ShownEvent]


class Correlated(Struct, frozen=True, kw_only=True, rename="camel"):
    """All that is known of a correlation, each message behind the one it came of. `streams` in order of appearance.

    `after` leads to the events that are not shown; None where all are.
    """

    id: UUID
    messages: Sequence[ShownMessage]
    streams: Sequence[str]
    events: int
    seconds: float
    after: int | None
    troubles: Sequence[str]


async def correlation(inspection: Inspection, id: UUID, *, after: int = 0, limit: int = MOST) -> Correlated:
    """The tree of a correlation, up to `limit` events behind a position. Of an unknown one it is empty."""
    events: list[Recorded[bytes]] = []
    troubles: list[str] = []
    more: int | None = None
    while more is None:
        try:
            async for recorded in inspection.store.correlated(id, after=after, limit=limit + 1 - len(events)):
                if len(events) == limit:
                    more = events[-1].position
                    break
                events.append(recorded)
                after = recorded.position
        except EventCorrupt as error:
            troubles.append(str(error))
            after = error.position
        else:
            break
    times = [event.recorded_at for event in events]
    return Correlated(
        id=id,
        messages=list(_tree(inspection, events)),
        streams=list(dict.fromkeys(event.stream for event in events)),
        events=len(events),
        seconds=(max(times) - min(times)).total_seconds() if times else 0.0,
        after=more,
        troubles=troubles,
    )


def _tree(inspection: Inspection, events: Sequence[Recorded[bytes]]) -> Iterator[ShownMessage]:
    """The messages, depth first. A circle of causes, which nobody should say, is cut where it is entered."""
    by_message: dict[UUID, list[Recorded[bytes]]] = {}
    for event in events:
        by_message.setdefault(event.metadata.message_id, []).append(event)
    message_of = {event.id: event.metadata.message_id for event in events}
    parents: dict[UUID, UUID | None] = {}
    for id, own in by_message.items():
        cause = own[0].metadata.causation_id
        parent = cause if cause in by_message else message_of.get(cause) if cause is not None else None
        parents[id] = None if parent == id else parent
    children: dict[UUID | None, list[UUID]] = {}
    for id, parent in parents.items():
        children.setdefault(parent, []).append(id)
    left = dict.fromkeys(by_message)
    while left:
        roots = [id for id in children.get(None, ()) if id in left] or [next(iter(left))]
        waiting = [(id, 0) for id in reversed(roots)]
        while waiting:
            id, depth = waiting.pop()
            if id not in left:
                continue
            del left[id]
            yield _shown(inspection, by_message, id, parents[id], depth)
            waiting += [(child, depth + 1) for child in reversed(children.get(id, []))]


def _shown(
    inspection: Inspection,
    by_message: dict[UUID, list[Recorded[bytes]]],
    id: UUID,
    parent: UUID | None,
    depth: int,
) -> ShownMessage:
    said = by_message[id][0].metadata
    before = None if parent is None else by_message[parent][0].metadata.at
    return ShownMessage(
        id=id,
        cause=said.causation_id,
        parent=parent,
        depth=depth,
        actor=said.actor,
        at=said.at,
        seconds=None if before is None else (said.at - before).total_seconds(),
        events=[shown(inspection, event) for event in by_message[id]],
    )
