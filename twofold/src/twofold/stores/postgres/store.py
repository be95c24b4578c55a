"""A store in a PostgreSQL database, for many processes on many machines.

Appends go through the writer's task, which commits together what waits together. All else is done on connections from
small pools, so that a query that takes long keeps none from those that do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from uuid import UUID

from twofold.adoption import check_events
from twofold.errors import OutcomeUnknown, StoreClosed, StoreRefused, StoreUnavailable
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Fold, Row, Work
from twofold.statistics import AppendStatistics
from twofold.store import LARGEST, Moment, Progress, Remembered, Snapshot, bounded, check_append, check_names
from twofold.stores.looking_back import LookingBack
from twofold.stores.postgres import jobs
from twofold.stores.postgres import rows as sql
from twofold.stores.postgres.bell import Bell
from twofold.stores.postgres.driver import Connection, Disconnected
from twofold.stores.postgres.limits import READ, SCAN, WRITE
from twofold.stores.postgres.moment import moment_of
from twofold.stores.postgres.pool import Pool
from twofold.stores.postgres.schema import Log, prepare
from twofold.stores.postgres.writer import CATCH_UP, Writer
from twofold.stores.reading import PagedReading
from twofold.stores.rows import page_of, page_of_stream

T = TypeVar("T")

FIRST_PAGE = 256  # events read in one round trip; no connection is held between two
PAGE = 1000
PAGE_BYTES = 4 * 2**20  # of data that the next page should not be larger than
READERS = 4  # connections for short reads
SCANNERS = 2  # for long ones
WORKERS = 4  # for transactions beside the appends


class _Opened(NamedTuple):
    log: Log
    writer: Writer
    bell: Bell
    readers: Pool
    scanners: Pool
    workers: Pool


class PostgresStore(PagedReading, LookingBack):
    """A `Store` in a PostgreSQL database. Use it as an asynchronous context manager, on one event loop.

    Its tables are made in the first schema of the search path unless `create` is off: `?search_path=name` in the URL
    names another.
    """

    looking_back = sql.LOOKING_BACK

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._url = url
        self._create = create
        self.statistics = AppendStatistics()
        self._opened: _Opened | None = None

    async def __aenter__(self) -> Self:
        connection = await Connection.open(self._url, WRITE)
        try:
            log = await prepare(connection, create=self._create)
            if self._opened is not None:  # nobody would close the first writer any more
                raise StoreRefused("this store is open already; make another for a second opening")
        except BaseException:
            connection.drop()
            raise
        readers = Pool(self._url, READ, READERS)
        bell = Bell(self._url, log.channel, self.head)
        writer = Writer(self._url, log.lock, connection, bell.ring, self.statistics)
        self._opened = _Opened(
            log, writer, bell, readers, Pool(self._url, SCAN, SCANNERS), Pool(self._url, WRITE, WORKERS)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._open, None
        opened.bell.end()
        await opened.writer.close()
        await opened.bell.close()
        await asyncio.gather(opened.readers.close(), opened.scanners.close(), opened.workers.close())

    @property
    def dialect(self) -> str:
        """See ViewStore.dialect."""
        return "postgresql"

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise StoreClosed("the store is not open")
        return self._opened

    async def check(self) -> None:
        """See Store.check."""
        writer = self._open.writer
        writer.check()
        stuck = writer.stuck
        if stuck is not None:  # until it is mended, be it by another process
            for name, fold in writer.folds.items():
                await self.advance(name, fold, limit=CATCH_UP)
            if writer.stuck is stuck:  # and no append has met another meanwhile
                writer.stuck = None
        ((standby,),) = await self._open.readers.read("select pg_is_in_recovery()")
        if standby:
            raise StoreUnavailable("the server is a standby, and takes no writes")

    async def _done(self, subject: str, run: Callable[[Connection], Awaitable[T]]) -> T:
        """What comes of a change; `subject` names it where nobody knows."""
        try:
            return await self._open.workers.use(run)
        except Disconnected as gone:
            if gone.sent:
                raise OutcomeUnknown(subject, str(gone)) from gone
            raise

    # --- the log ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> UUID:
        """See EventStore.id."""
        return self._open.log.id

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
        return await self.statistics.append(writer.submit(stream, events, expected, idempotency), len(events))

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        """See EventStore.adopt."""
        opened = self._open
        check_events(events)
        if events:
            await self._done("an adoption", lambda connection: jobs.adopt(connection, opened.log.lock, events))
            opened.bell.ring(events[-1].position)

    async def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_pages."""
        check_names(stream)
        after, last, size = bounded(after), LARGEST if until is None else bounded(until), FIRST_PAGE
        while True:
            rows = await self._open.readers.read(sql.READ_STREAM, (stream, after, last, size))
            events, damage = page_of_stream(rows, stream, after)
            if events:
                yield events
            if damage is not None:
                raise damage
            if len(rows) < size:
                return
            after, size = after + len(events), _page_after(rows)

    async def read_all_pages(
        self, *, after: int = 0, limit: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """See EventStore.read_all_pages."""
        after, left = bounded(after), LARGEST if limit is None else bounded(limit)
        size = min(FIRST_PAGE, left)
        while left > 0:
            rows = await self._open.readers.read(sql.READ_ALL, (after, size))
            events, damage = page_of(rows)
            if events:
                yield events
            if damage is not None:
                raise damage
            if len(rows) < size:
                return
            after, left = rows[-1][0], left - len(rows)
            size = min(_page_after(rows), left)

    async def find(self, id: UUID) -> Recorded[bytes] | None:
        """See EventStore.find."""
        rows = await self._open.readers.read(sql.READ_ONE, (id,))
        return page_of(rows).whole()[0] if rows else None

    async def head(self) -> int:
        """See EventStore.head."""
        ((position,),) = await self._open.readers.read(sql.HEAD)
        return int(position)

    async def wait_appended(self, *, after: int) -> None:
        """See EventStore.wait_appended."""
        await self._open.bell.wait(bounded(after))

    # --- answers and snapshots --------------------------------------------------------------------------------------

    async def recall(self, key: str) -> Remembered | None:
        """See IdempotencyStore.recall."""
        readers = self._open.readers
        check_names(key)
        return jobs.remembered(key, await readers.read(sql.RECALL, (key,)))

    async def refuse(self, idempotency: Idempotency, refusal: bytes) -> Remembered:
        """See IdempotencyStore.refuse."""
        _ = self._open  # raises StoreClosed
        check_names(idempotency.key, idempotency.fingerprint)
        return await self._done("a refusal", lambda connection: jobs.refuse(connection, idempotency, refusal))

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """See SnapshotStore.load_snapshot."""
        readers = self._open.readers
        check_names(stream)
        rows = await readers.read(sql.LOAD_SNAPSHOT, (stream,))
        return Snapshot(*rows[0]) if rows else None

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
        """See SnapshotStore.save_snapshot."""
        _ = self._open
        check_names(stream)
        row = (stream, *snapshot)
        await self._done(f"a snapshot of {stream}", lambda connection: connection.run(sql.SAVE_SNAPSHOT, (row,)))

    # --- views ------------------------------------------------------------------------------------------------------

    def attach(self, name: str, fold: Fold) -> None:
        """See ViewStore.attach."""
        self._open.writer.attach(name, fold)

    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        """See ViewStore.advance."""
        return await self._done(name, lambda connection: jobs.advance(connection, name, fold, bounded(limit)))

    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        """See ViewStore.reset."""
        await self._done(name, lambda connection: jobs.reset(connection, name, work, only_new=only_new))

    async def replace_checkpoint(self, name: str, work: Callable[[int | None], Work[int | None]]) -> None:
        """See ViewStore.replace_checkpoint."""
        lock = self._open.log.lock
        await self._done(name, lambda connection: jobs.replace_checkpoint(connection, lock, name, work))

    async def promote(
        self, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int = 1000
    ) -> Progress:
        """See ViewStore.promote."""
        return await self._done(
            name, lambda connection: jobs.promote(connection, name, fold, to=to, swap=swap, limit=bounded(limit))
        )

    async def checkpoint(self, name: str) -> int | None:
        """See ViewStore.checkpoint."""
        rows = await self._open.readers.read(sql.CHECKPOINT, (name,))
        return int(rows[0][0]) if rows else None

    async def work(self, work: Callable[[], Work[T]]) -> T:
        """See ViewStore.work."""

        async def run(connection: Connection) -> T:
            async with connection.transaction():
                return await jobs.drive(connection, work())

        return await self._done("views", run)

    async def rows(self, query: Fetch) -> list[Row]:
        """See ViewStore.rows."""
        return await self._open.readers.read(query.sql, query.parameters)

    async def scan(self, query: Fetch) -> list[Row]:
        """See ViewStore.scan."""
        return await self._open.scanners.read(query.sql, query.parameters)

    @asynccontextmanager
    async def moment(self) -> AsyncGenerator[Moment]:
        """See ViewStore.moment. The server cannot clean up after others as long as it is open."""
        _ = self._open  # raises StoreClosed
        async with moment_of(self._url) as moment:
            yield moment


def _page_after(rows: Sequence[Row]) -> int:
    """How many events to read next, by how large these were."""
    return min(PAGE, 1 + PAGE_BYTES * len(rows) // (1 + sum(len(row[6]) for row in rows)))
