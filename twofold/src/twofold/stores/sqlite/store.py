"""A store in one SQLite file, for one machine: a few processes may share it.

Writing goes through the writer's thread. Short reads run where they are asked, on a connection that never blocks the
writer nor waits for it: at a few microseconds each, a hop to a thread would cost more than the read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from uuid import UUID

from twofold.adoption import check_events
from twofold.errors import StoreClosed, StoreRefused
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Fold, Row, Work
from twofold.statistics import AppendStatistics
from twofold.store import LARGEST, Moment, Progress, Remembered, Snapshot, bounded, check_append, check_names
from twofold.stores.looking_back import LookingBack
from twofold.stores.reading import PagedReading
from twofold.stores.rows import page_of, page_of_stream
from twofold.stores.sqlite import jobs
from twofold.stores.sqlite.bell import Bell
from twofold.stores.sqlite.checkpoints import checkpoint, head, save_checkpoint
from twofold.stores.sqlite.driver import Connection, translated
from twofold.stores.sqlite.inline import CATCH_UP
from twofold.stores.sqlite.moment import moment_of
from twofold.stores.sqlite.rows import LOOKING_BACK, READ_ALL, READ_ONE, READ_STREAM
from twofold.stores.sqlite.transaction import Transaction
from twofold.stores.sqlite.work import drive
from twofold.stores.sqlite.writer import Writer

T = TypeVar("T")

PAGE = 256  # events read in one go on the event loop: well under a millisecond
SCAN_SECONDS = 60.0  # after which a scan is given up: others wait behind it


class _Opened(NamedTuple):
    id: UUID
    writer: Writer
    writing: Connection  # the writer's own
    reading: Connection  # the event loop's
    scanning: Connection  # the scanner thread's
    scanner: ThreadPoolExecutor


class SqliteStore(PagedReading, LookingBack):
    """A `Store` in a SQLite file. Use it as an asynchronous context manager, on one event loop."""

    looking_back = LOOKING_BACK

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        if self._path in ("", ":memory:"):
            raise StoreRefused("a SQLite store lives in a file: sqlite:///orders.db; for memory there is memory:")
        self.statistics = AppendStatistics()
        self._opened: _Opened | None = None
        self._bell = Bell(self._head)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            connections: list[Connection] = []
            for read_only in (False, True, True):
                # On a thread: it may wait for another process.
                connection = await asyncio.to_thread(Connection.open, self._path, read_only=read_only)
                stack.callback(connection.close)
                connections.append(connection)
            writing, reading, scanning = connections
            with translated():
                id = UUID(bytes=reading.get("select id from log"))
            if self._opened is not None:  # nobody would close the first writer any more
                raise StoreRefused(f"this store of {self._path} is open already; make another for a second opening")
            scanner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="twofold-sqlite-scan")
            writer = Writer(writing, self._bell.ring, self.statistics)
            self._opened = _Opened(id, writer, writing, reading, scanning, scanner)
            stack.pop_all()  # all are open: from now on __aexit__ closes them
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._open, None
        self._bell.ring()  # who waits for an append hears that the store is closed
        self._bell.rest()
        await opened.writer.close()
        await asyncio.to_thread(opened.scanner.shutdown)
        for connection in (opened.scanning, opened.reading, opened.writing):
            connection.close()

    @property
    def dialect(self) -> str:
        """See ViewStore.dialect."""
        return "sqlite"

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise StoreClosed("the store is not open")
        return self._opened

    async def check(self) -> None:
        """See Store.check."""
        writer = self._open.writer
        writer.check()
        stuck = writer.folds.stuck
        if stuck is not None:  # until it is mended, be it by another process
            for name, fold in writer.folds.attached.items():
                await self.advance(name, fold, limit=CATCH_UP)
            if writer.folds.stuck is stuck:  # and no append has met another meanwhile
                writer.folds.stuck = None
        await self.head()

    # --- the log ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> UUID:
        """See EventStore.id."""
        return self._open.id

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        """See EventStore.append."""
        writer = self._open.writer
        check_append(stream, events, idempotency)
        appending = writer.submit(
            lambda transaction: jobs.append(transaction, stream, events, expected, idempotency),
            stream,
            events[0].metadata.message_id if events else None,
        )
        return await self.statistics.append(appending, len(events))

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        """See EventStore.adopt."""
        writer = self._open.writer
        check_events(events)
        if events:
            await writer.submit(lambda transaction: jobs.adopt(transaction, events), "an adoption")

    async def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_pages."""
        check_names(stream)
        after, last = bounded(after), LARGEST if until is None else bounded(until)
        while True:
            rows = await self.rows(Fetch(READ_STREAM, (stream, after, last, PAGE)))
            events, damage = page_of_stream(rows, stream, after)
            if events:
                yield events
            if damage is not None:
                raise damage
            if len(rows) < PAGE:
                return
            after += len(events)
            await asyncio.sleep(0)  # let others run between two pages

    async def read_all_pages(
        self, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_all_pages."""
        after, left = bounded(after), LARGEST if limit is None else bounded(limit)
        while left > 0:
            size = min(PAGE, left)
            rows = await self.rows(Fetch(READ_ALL, (after, size)))
            events, damage = page_of(rows)
            if events:
                yield events
            if damage is not None:
                raise damage
            if len(rows) < size:
                return
            after, left = rows[-1][0], left - len(rows)
            await asyncio.sleep(0)

    async def find(self, id: UUID) -> Recorded[bytes] | None:
        """See EventStore.find."""
        rows = await self.rows(Fetch(READ_ONE, (id.bytes,)))
        return page_of(rows).whole()[0] if rows else None

    async def head(self) -> int:
        """See EventStore.head."""
        with translated():
            return self._head()

    def _head(self) -> int:
        return head(self._open.reading)

    async def wait_appended(self, *, after: int) -> None:
        """See EventStore.wait_appended. Appends of other processes are noticed by polling, once for all who wait."""
        after = bounded(after)
        while await self.head() <= after:
            await self._bell.wait(after)

    # --- answers and snapshots --------------------------------------------------------------------------------------

    async def recall(self, key: str) -> Remembered | None:
        """See IdempotencyStore.recall."""
        reading = self._open.reading
        check_names(key)
        with translated():
            return jobs.recall(reading, key)

    async def refuse(self, idempotency: Idempotency, refusal: bytes) -> Remembered:
        """See IdempotencyStore.refuse."""
        writer = self._open.writer
        check_names(idempotency.key, idempotency.fingerprint)
        return await writer.submit(lambda transaction: jobs.refuse(transaction, idempotency, refusal), "a refusal")

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """See SnapshotStore.load_snapshot."""
        check_names(stream)
        sql = "select version, position, schema, state from snapshot where stream = ?"
        rows = await self.rows(Fetch(sql, (stream,)))
        return Snapshot(*rows[0]) if rows else None

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
        """See SnapshotStore.save_snapshot."""
        check_names(stream)
        await self._open.writer.submit(
            lambda transaction: jobs.save_snapshot(transaction, stream, snapshot), f"a snapshot of {stream}"
        )

    # --- views ------------------------------------------------------------------------------------------------------

    def attach(self, name: str, fold: Fold) -> None:
        """See ViewStore.attach."""
        self._open.writer.folds.attach(name, fold)

    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        """See ViewStore.advance."""
        size = bounded(limit)
        return await self._open.writer.submit(lambda transaction: jobs.advance(transaction, name, fold, size), name)

    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        """See ViewStore.reset."""

        def run(transaction: Transaction) -> None:
            if not only_new or checkpoint(transaction.connection, name) is None:
                drive(transaction.connection, work())
                save_checkpoint(transaction.connection, name, 0)

        await self._open.writer.submit(run, name)

    async def replace_checkpoint(self, name: str, work: Callable[[int | None], Work[int | None]]) -> None:
        """See ViewStore.replace_checkpoint."""

        def run(transaction: Transaction) -> None:
            connection = transaction.connection
            position = drive(connection, work(checkpoint(connection, name)))
            if position is None:
                connection.run("delete from checkpoint where name = ?", (name,))
            else:
                save_checkpoint(connection, name, position)

        await self._open.writer.submit(run, name)

    async def promote(
        self, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int = 1000
    ) -> Progress:
        """See ViewStore.promote."""

        def run(transaction: Transaction) -> Progress:
            progress = jobs.advance(transaction, name, fold, bounded(limit))
            if progress.position == progress.head:
                drive(transaction.connection, swap())
                transaction.connection.run("delete from checkpoint where name = ?", (name,))
                save_checkpoint(transaction.connection, to, progress.position)
            return progress

        return await self._open.writer.submit(run, name)

    async def checkpoint(self, name: str) -> int | None:
        """See ViewStore.checkpoint."""
        with translated():
            return checkpoint(self._open.reading, name)

    async def work(self, work: Callable[[], Work[T]]) -> T:
        """See ViewStore.work."""
        return await self._open.writer.submit(lambda transaction: drive(transaction.connection, work()), "views")

    async def rows(self, query: Fetch) -> list[Row]:
        """See ViewStore.rows."""
        with translated():
            return self._open.reading.rows(query.sql, query.parameters)

    async def scan(self, query: Fetch) -> list[Row]:
        """See ViewStore.scan."""
        opened = self._open
        with translated():
            return await asyncio.get_running_loop().run_in_executor(
                opened.scanner, opened.scanning.rows_within, SCAN_SECONDS, *query
            )

    def moment(self) -> AbstractAsyncContextManager[Moment]:
        """See ViewStore.moment. The write-ahead log cannot shrink as long as it is open."""
        _ = self._open  # raises StoreClosed
        return moment_of(self._path)
