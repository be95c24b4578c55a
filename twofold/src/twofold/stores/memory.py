"""A store in memory, for tests and first steps: every promise of a store but the durable one.

The log is a list (`memory_log`). Views, which are SQL tables, live in a private SQLite database in memory; since
nothing here waits, each append with its inline views is atomic by running to its end on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from twofold.adoption import answers, check_events, check_fit
from twofold.errors import Conflict, EventIdTaken, IdempotencyKeyReused, StoreClosed, StoreRefused
from twofold.events import NewEvent, Receipt, Recorded, microseconds
from twofold.messages import Idempotency
from twofold.sql import Fetch, Fold, Row, Work
from twofold.statistics import AppendStatistics
from twofold.store import (
    Moment,
    Progress,
    Remembered,
    Snapshot,
    bounded,
    check_append,
    check_names,
    without_checkpoint,
)
from twofold.stores.memory_log import MemoryLog
from twofold.stores.rows import recorded_of
from twofold.stores.sqlite.driver import Connection, translated
from twofold.stores.sqlite.work import drive, drive_fold

T = TypeVar("T")


class MemoryStore(MemoryLog):
    """A `Store` that forgets all when it is closed. Use it as an asynchronous context manager, on one event loop."""

    def __init__(self) -> None:
        self.statistics = AppendStatistics()
        self._forget()

    def _forget(self) -> None:
        self._empty()
        self._answers: dict[str, Remembered] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._folds: dict[str, Fold] = {}
        self._checkpoints: dict[str, int] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._views: Connection | None = None

    async def __aenter__(self) -> Self:
        if self._views is not None:
            raise StoreRefused("the store is open already")
        views = Connection(":memory:")
        for script in ("schema_2.sql", "schema_4.sql"):  # subscriptions keep theirs here, and the log has an id
            views.run_script(script)
        self._id: UUID = UUID(bytes=views.get("select id from log"))
        self._views = views
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        waiting = self._waiting
        self._forget()
        for woken in waiting:  # they hear that the store is closed
            if not woken.done():
                woken.set_result(None)

    @property
    def dialect(self) -> str:
        """See ViewStore.dialect."""
        return "sqlite"

    @property
    def _open(self) -> Connection:
        if self._views is None:
            raise StoreClosed("the store is not open")
        return self._views

    def _check_open(self) -> None:
        _ = self._open

    async def check(self) -> None:
        """See Store.check."""
        _ = self._open

    # --- the log ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> UUID:
        """See EventStore.id."""
        self._check_open()
        return self._id

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        """See EventStore.append."""
        return await self.statistics.append(self._append(stream, events, expected, idempotency), len(events))

    async def _append(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, idempotency: Idempotency | None
    ) -> Receipt:
        self._check_open()
        check_append(stream, events, idempotency)
        if idempotency is not None and idempotency.key in self._answers:
            return self._answers[idempotency.key].answer(idempotency)
        if any(event.id in self._ids for event in events):
            return self._repeated(stream, events)
        version = len(self._streams.get(stream, ()))
        if expected is not None and expected != version:
            raise Conflict(stream, expected, version)
        added = self._recorded(stream, version, events)
        self._run_folds(added)
        self._keep(added)
        stored = self._streams.get(stream)
        receipt = Receipt(stream, version + len(added), stored[-1].position if stored else 0)
        if idempotency is not None:
            self._answers[idempotency.key] = Remembered(idempotency, receipt, None)
        self._wake()
        return receipt

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        """See EventStore.adopt."""
        self._check_open()
        check_events(events)
        check_fit(events, self._head, {stream: len(stored) for stream, stored in self._streams.items()})
        for event in events:
            if event.id in self._ids:
                raise EventIdTaken(event.stream)
        for answered in answers(events, self._log[-1] if self._log else None):
            key = answered.answer.idempotency.key
            if answered.replaces(self._answers.get(key)):
                self._answers[key] = answered.answer
        self._keep(events)
        self._wake()

    def _repeated(self, stream: str, events: Sequence[NewEvent]) -> Receipt:
        found = [self._ids.get(event.id) for event in events]
        first = found[0]
        for offset, event in enumerate(found):
            if first is None or event is None or (event.stream, event.version) != (stream, first.version + offset):
                raise EventIdTaken(stream)
        last = self._ids[events[-1].id]
        return Receipt(stream, last.version, last.position, repeated=True)

    def _recorded(self, stream: str, version: int, events: Sequence[NewEvent]) -> list[Recorded[bytes]]:
        if len({event.id for event in events}) < len(events):
            raise EventIdTaken(stream)
        return recorded_of(events, stream, version, self._head, microseconds(datetime.now(UTC)))

    async def wait_appended(self, *, after: int) -> None:
        """See EventStore.wait_appended."""
        while await self.head() <= bounded(after):
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(woken)
            try:
                await woken
            finally:
                self._waiting.discard(woken)

    def _wake(self) -> None:
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    # --- answers and snapshots --------------------------------------------------------------------------------------

    async def recall(self, key: str) -> Remembered | None:
        """See IdempotencyStore.recall."""
        self._check_open()
        check_names(key)
        return self._answers.get(key)

    async def refuse(self, idempotency: Idempotency, refusal: bytes) -> Remembered:
        """See IdempotencyStore.refuse."""
        self._check_open()
        check_names(idempotency.key, idempotency.fingerprint)
        known = self._answers.setdefault(idempotency.key, Remembered(idempotency, None, refusal))
        if known.idempotency.fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReused(idempotency.key)
        return known

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """See SnapshotStore.load_snapshot."""
        self._check_open()
        check_names(stream)
        return self._snapshots.get(stream)

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
        """See SnapshotStore.save_snapshot."""
        self._check_open()
        check_names(stream)
        known = self._snapshots.get(stream)
        if known is None or snapshot.version >= known.version:
            self._snapshots[stream] = snapshot

    # --- views ------------------------------------------------------------------------------------------------------

    def attach(self, name: str, fold: Fold) -> None:
        """See ViewStore.attach."""
        self._check_open()
        self._folds[name] = fold

    def _run_folds(self, added: Sequence[Recorded[bytes]]) -> None:
        if not added or not self._folds:
            return
        connection = self._open
        with translated(), connection.transaction():  # one for all
            for name, fold in self._folds.items():
                if name not in self._checkpoints:
                    raise without_checkpoint(name)
                drive_fold(connection, name, fold, [*self._next(self._checkpoints[name]), *added])
        self._checkpoints.update(dict.fromkeys(self._folds, added[-1].position))

    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        """See ViewStore.advance."""
        self._check_open()
        events, reached = self._missed(name, limit)
        if events:
            with translated(), self._open.transaction():
                drive_fold(self._open, name, fold, events)
        self._checkpoints[name] = reached
        return Progress(reached, self._head)

    def _missed(self, name: str, limit: int) -> tuple[list[Recorded[bytes]], int]:
        """The next events after a fold's checkpoint, and the position that they bring it to."""
        if name not in self._checkpoints:
            raise without_checkpoint(name)
        reached = self._checkpoints[name]
        events = self._next(reached, bounded(limit))
        return events, events[-1].position if events else reached

    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        """See ViewStore.reset."""
        self._check_open()
        if not only_new or name not in self._checkpoints:
            await self.work(work)
            self._checkpoints[name] = 0

    async def replace_checkpoint(self, name: str, work: Callable[[int | None], Work[int | None]]) -> None:
        """See ViewStore.replace_checkpoint."""
        self._check_open()
        position = await self.work(lambda: work(self._checkpoints.get(name)))
        if position is None:
            self._checkpoints.pop(name, None)
        else:
            self._checkpoints[name] = position

    async def promote(
        self, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int = 1000
    ) -> Progress:
        """See ViewStore.promote."""
        self._check_open()
        events, reached = self._missed(name, limit)
        done = reached == self._head
        with translated(), self._open.transaction():
            if events:
                drive_fold(self._open, name, fold, events)
            if done:
                drive(self._open, swap())
        self._checkpoints[name] = reached
        if done:
            del self._checkpoints[name]
            self._checkpoints[to] = reached
        return Progress(reached, self._head)

    async def checkpoint(self, name: str) -> int | None:
        """See ViewStore.checkpoint."""
        self._check_open()
        return self._checkpoints.get(name)

    async def work(self, work: Callable[[], Work[T]]) -> T:
        """See ViewStore.work."""
        with translated(), self._open.transaction():
            return drive(self._open, work())

    async def rows(self, query: Fetch) -> list[Row]:
        """See ViewStore.rows."""
        with translated():
            return self._open.rows(*query)

    async def scan(self, query: Fetch) -> list[Row]:
        """See ViewStore.scan."""
        return await self.rows(query)

    @asynccontextmanager
    async def moment(self) -> AsyncGenerator[Moment]:
        """See ViewStore.moment: a copy of the views."""
        copy = self._open.copy()
        try:
            yield MemoryMoment(copy, dict(self._checkpoints))
        finally:
            copy.close()


class MemoryMoment:
    """A `Moment`: a copy."""

    def __init__(self, connection: Connection, checkpoints: Mapping[str, int]) -> None:
        self._connection = connection
        self._checkpoints = checkpoints

    async def checkpoint(self, name: str) -> int | None:
        """See Moment.checkpoint."""
        return self._checkpoints.get(name)

    async def scan(self, query: Fetch) -> list[Row]:
        """See Moment.scan."""
        with translated():
            return self._connection.rows(*query)
