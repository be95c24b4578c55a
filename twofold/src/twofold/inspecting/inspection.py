"""What is looked into, and how its events are read where some of them cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from twofold.codec import Codec
from twofold.errors import EventCorrupt, EventUnknown, EventUnreadable, TwofoldError
from twofold.events import Recorded
from twofold.model import Model
from twofold.store import LARGEST, Store
from twofold.views import Views

FOLDED = 20_000
"""The most events of one stream that are folded to show a state."""


@dataclass(frozen=True)
class Inspection:
    """A store, and what is known of its application. Without `personal`, fields that are marked personal are masked."""

    store: Store
    model: Model | None = None
    views: Views | None = None
    personal: bool = True

    def told(self, error: Exception) -> str:
        """What is wrong. An error may quote what is personal: where that is masked, only its kind is told."""
        if self.personal or isinstance(error, EventCorrupt | EventUnknown):  # these have names and numbers only
            return str(error) if isinstance(error, TwofoldError) else f"{type(error).__name__}: {error}"
        return type(error).__name__

    def codec(self, stream: str) -> Codec[Any] | None:
        """What reads the events of this stream, where that is known."""
        return None if self.model is None else self.model.codec(stream)


class Decoded(NamedTuple):
    """The first events of a stream, decoded, up to one that cannot be; `trouble` says why there are no more."""

    events: list[Recorded[Any]]
    trouble: str | None


async def decoded(inspection: Inspection, stream: str, *, until: int | None = None) -> Decoded:
    """The events of a stream up to a version, as the application knows them; at most `FOLDED`."""
    codec = inspection.codec(stream)
    if codec is None:
        return Decoded([], "nothing is known of the streams of this category")
    events: list[Recorded[Any]] = []
    last = FOLDED if until is None else min(until, FOLDED)
    try:
        async for recorded in inspection.store.read(stream, until=last):
            events.append(codec.decode(recorded))  # noqa: PERF401 - those before one that cannot be are kept
    except (EventUnknown, EventUnreadable) as error:
        return Decoded(events, f"version {len(events) + 1} stops the fold: {inspection.told(error)}")
    longer = last == FOLDED and len(events) == FOLDED and (until is None or until > FOLDED)
    if longer and await exists(inspection.store, stream, FOLDED + 1):
        return Decoded(events, f"only the first {FOLDED} events are folded here")
    return Decoded(events, None)


async def read_through(
    store: Store, stream: str, *, after: int = 0, until: int | None = None
) -> AsyncIterator[Recorded[bytes] | EventUnreadable]:
    """The events of a stream; in the place of one that is damaged, the error that says so."""
    while True:
        try:
            async for recorded in store.read(stream, after=after, until=until):
                yield recorded
                after = recorded.version
        except EventUnreadable as error:
            yield error
            after = max(after + 1, error.version)
        else:
            return


async def read_back_through(
    store: Store, *, before: int | None, limit: int
) -> AsyncIterator[Recorded[bytes] | EventCorrupt]:
    """The log from its end; in the place of an event that is damaged, the error that says so."""
    while limit > 0:
        try:
            async for recorded in store.read_back(before=before, limit=limit):
                yield recorded
                before, limit = recorded.position, limit - 1
        except EventCorrupt as error:
            yield error
            before, limit = error.position, limit - 1
        else:
            return


async def exists(store: Store, stream: str, version: int) -> bool:
    """Whether the stream has come to this version. One with a NUL in its name has come to none: no store has it."""
    if "\0" in stream:
        return False
    try:
        async for _ in store.read(stream, after=version - 1, until=version):
            return True
    except EventUnreadable:
        return True
    return False


async def version_of(store: Store, stream: str) -> int:
    """The version that a stream is at, 0 if there is none: by a few short reads, however long it is."""
    high = 1
    while high < LARGEST and await exists(store, stream, high):
        high = min(high * 2, LARGEST)
    low = high // 2  # it is there, or 0
    while high - low > 1:
        middle = (low + high) // 2
        if await exists(store, stream, middle):
            low = middle
        else:
            high = middle
    return low
