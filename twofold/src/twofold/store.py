"""What a store promises.

A store keeps one log of events and, where it can, what must change together with it: the answers to idempotent
requests, snapshots, and views. The protocols are small so that each user asks for no more than it needs; `Store` is
all of them. `twofold.testing.contract` checks every promise written here, on any store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from twofold.errors import IdempotencyKeyReused, ProjectionFailed, RequestRefused
from twofold.events import NewEvent, Receipt, Recorded
from twofold.looking_back import InspectionStore
from twofold.messages import Idempotency, Metadata
from twofold.sql import Fetch, Fold, Row, Work
from twofold.statistics import AppendStatistics

T = TypeVar("T")

LARGEST = 2**63 - 1
"""The largest version, position or limit that there is."""


def bounded(number: int) -> int:
    """The bound of a read as every store can compare it: one below 0 is like 0, one above `LARGEST` like `LARGEST`."""
    return min(max(number, 0), LARGEST)


def check_texts(*texts: str) -> None:
    """Raise ValueError for a text that is not UTF-8: one with half a surrogate pair, which no store could give back."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a text is not UTF-8: {error.reason}") from None


def check_names(*names: str) -> None:
    """Raise ValueError for a name of a stream or type, or a key, that is not UTF-8 or has a NUL: no name in SQL may."""
    check_texts(*names)
    if "\0" in "".join(names):
        raise ValueError("a name or key has a NUL in it")


def check_append(stream: str, events: Sequence[NewEvent], idempotency: Idempotency | None) -> None:
    """Raise ValueError for an append that no store could take, whatever is in the log."""
    if not events and idempotency is None:
        raise ValueError("an append without events needs an idempotency key")
    names, texts = [stream], list[str]()
    metadata: Metadata | None = None
    if idempotency is not None:
        names += (idempotency.key, idempotency.fingerprint)
    for event in events:
        if not 0 <= event.schema <= LARGEST:
            raise ValueError(f"{event.schema} is not the number of a schema")
        names.append(event.type)
        if event.metadata is metadata:  # those of one command share it
            continue
        metadata = event.metadata
        if metadata.at.tzinfo is None:
            raise ValueError(f"the time of a message has no zone: {metadata.at}")
        if metadata.actor is not None:
            texts.append(metadata.actor)
        if metadata.extra:
            texts += (*metadata.extra.keys(), *metadata.extra.values())
        if metadata.idempotency is not None:
            texts += (metadata.idempotency.key, metadata.idempotency.fingerprint)
    check_names(*names)
    if texts:
        check_texts(*texts)


def without_checkpoint(name: str) -> ProjectionFailed:
    """What to raise of a fold without a checkpoint: its tables are another's by now, or never were."""
    return ProjectionFailed(name, "it has no checkpoint here")


class EventStore(Protocol):
    """The log.

    Positions form one total order over all streams. They rise in commit order: a reader that has read position p never
    later sees a new event at or below p, whatever writers, roll-backs and crashes come in between. The events of a
    stream come in version order, 1..n without a hole.
    """

    @property
    def id(self) -> UUID:
        """The log's own id, made with it: positions of two logs do not compare."""
        ...

    @property
    def statistics(self) -> AppendStatistics:
        """What was appended through this store object, in numbers: each process has its own."""
        ...

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        """Add events to the end of a stream: all or none, on stable storage before this returns.

        `expected` is the version that the stream must be at, 0 for a new one, None to append wherever it is.
        Appending events whose ids are in the log already, as the same append, answers the first receipt, marked
        `repeated`, whatever is expected; the same append is one with these ids in this order, one after the other in
        this stream. So does an append whose idempotency key is known for the same request. With an idempotency key,
        `events` may be empty: the key and its receipt are then all that is stored. Inline views change in the same
        transaction.

        Raises:
            Conflict: the stream is at another version than `expected`.
            EventIdTaken: some of the ids are there, but not as this append.
            IdempotencyKeyReused: the key was used for a different request.
            RequestRefused: the same request was refused before; the error carries that answer.
            OutcomeUnknown: the store failed at commit; append the same events again to find out.
            StoreUnavailable: nothing was stored; the same call may succeed later.
            StoreFailed: nothing was stored, and nothing will be until the store is opened anew.
            ValueError: there are neither events nor an idempotency key, a text is not UTF-8 (it holds half a surrogate
                pair), a name or key has a NUL in it, a schema is not within 0..2**63-1, or the time of a message has
                no zone.
        """
        ...

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        """Add events of another log as they are there, with their positions, versions and times: all or none.

        They must come in order, above the head of this log and right behind the streams in it. What an idempotency key
        in their metadata was answered is kept too. Inline views are not run: they catch up when they are started, so
        adopt before. Raises AdoptionRefused if the events do not fit, EventIdTaken, and what `append` raises of the
        store's own troubles.
        """
        ...

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """The events of a stream with versions above `after`, up to and with `until`; none if there is no stream.

        A bound below 0 is like 0, and no bound is too large. Raises EventCorrupt on an event whose checksum differs,
        ValueError if the name of the stream is not UTF-8 or has a NUL in it.
        """
        ...

    def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        """The events of the whole log with positions above `after`, in the order of positions, at most `limit`.

        A bound below 0 is like 0, and no bound is too large. Raises EventCorrupt on an event whose checksum differs.
        """
        ...

    def read_pages(
        self, stream: str, *, after: int = 0, until: int | None = None
    ) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """What `read` gives, in pages as the store reads them, none of them empty: quicker, where there are many."""
        ...

    def read_all_pages(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Sequence[Recorded[bytes]]]:
        """What `read_all` gives, in pages as the store reads them, none of them empty."""
        ...

    async def find(self, id: UUID) -> Recorded[bytes] | None:
        """The event of this id, if it is in the log. Raises EventCorrupt if its checksum differs."""
        ...

    async def head(self) -> int:
        """The position of the last event; 0 in an empty log."""
        ...

    async def wait_appended(self, *, after: int) -> None:
        """Return once the log holds a position above `after`, whichever process wrote it. Cancel it to stop.

        `after` below 0 is like 0: in an empty log it waits.
        """
        ...


class Remembered(NamedTuple):
    """What is kept of an idempotent request: what it was, and the receipt or the refusal that answered it."""

    idempotency: Idempotency
    receipt: Receipt | None
    refusal: bytes | None

    def answer(self, idempotency: Idempotency) -> Receipt:
        """The receipt, marked `repeated`, for the same request asked again.

        Raises IdempotencyKeyReused for a different request, RequestRefused where the answer was a refusal.
        """
        if self.idempotency.fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReused(idempotency.key)
        if self.receipt is None:
            raise RequestRefused(idempotency.key, self.refusal or b"")
        return msgspec.structs.replace(self.receipt, repeated=True)


class IdempotencyStore(Protocol):
    """The answers to requests that carried an idempotency key. Receipts are kept by `EventStore.append`.

    Both calls raise ValueError for a text that is not UTF-8 or has a NUL in it.
    """

    async def recall(self, key: str) -> Remembered | None:
        """What is kept under the key, if anything."""
        ...

    async def refuse(self, idempotency: Idempotency, refusal: bytes) -> Remembered:
        """Keep a refusal as the answer to the request, unless an answer is kept already; answer what is kept then.

        Raises IdempotencyKeyReused if what is kept answers a different request.
        """
        ...


class Snapshot(NamedTuple):
    """A folded state: of which version of the stream, at which position, under which version of its schema."""

    version: int
    position: int
    schema: int
    state: bytes


class SnapshotStore(Protocol):
    """Folded states, one a stream. They are a cache: to lose them costs time, never truth.

    Both calls raise ValueError for a name of a stream that is not UTF-8 or has a NUL in it.
    """

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The stream's last snapshot, if there is one."""
        ...

    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless one of a later version is kept."""
        ...


class Progress(NamedTuple):
    """How far a fold has come: the position it has reached, and the head of the log at that moment."""

    position: int
    head: int


class Moment(Protocol):
    """All views at one moment between two transactions."""

    async def checkpoint(self, name: str) -> int | None:
        """The position that the fold had reached at that moment; None if it never ran."""
        ...

    async def scan(self, query: Fetch) -> list[Row]:
        """The rows of a query, as they were at that moment."""
        ...


class ViewStore(Protocol):
    """SQL tables beside the log, in the same database, so that views change together with it.

    Each fold has a name and, under it, a checkpoint: the position that its views have reached. Views and checkpoint
    change in one transaction, so each event is applied exactly once.

    A statement that is wrong raises StatementFailed: its SQL, its parameters, or a constraint that it breaks. Nothing
    of its transaction was stored then. Inside a fold it becomes the cause of a ProjectionFailed.
    """

    @property
    def dialect(self) -> str:
        """The SQL spoken: `sqlite` or `postgresql`."""
        ...

    def attach(self, name: str, fold: Fold) -> None:
        """Run the fold in the transaction of every append from now on.

        It is given all events after its checkpoint, so what other processes appended meanwhile is not missed.
        If it raises, that append fails with its error and leaves nothing. So it does where there is no checkpoint:
        `reset` makes it, and it is gone where the view has been given to a subscription meanwhile.
        """
        ...

    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        """Fold the next `limit` events after the checkpoint, in one transaction with it; none if it is below 0.

        Raises ProjectionFailed if there is no checkpoint, as an append does with `attach`, or if the fold raises.
        """
        ...

    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        """Put the fold's checkpoint to 0 and run the work that empties its tables, in one transaction.

        With `only_new` nothing happens if the fold has a checkpoint already: two processes may start at once.
        """
        ...

    async def replace_checkpoint(self, name: str, work: Callable[[int | None], Work[int | None]]) -> None:
        """Run the work, which is given the fold's checkpoint and answers the new one, in one transaction.

        None means: no checkpoint. No append and no other such call comes in between.
        """
        ...

    async def promote(
        self, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int = 1000
    ) -> Progress:
        """Fold the next `limit` events; if that reaches the head, run `swap` and give the checkpoint to the name `to`.

        All in one transaction. The answer says whether the head was reached; if not, nothing is swapped yet.
        Raises what `advance` raises.
        """
        ...

    async def checkpoint(self, name: str) -> int | None:
        """The position that the fold has reached; None if it never ran."""
        ...

    async def work(self, work: Callable[[], Work[T]]) -> T:
        """Run the work in a transaction, on stable storage before this returns. It may be begun more than once.

        A deadlock, or another transaction that was in the way, begins it anew, a bounded number of times; then
        StoreBusy. Rows that it changes after having read them must be read with a lock (`FOR UPDATE`) where the
        database has several writers.
        """
        ...

    async def rows(self, query: Fetch) -> list[Row]:
        """The rows of a query that an index answers in microseconds; it may run on the event loop."""
        ...

    async def scan(self, query: Fetch) -> list[Row]:
        """The rows of a query that may take long; it runs beside the event loop. Raises StoreBusy after a minute."""
        ...

    def moment(self) -> AbstractAsyncContextManager[Moment]:
        """The views as they are on entering, unmoved by what is appended while they are read."""
        ...


class Store(EventStore, IdempotencyStore, SnapshotStore, ViewStore, InspectionStore, Protocol):
    """A store with all its parts. Open it with `twofold.connect.connect`.

    Closing it finishes what was asked before. Every call on a closed store raises StoreClosed, and so does a wait that
    was still going on.
    """

    async def check(self) -> None:
        """Return if the store can be read and written now.

        Raises StoreClosed, StoreFailed or StoreBusy if not, and ProjectionFailed if an inline fold cannot get past
        what another process appended: then no append succeeds. Each call tries that again.
        """
        ...
