"""What operators did: each action is recorded in the log itself, before it is done and with what came of it.

They are events of a stream and a codec of their own, so no fold of the application sees them, and a copy of the log has
them too. Who asked is the actor of the message; the events of one action share its message.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from msgspec import Struct

from twofold.codec import Codec
from twofold.errors import EventUnknown, EventUnreadable, ProjectionFailed, TwofoldError
from twofold.events import OPERATORS, Recorded
from twofold.inspecting.inspection import read_through, version_of
from twofold.messages import Metadata, ids_of
from twofold.store import EventStore, Store

log = logging.getLogger("twofold.auditing")

STREAM = f"{OPERATORS}-actions"


class Actor(NamedTuple):
    """Who acts, as an audit names it, and by which way in: `console`, `api`, `terminal`."""

    name: str
    way: str


SOMEBODY = Actor("somebody", "code")
"""Who acts where a program does not say."""


class OperatorAsked(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An operator asked for this, of a projection, of one of its sequences, or of the event at a position."""

    what: str
    way: str
    projection: str | None = None
    sequence: str | None = None
    position: int | None = None
    reason: str | None = None


class OperatorSucceeded(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """It was done; `outcome` is more that is to be said of it."""

    outcome: str = ""


class OperatorFailed(Struct, frozen=True, rename="camel"):
    """It was not done, or not to its end: what kind of error stopped it, and what that says."""

    error: str
    text: str


OperatorEvent: TypeAlias = OperatorAsked | OperatorSucceeded | OperatorFailed

codec: Codec[OperatorEvent] = Codec(
    {
        "OperatorAsked": OperatorAsked,
        "OperatorSucceeded": OperatorSucceeded,
        "OperatorFailed": OperatorFailed,
    }
)


@dataclass
class Outcome:
    """What an action has come to, to be said by who does it."""

    text: str = ""


@asynccontextmanager
async def recorded(
    store: EventStore,
    actor: Actor,
    what: str,
    *,
    projection: str | None = None,
    sequence: str | None = None,
    position: int | None = None,
    reason: str | None = None,
) -> AsyncGenerator[Outcome]:
    """Record an action around doing it. What cannot be recorded is not done: raises what `append` raises.

    But where an inline view is stuck, and so nothing can be appended, an operator may act all the same: the log of the
    process tells it.
    """
    said = Metadata.new(actor=_text(actor.name))
    asked = OperatorAsked(
        what, actor.way, _known(projection), _known(sequence), position, reason if reason is None else _text(reason)
    )
    await _append(store, said, asked)
    outcome = Outcome()
    try:
        yield outcome
    except BaseException as error:  # also where it is cancelled: it may have been done by half
        try:
            await _append(store, said, OperatorFailed(type(error).__name__, _text(str(error))))
        except TwofoldError as trouble:
            log.error("%s by %s failed, and that could not be recorded: %s", what, actor.name, trouble)
        raise
    await _append(store, said, OperatorSucceeded(_text(outcome.text)))


async def _append(store: EventStore, said: Metadata, event: OperatorEvent) -> None:
    id = next(ids_of(said.message_id, type(event).__name__))
    try:
        await store.append(STREAM, [codec.encode(event, said, id)], expected=None)
    except ProjectionFailed as error:
        log.critical("an operator's action could not be recorded: %r by %s: %s", event, said.actor, error)


def _known(text: str | None) -> str | None:
    return None if text is None else _text(text)


def _text(text: str) -> str:
    """A text as every store can keep it."""
    return text.encode(errors="replace").decode()


# --- what was done ----------------------------------------------------------------------------------------------------


class Action(Struct, frozen=True, kw_only=True, rename="camel"):
    """What an operator did. `outcome` is null where it is still going on, or was broken off with its process.

    `trouble` says that the record itself cannot be read.
    """

    id: UUID | None
    version: int
    at: datetime | None
    who: str | None
    what: str
    way: str | None = None
    projection: str | None = None
    sequence: str | None = None
    position: int | None = None
    reason: str | None = None
    outcome: str | None = None
    failed: bool = False
    ended: datetime | None = None
    trouble: str | None = None


class Actions(Struct, frozen=True, rename="camel"):
    """Actions, the last one first; `before` leads to earlier ones. None where there are none."""

    actions: Sequence[Action]
    before: int | None


Ending: TypeAlias = tuple[Recorded[bytes], OperatorSucceeded | OperatorFailed]


async def actions(store: Store, *, before: int | None = None, limit: int = 100, personal: bool = True) -> Actions:
    """What operators did, from the end of the record or from before a version of its stream on, at most `limit`.

    Where what is `personal` is not to be seen, of an error only its kind is told: its text may quote an event.
    """
    version = await version_of(store, STREAM)
    end = version + 1 if before is None else max(1, min(before, version + 1))
    start = max(end - 1 - 2 * limit, 0)  # two events for each, as a rule
    found: list[tuple[Recorded[bytes], OperatorAsked] | Action] = []
    endings: dict[UUID, Ending] = {}
    async for stored in read_through(store, STREAM, after=start, until=end - 1):
        try:
            if isinstance(stored, EventUnreadable):
                raise stored
            event = codec.decode(stored).data
        except (EventUnknown, EventUnreadable) as error:
            found.append(Action(id=None, version=stored.version, at=None, who=None, what="?", trouble=str(error)))
            continue
        if isinstance(event, OperatorAsked):
            found.append((stored, event))
        else:
            endings[stored.metadata.message_id] = (stored, event)
    page = [
        each if isinstance(each, Action) else await _action(store, *each, endings, personal=personal)
        for each in reversed(found[-limit:])
    ]
    cut = page[-1].version if len(found) > limit else start + 1
    return Actions(page, cut if cut > 1 else None)


async def _action(
    store: Store, stored: Recorded[bytes], asked: OperatorAsked, endings: dict[UUID, Ending], *, personal: bool
) -> Action:
    id = stored.metadata.message_id
    ending = endings.get(id) or await _ending(store, id)
    outcome, failed = None, False
    if ending is not None:
        event = ending[1]
        failed = isinstance(event, OperatorFailed)
        if isinstance(event, OperatorFailed):
            outcome = f"{event.error}: {event.text}" if personal else event.error
        else:
            outcome = event.outcome
    return Action(
        id=id,
        version=stored.version,
        at=stored.recorded_at,
        who=stored.metadata.actor,
        what=asked.what,
        way=asked.way,
        projection=asked.projection,
        sequence=asked.sequence,
        position=asked.position,
        reason=asked.reason,
        outcome=outcome,
        failed=failed,
        ended=None if ending is None else ending[0].recorded_at,
    )


async def _ending(store: Store, id: UUID) -> Ending | None:
    """How an action ended that others began behind."""
    try:
        async for stored in store.of_message(id):
            event = codec.decode(stored).data if stored.stream == STREAM else None
            if isinstance(event, OperatorSucceeded | OperatorFailed):
                return stored, event
    except (EventUnknown, EventUnreadable):
        return None
    return None
