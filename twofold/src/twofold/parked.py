"""Parked letters: the events that a subscription could not pass, and all later ones of their sequences.

A letter is a reference into the log, never a copy: a retry reads the event anew, through today's codec and upcasts,
and folds it with today's code. The letters of a sequence are drained in order; other sequences never wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa

from twofold.claims import microseconds
from twofold.errors import EventUnreadable
from twofold.events import Recorded
from twofold.letters import (
    BEHIND,
    COUNT,
    LETTERS,
    POSITIONS,
    RETRY_SECONDS,
    SEQUENCES_LIMIT,
    Letter,
    Letters,
    of_part,
    parked,
    waiting,
)
from twofold.sequences import Failure, Failures, Part, Subscriber, is_poison, partition_of, stream_sequence
from twofold.sql import Work
from twofold.store import EventStore, Store

__all__ = ["BEHIND", "RETRY_SECONDS", "SEQUENCES_LIMIT", "Drained", "Letter", "Parked", "event_at"]

DRAINED = 100  # letters folded in one transaction

_others = parked.alias("others")
_first = (  # of its sequence; a later one may have a time from when it was the first
    sa.select(sa.func.min(_others.c.position))
    .where(
        _others.c.name == parked.c.name,
        _others.c.partition == parked.c.partition,
        _others.c.sequence == parked.c.sequence,
        _others.c.skipped.is_(None),
    )
    .scalar_subquery()
)
_DUE = (
    sa.select(parked.c.sequence, parked.c.retry_at)
    .where(of_part, waiting, parked.c.retry_at.is_not(None), parked.c.position == _first)
    .order_by(parked.c.retry_at)
    .limit(DRAINED)
)
_LEFT = sa.select(sa.func.count()).where(of_part, parked.c.sequence == sa.bindparam("b_sequence"), waiting)


class Drained(NamedTuple):
    """What a retry came to: how many letters were folded, how many are left, and why."""

    folded: int
    left: int
    error: str | None


class _Moved(Exception):
    """The letters are not those that were read: somebody else has drained some."""


class Parked(Letters):
    """The letters of all subscriptions of a store, for whoever asks."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.dialect)
        self._store = store

    async def letters(self, name: str) -> list[Letter]:
        """All letters of a subscription, by sequence and position."""
        return [Letter(*row) for row in await self._store.scan(self._claims.query(LETTERS, b_name=name))]

    async def count(self, name: str) -> tuple[int, int]:
        """How many letters wait, and of how many sequences."""
        letters, sequences = (await self._store.scan(self._claims.query(COUNT, b_name=name)))[0]
        return letters, sequences

    async def due(self, name: str, partition: int) -> tuple[list[str], float | None]:
        """The sequences whose next attempt is due, and in how many seconds the next one is; None if there is none."""
        now = microseconds()
        rows = await self._store.rows(self._claims.query(_DUE, b_name=name, b_partition=partition))
        later = [retry_at - now for _, retry_at in rows if retry_at > now]
        return [sequence for sequence, retry_at in rows if retry_at <= now], min(later) / 1e6 if later else None

    async def retry(self, subscriber: Subscriber, partition: int, sequence: str, *, batches: int = -1) -> Drained:
        """Fold the letters of a sequence, in order, until one fails again, none is left, or so many batches are done.

        Each transaction locks the part that the sequence is of, so whoever runs it meanwhile waits its turn.
        """
        folded = 0
        while batches:
            positions = await self._positions(subscriber.name, partition, sequence)
            if not positions:
                break
            try:
                done, failure = await self._batch(subscriber, partition, sequence, positions)
            except _Moved:
                continue
            folded += done
            batches -= 1
            if failure is not None:
                return Drained(folded, await self._left(subscriber.name, partition, sequence), failure.error)
        return Drained(folded, await self._left(subscriber.name, partition, sequence), None)

    async def _batch(
        self, subscriber: Subscriber, partition: int, sequence: str, positions: Sequence[int]
    ) -> tuple[int, Failure | None]:
        """Fold the next letters in one transaction; answers how many were folded, and what the next failed with."""
        events: list[Recorded[bytes]] = []
        for position in positions:
            try:
                events.append(await event_at(self._store, position))
            except (EventUnreadable, LookupError) as error:
                if events:
                    break  # what stands before it can be folded
                failure = Failure.of(position, error)
                return 0, await self._store.work(partial(self._note, subscriber, partition, sequence, failure))
        return await self._fold(subscriber, partition, sequence, events)

    async def _fold(
        self, subscriber: Subscriber, partition: int, sequence: str, events: Sequence[Recorded[bytes]]
    ) -> tuple[int, Failure | None]:
        """Fold letters in one transaction, and if that cannot be laid to one of them, the first by itself."""
        try:
            return await self._store.work(partial(self._attempt, subscriber, partition, sequence, events))
        except Exception as error:
            if isinstance(error, _Moved) or not is_poison(error):
                raise
            failure = Failure.of(events[0].position, error)
        if len(events) > 1:
            return await self._fold(subscriber, partition, sequence, events[:1])
        return 0, await self._store.work(partial(self._note, subscriber, partition, sequence, failure))

    def _attempt(
        self, subscriber: Subscriber, partition: int, sequence: str, events: Sequence[Recorded[bytes]]
    ) -> Work[tuple[int, Failure | None]]:
        name, positions = subscriber.name, [event.position for event in events]
        yield from self._claims.lock_part(name, partition)
        key = {"b_name": name, "b_partition": partition, "b_sequence": sequence}
        rows = yield from self._claims.fetch(POSITIONS, **key, b_limit=len(positions))
        if [row[0] for row in rows] != positions:
            raise _Moved
        if all(sequence == stream_sequence(event.stream) for event in events):
            first = yield from self._fold_stream(subscriber, partition, sequence, events)
        else:
            failures: Failures = {}
            parts = [part for event in events for part in subscriber.parts(event) if part.sequence == sequence]
            yield from subscriber.fold(parts, failures)
            first = failures.get(sequence)
        folded = [position for position in positions if first is None or position < first.position]
        yield from self.drained(name, partition, sequence, folded)
        if first is not None:
            yield from self.failed(name, partition, sequence, first)
        return len(folded), first

    def _fold_stream(
        self, subscriber: Subscriber, partition: int, sequence: str, events: Sequence[Recorded[bytes]]
    ) -> Work[Failure | None]:
        """Fold what a stream has been waiting with, up to the first event that still cannot be read.

        What can be read goes on by its own sequences: it waits where they are parked, and is parked where they fail.
        """
        partitions = len((yield from self._claims.parts(subscriber.name)))
        parts: list[Part] = []
        unreadable: Failure | None = None
        for event in events:
            try:
                parts += [
                    part for part in subscriber.parts(event) if partition_of(part.sequence, partitions) == partition
                ]
            except Exception as error:
                unreadable = Failure.of(event.position, error)
                break
        yield from self.fold(subscriber, partition, parts, {}, draining=sequence)
        return unreadable

    def _note(self, subscriber: Subscriber, partition: int, sequence: str, failure: Failure) -> Work[Failure]:
        yield from self._claims.lock_part(subscriber.name, partition)
        yield from self.failed(subscriber.name, partition, sequence, failure)
        return failure

    async def _positions(self, name: str, partition: int, sequence: str) -> list[int]:
        key = {"b_name": name, "b_partition": partition, "b_sequence": sequence}
        return [row[0] for row in await self._store.rows(self._claims.query(POSITIONS, **key, b_limit=DRAINED))]

    async def _left(self, name: str, partition: int, sequence: str) -> int:
        key = {"b_name": name, "b_partition": partition, "b_sequence": sequence}
        left: int = (await self._store.scan(self._claims.query(_LEFT, **key)))[0][0]
        return left

    async def skip(self, letter: Letter, reason: str) -> None:
        """Leave the first letter of its sequence out, for a reason; the next is tried soon.

        Raises LetterUnknown, and LetterRefused if it is not the first that waits.
        """
        await self._store.work(partial(self.leave_out, letter, reason))

    async def undo_skip(self, letter: Letter) -> None:
        """Take a skipped letter back into its sequence, which is parked again.

        Raises LetterUnknown, LetterRefused if it is not skipped, SkipOvertaken if later events of its sequence were
        folded since: the letter would come out of order, and only a rebuild can bring it in.
        """
        await self._store.work(partial(self.take_back, letter))


async def event_at(store: EventStore, position: int) -> Recorded[bytes]:
    """The event at a position, which must be there."""
    async for recorded in store.read_all(after=position - 1, limit=1):
        if recorded.position == position:
            return recorded
    raise LookupError(f"the log has no event at position {position}")
