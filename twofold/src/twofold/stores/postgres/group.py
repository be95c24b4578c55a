"""Appends that are committed together: as the arguments of the function in the database, and what it answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeAlias
from uuid import UUID

from twofold.errors import Conflict, EventIdTaken, StatementFailed, TwofoldError
from twofold.events import NewEvent, Receipt, Recorded, microseconds
from twofold.messages import Idempotency
from twofold.sql import Row
from twofold.store import Remembered, bounded
from twofold.stores.postgres import rows as sql
from twofold.stores.postgres.driver import Connection, Overtaken, is_duplicate
from twofold.stores.rows import recorded_of, row_of

NOWHERE = -1  # a version that no stream is at


@dataclass(frozen=True, eq=False)
class Append:
    """An append that waits, and the future that its caller awaits."""

    stream: str
    events: Sequence[NewEvent]
    expected: int | None
    idempotency: Idempotency | None
    outcome: asyncio.Future[Receipt]

    @property
    def message_id(self) -> UUID | None:
        """The message that led to it."""
        return self.events[0].metadata.message_id if self.events else None

    @cached_property
    def marks(self) -> frozenset[object]:
        """What no two appends of a group may share."""
        keys = () if self.idempotency is None else (("key", self.idempotency.key),)
        return frozenset((("stream", self.stream), *keys, *(event.id for event in self.events)))


Outcome: TypeAlias = tuple[Append, Receipt | Exception]


class Group:
    """Appends of which no two share a mark."""

    def __init__(self, appends: Sequence[Append], at: datetime) -> None:
        self._stored: list[tuple[Append, int, int]] = []
        self._appends = appends
        self._at = microseconds(at)
        self._versions: Mapping[str, int | None] = {}
        self.anywhere = [append.stream for append in appends if append.expected is None]
        """The streams of those that go wherever their stream is."""

    def expect(self, versions: Mapping[str, int | None]) -> None:
        """Say where the streams of `anywhere` are, and stay until the transaction ends."""
        self._versions = versions

    def _expected(self, append: Append) -> int:
        if append.expected is None:
            return self._versions[append.stream] or 0
        return append.expected if append.expected == bounded(append.expected) else NOWHERE

    async def ask(self, connection: Connection, lock: int) -> list[Row]:
        """Have them stored in the transaction that is open, or else in one of its own; what became of each."""
        owners: list[int] = []
        numbers: list[int] = []
        events: list[Row] = []
        asked: list[Row] = []
        for owner, append in enumerate(self._appends, start=1):
            expected, asking = self._expected(append), append.idempotency
            key = (None, None) if asking is None else (asking.key, asking.fingerprint)
            size = len(append.events)
            doubled = size > 1 and len({event.id for event in append.events}) < size
            asked.append((append.stream, expected, size, doubled or None, *key))
            owners += [owner] * size
            numbers += range(1, size + 1)
            recorded = recorded_of(append.events, append.stream, max(expected, 0), 0, self._at)
            events += (row_of(event, new.metadata) for event, new in zip(recorded, append.events, strict=True))
        columns = list(zip(*events, strict=True)) or [()] * 11
        streams, expecteds, sizes, *rare = zip(*asked, strict=True)
        ids = [event.id for append in self._appends for event in append.events]
        arguments = (
            lock,
            self._at,
            streams,
            expecteds,
            sizes,
            *map(_unless_null, rare),
            owners,
            numbers,
            ids,
            *columns[4:8],
            columns[9],
            _unless_null(columns[10]),
        )
        try:
            return await connection.answer(sql.APPEND, arguments)
        except StatementFailed as error:
            if is_duplicate(error):  # a request was refused at this moment: now its key is known
                raise Overtaken(str(error)) from error
            raise

    @property
    def reached(self) -> int:
        """The position of the last event that was stored; 0 if none was."""
        return self._stored[-1][2] if self._stored else 0

    def stored(self) -> list[Recorded[bytes]]:
        """The events that were stored, as they will be read."""
        return [
            event
            for append, version, position in self._stored
            for event in recorded_of(
                append.events, append.stream, version - len(append.events), position - len(append.events), self._at
            )
        ]

    def judged(self, rows: Sequence[Row]) -> list[Outcome]:
        """What the answers mean to those who wait."""
        return [(append, self._outcome(append, row)) for append, row in zip(self._appends, rows, strict=True)]

    def _outcome(self, append: Append, row: Row) -> Receipt | Exception:
        fate, version, position, fingerprint, stream, refusal = row
        match fate:
            case "stored":
                self._stored.append((append, version, position))
                return Receipt(append.stream, version, position)
            case "repeated":
                return Receipt(append.stream, version, position, repeated=True)
            case "conflict":
                return Conflict(append.stream, NOWHERE if append.expected is None else append.expected, version)
            case "known" if append.idempotency is not None:
                receipt = None if stream is None else Receipt(stream, version, position)
                known = Remembered(Idempotency(append.idempotency.key, fingerprint), receipt, refusal)
                try:
                    return known.answer(append.idempotency)
                except TwofoldError as refused:
                    return refused
            case _:
                return EventIdTaken(append.stream)


def _unless_null(column: Sequence[object]) -> Sequence[object]:
    """The column, empty where it has nothing but nulls: with those the server fills up, and an array costs."""
    return () if column.count(None) == len(column) else column
