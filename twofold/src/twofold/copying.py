"""A log moved from one store to another, each event as it is there, and the two logs compared.

What is derived does not come along: views are folded anew where the copy is opened, and snapshots are made again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import NamedTuple

from twofold.adoption import check_events
from twofold.errors import AdoptionRefused, CopyRefused
from twofold.events import Recorded
from twofold.store import EventStore, Progress

PAGE = 1_000  # events adopted in one transaction
PAGE_BYTES = 8 * 2**20  # of their data; the last event of a page may exceed it
FIELDS = ("position", "stream", "version", "id", "type", "schema", "data", "metadata", "recorded_at")  # of an event

OnProgress = Callable[[Progress], None]


class Copied(NamedTuple):
    """How many events a copy brought over, and the position up to which both logs now go."""

    events: int
    position: int


class Difference(NamedTuple):
    """The first place at which two logs differ, and in which fields; None where one of them has no event."""

    position: int
    source: Recorded[bytes] | None
    target: Recorded[bytes] | None
    fields: Sequence[str]


async def copy(source: EventStore, target: EventStore, on_progress: OnProgress) -> Copied:
    """Bring the target from where it is up to the head that the source has now.

    What was copied before is not copied again, so a copy that broke off goes on where it was. The source may be
    written meanwhile; what comes in after the beginning is left to the next copy.

    Raises CopyRefused where the target is the source or holds what the source does not, AdoptionRefused where it
    cannot take an event, EventCorrupt where an event is not what was written.
    """
    last = await source.head()
    reached = await _check_prefix(source, target)
    copied = 0
    on_progress(Progress(reached, last))
    async for page in _pages(source, after=reached, until=last):
        try:
            await target.adopt(page)
        except ValueError as error:
            raise AdoptionRefused(_refusal(page, error)) from error
        copied += len(page)
        reached = page[-1].position
        on_progress(Progress(reached, last))
    return Copied(copied, reached)


async def _check_prefix(source: EventStore, target: EventStore) -> int:
    """The head of the target, once it is sure that its log is the beginning of the source's."""
    if source.id == target.id:
        raise CopyRefused("both are the same log; copy into another store")
    head = await target.head()
    async for last in target.read_all(after=head - 1, limit=1):
        found = await source.find(last.id)
        if found is None or found.position != last.position:
            raise CopyRefused(
                f"the store to copy into has events that are not in the other, at least the last one (version "
                f"{last.version} of {last.stream}, position {last.position}); copy into a new store"
            )
    return head


async def _pages(log: EventStore, *, after: int, until: int) -> AsyncGenerator[list[Recorded[bytes]]]:
    page, size = list[Recorded[bytes]](), 0
    async for recorded in log.read_all(after=after):
        if recorded.position > until:
            break
        page.append(recorded)
        size += len(recorded.data)
        if len(page) == PAGE or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _refusal(page: Sequence[Recorded[bytes]], error: ValueError) -> str:
    for event in page:
        try:
            check_events([event])
        except ValueError as own:
            return f"version {event.version} of {event.stream} cannot be kept there: {own}"
    return str(error)


async def compare(
    source: EventStore, target: EventStore, *, until: int, on_progress: OnProgress
) -> tuple[int, Difference | None]:
    """How many events the logs share up to a position, and where they first differ, if they do."""
    same = 0
    theirs = target.read_all()
    async for mine in source.read_all():
        if mine.position > until:
            break
        other = await anext(theirs, None)
        if other != mine:
            return same, _difference(mine, other)
        same += 1
        if same % PAGE == 0:
            on_progress(Progress(mine.position, until))
    on_progress(Progress(until, until))
    more = await _next_until(theirs, until)
    return same, None if more is None else _difference(None, more)


async def _next_until(log: AsyncIterator[Recorded[bytes]], until: int) -> Recorded[bytes] | None:
    recorded = await anext(log, None)
    return None if recorded is None or recorded.position > until else recorded


def _difference(source: Recorded[bytes] | None, target: Recorded[bytes] | None) -> Difference:
    positions = [event.position for event in (source, target) if event is not None]
    if source is None or target is None:
        return Difference(min(positions), source, target, ())
    fields = [name for name in FIELDS if getattr(source, name) != getattr(target, name)]
    return Difference(min(positions), source, target, fields)
