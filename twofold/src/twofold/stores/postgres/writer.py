"""Group commit: one task writes, and sends together what waits together.

A round trip and an fsync are what an append costs, so one of each serves all that arrived while the one before it ran.
Each append stands or falls alone all the same: the function in the database judges each by itself, and where a fold
raises, the group is halved until the append at fault stands alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter

from twofold.errors import (
    OutcomeUnknown,
    ProjectionFailed,
    StoreBusy,
    StoreClosed,
    StoreUnavailable,
)
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fold
from twofold.statistics import AppendStatistics
from twofold.store import without_checkpoint
from twofold.stores.postgres import jobs
from twofold.stores.postgres import rows as sql
from twofold.stores.postgres.driver import Connection, Disconnected
from twofold.stores.postgres.group import Append, Group, Outcome
from twofold.stores.postgres.limits import WRITE
from twofold.stores.postgres.pool import opened, retried

log = logging.getLogger("twofold.postgres")

GROUP_LIMIT = 512  # appends in one commit: bounds the time that the first of them waits
GROUP_BYTES = 8 * 2**20  # of data, after which a group takes no more
CATCH_UP = 1_000  # events that a fold may have missed before it is caught up in transactions of its own
WAITING_LIMIT = 20_000  # appends that may wait; more are refused at once


class _FarBehind(StoreBusy):
    """A fold has missed more than one transaction should take; busy, to a caller, where others stay that far ahead."""


class Writer:
    """The task that owns the writing connection."""

    def __init__(
        self,
        url: str,
        lock: int,
        connection: Connection,
        on_commit: Callable[[int], None],
        statistics: AppendStatistics,
    ) -> None:
        """`on_commit` is called after each commit of events, with the position of the last one."""
        self._url = url
        self._lock = lock
        self._connection = connection
        self._on_commit = on_commit
        self._statistics = statistics
        self._waiting: deque[Append] = deque()
        self._more = asyncio.Event()
        self.folds: Mapping[str, Fold] = {}
        self.stuck: ProjectionFailed | None = None
        """Why no append succeeds, where a fold could not get past an event that is in the log."""
        self._closed = False
        self._task = asyncio.create_task(self._serve(), name="twofold-postgres-writer")

    def attach(self, name: str, fold: Fold) -> None:
        """Run the fold in the transaction of every append from now on."""
        self.folds = {**self.folds, name: fold}

    def check(self) -> None:
        """Raise StoreClosed or StoreBusy if nothing can be submitted now."""
        if self._closed:
            raise StoreClosed("the store is closed")
        if len(self._waiting) >= WAITING_LIMIT:
            raise StoreBusy(f"{WAITING_LIMIT} appends are waiting already")

    def submit(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, idempotency: Idempotency | None
    ) -> asyncio.Future[Receipt]:
        """Have the append stored; await its receipt. That raises why it could not be. Raises what `check` raises."""
        self.check()
        append = Append(stream, events, expected, idempotency, asyncio.get_running_loop().create_future())
        self._waiting.append(append)
        self._more.set()
        return append.outcome

    async def close(self) -> None:
        """Finish what was submitted, then stop."""
        self._closed = True
        self._more.set()
        await self._task
        await self._connection.close()

    async def _serve(self) -> None:
        group: list[Append] = []
        try:
            while self._waiting or not self._closed:
                self._more.clear()
                if group := self._take():
                    began = perf_counter()
                    outcomes = await self._commit(group)
                    self._statistics.group(len(group), perf_counter() - began)
                    self._deliver(outcomes)
                elif not self._waiting:
                    await self._more.wait()
        finally:  # where the loop is shut down with the store still open
            self._closed = True
            for append in (*group, *self._waiting):
                append.outcome.cancel()

    def _take(self) -> list[Append]:
        """The next appends that do not meddle with one another; the others keep their order."""
        group: list[Append] = []
        left: list[Append] = []
        taken = set[object]()
        size = 0
        while self._waiting and len(group) + len(left) < GROUP_LIMIT and size < GROUP_BYTES:
            append = self._waiting.popleft()
            if append.outcome.done():  # cancelled
                continue
            (group if taken.isdisjoint(append.marks) else left).append(append)
            taken |= append.marks
            size += sum(len(event.data) for event in append.events)
        self._waiting.extendleft(reversed(left))
        return group

    async def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """What becomes of each."""
        try:
            try:
                return await retried(lambda: self._store(appends))
            except _FarBehind:
                await self._catch_up()
                return await retried(lambda: self._store(appends))
        except Disconnected as gone:
            if gone.sent:
                return [(append, OutcomeUnknown(append.stream, str(gone), append.message_id)) for append in appends]
            return [(append, StoreUnavailable(*gone.args)) for append in appends]
        except StoreUnavailable as error:
            return [(append, type(error)(*error.args)) for append in appends]
        except ProjectionFailed as error:
            if error is not self.stuck:
                return await self._halved(appends, error)
            return [(append, error.again()) for append in appends]  # none of them is at fault, and none can be stored
        except Exception as error:
            return await self._halved(appends, error)

    async def _halved(self, appends: Sequence[Append], error: Exception) -> list[Outcome]:
        """What becomes of each where one of them is at fault."""
        if len(appends) == 1:
            return [(appends[0], error)]
        middle = len(appends) // 2
        return [*await self._commit(appends[:middle]), *await self._commit(appends[middle:])]

    async def _store(self, appends: Sequence[Append]) -> list[Outcome]:
        connection = await self._connected()
        group = Group(appends, datetime.now(UTC))
        if not self.folds and not group.anywhere:
            rows = await group.ask(connection, self._lock)  # one round trip, and a transaction of its own
            return self._stored(group.judged(rows), group)
        async with connection.transaction():
            if group.anywhere:
                await connection.rows(sql.LOCK, (self._lock,))  # from here on they stay where they are
                group.expect(dict(await connection.rows(sql.LAST_OF_STREAMS, (group.anywhere,))))
            outcomes = group.judged(await group.ask(connection, self._lock))
            await self._fold(connection, group.stored() if self.folds else ())
        return self._stored(outcomes, group)

    def _stored(self, outcomes: list[Outcome], group: Group) -> list[Outcome]:
        if group.reached:
            self._on_commit(group.reached)
        return outcomes

    async def _connected(self) -> Connection:
        """The connection, or a new one where it is known to be gone."""
        if not self._connection.usable:
            self._connection = await opened(self._url, WRITE)
        await self._connection.prepare(sql.APPEND)
        return self._connection

    async def _fold(self, connection: Connection, appended: Sequence[Recorded[bytes]]) -> None:
        folds = self.folds  # those of this moment: one that is attached meanwhile begins with the next group
        if not appended or not folds:
            return
        known = await jobs.locked(connection, *folds)
        for name, fold in folds.items():
            reached = self._reached(known, name)
            missed = appended[0].position - 1 - reached  # what others appended without this fold
            if missed > CATCH_UP:
                raise _FarBehind("a fold has missed too much for one transaction")
            if missed > 0:
                events = await jobs.page(connection, reached, missed)
                await self._fold_missed(
                    connection, name, fold, [e for e in events if e.position < appended[0].position]
                )
            await jobs.drive_fold(connection, name, fold, appended)
        await connection.run(sql.SAVE_CHECKPOINTS, ((list(folds), appended[-1].position),))
        self.stuck = None

    async def _catch_up(self) -> None:
        """Bring the folds to the head of the log page by page: to do it in one append would hold up every process."""
        connection = await self._connected()
        for name, fold in self.folds.items():
            more = True
            while more:
                async with connection.transaction():
                    reached = self._reached(await jobs.locked(connection, name), name)
                    events = await jobs.page(connection, reached, CATCH_UP)
                    more = len(events) == CATCH_UP
                    if events:
                        await self._fold_missed(connection, name, fold, events)
                        await connection.run(sql.SAVE_CHECKPOINTS, (([name], events[-1].position),))

    def _reached(self, known: Mapping[str, int], name: str) -> int:
        """The checkpoint of an attached fold; without one its tables are another's by now, or never were."""
        if name not in known:
            self.stuck = without_checkpoint(name)
            raise self.stuck
        return known[name]

    async def _fold_missed(
        self, connection: Connection, name: str, fold: Fold, events: Sequence[Recorded[bytes]]
    ) -> None:
        """Fold what others appended; if that cannot be done no append can."""
        try:
            await jobs.drive_fold(connection, name, fold, events)
        except ProjectionFailed as failure:
            self.stuck = failure
            raise

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        for append, outcome in outcomes:
            if append.outcome.done():  # cancelled meanwhile; the others of the group must still hear
                continue
            if isinstance(outcome, Receipt):
                append.outcome.set_result(outcome)
            else:
                append.outcome.set_exception(outcome)
