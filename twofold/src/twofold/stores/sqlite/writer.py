"""Group commit: one thread writes, and commits together what waits together.

An fsync is what an append costs, so one fsync serves all that arrived while the one before it ran. Each job stands or
falls alone all the same: a job that is refused before it wrote anything is simply told so; where a job fails halfway,
the group is rolled back and run again with a savepoint around each job.

The event loop hands over what it has at the end of a turn. Job by job the thread would begin with the first, and then
wait for the interpreter while the loop makes the others: its groups were half as large.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from twofold.errors import (
    OutcomeUnknown,
    ProjectionFailed,
    StoreBusy,
    StoreClosed,
    StoreFailed,
    StoreUnavailable,
    TwofoldError,
)
from twofold.statistics import AppendStatistics
from twofold.stores.sqlite.checkpoints import head
from twofold.stores.sqlite.driver import Connection, DriverError, in_doubt, translate
from twofold.stores.sqlite.inline import FarBehind, InlineFolds
from twofold.stores.sqlite.transaction import STREAMS, Known, Transaction

T = TypeVar("T")
log = logging.getLogger("twofold.sqlite")

GROUP_LIMIT = 512  # jobs in one commit: bounds the time that the first of them waits
WAITING_LIMIT = 20_000  # jobs that may wait, or be in work; more are refused at once


@dataclass(frozen=True, slots=True)
class Refused:
    """What a job answers that wrote nothing because of `error`."""

    error: TwofoldError


class Job(NamedTuple, Generic[T]):
    """Something to do in a transaction. `run` may be called more than once; the others name it in an error."""

    run: Callable[[Transaction], T | Refused]
    subject: str
    message_id: UUID | None
    outcome: asyncio.Future[T]


Outcome = tuple[Job[Any], Any, BaseException | None]


class Writer:
    """The thread that owns the writing connection."""

    def __init__(self, connection: Connection, on_commit: Callable[[], None], statistics: AppendStatistics) -> None:
        """`on_commit` is called on the event loop after each commit."""
        self._connection = connection
        self._on_commit = on_commit
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._submitted: list[Job[Any]] = []  # in this turn of the event loop
        self._waiting = 0  # jobs submitted, and not yet delivered
        self._handed: SimpleQueue[list[Job[Any]] | None] = SimpleQueue()  # None: no more will come
        self._failure: StoreFailed | None = None
        self._closed = False
        self._known: Known | None = None  # None: look
        self.folds = InlineFolds(connection)
        self._thread = Thread(target=self._serve, name="twofold-sqlite-writer", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise StoreClosed, StoreFailed or StoreBusy if nothing can be submitted now."""
        if self._closed:
            raise StoreClosed("the store is closed")
        if self._failure is not None:
            raise StoreFailed(*self._failure.args)
        if self._waiting >= WAITING_LIMIT:
            raise StoreBusy(f"{WAITING_LIMIT} appends are waiting already")

    def submit(
        self, run: Callable[[Transaction], T | Refused], subject: str, message_id: UUID | None = None
    ) -> asyncio.Future[T]:
        """Have the job done and committed; await its result. That raises what the job raises, or why it could not be
        committed. Raises what `check` raises."""
        self.check()
        job: Job[T] = Job(run, subject, message_id, self._loop.create_future())
        if not self._submitted:
            self._loop.call_soon(self._hand_over)
        self._submitted.append(job)
        self._waiting += 1
        return job.outcome

    def _hand_over(self) -> None:
        jobs, self._submitted = self._submitted, []
        if jobs:
            self._handed.put(jobs)

    async def close(self) -> None:
        """Finish what was submitted, then stop."""
        self._closed = True
        self._hand_over()
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)

    # --- on the writer's thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        jobs: list[Job[Any]] = []
        last = False
        while jobs or not last:
            last = last or self._take(jobs)
            group, jobs = jobs[:GROUP_LIMIT], jobs[GROUP_LIMIT:]
            if group:
                self._do(group)

    def _take(self, jobs: list[Job[Any]]) -> bool:
        """Take all that was handed over; wait for it if there are no jobs. Whether no more will come."""
        try:
            handed = self._handed.get(block=not jobs)
            while handed is not None:
                jobs += handed
                handed = self._handed.get_nowait()
        except Empty:
            return False
        return True

    def _do(self, group: Sequence[Job[Any]]) -> None:
        jobs = [job for job in group if not job.outcome.cancelled()]
        outcomes: list[Outcome] = []
        if jobs:
            began = perf_counter()
            outcomes = self._commit(jobs)
            self._statistics.group(len(jobs), perf_counter() - began)
        self._loop.call_soon_threadsafe(self._deliver, outcomes, len(group))

    def _commit(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        if self._failure is not None:
            return [(job, None, StoreFailed(*self._failure.args)) for job in jobs]
        committing = False
        try:
            try:
                outcomes = self._run(jobs)
            except FarBehind:
                self._connection.roll_back()
                self.folds.catch_up()
                outcomes = self._run(jobs)
            committing = True
            self._connection.run("commit")
        except BaseException as error:  # whatever it is: those who wait must hear of it
            self._known = None
            with suppress(DriverError):  # the error was the disk's: it may well be met again
                self._connection.roll_back()
            return self._failed(jobs, error, committing=committing)
        return outcomes

    def _run(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        try:
            return self._run_together(jobs)
        except Exception as error:
            self._known = None
            if in_doubt(error) or isinstance(error, FarBehind):
                raise
            return self._run_apart(jobs)

    def _run_together(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        """The quick way: all jobs in turn, then one fold over all that they appended."""
        self._connection.run("begin immediate")
        transaction = Transaction(self._connection, self._now())
        outcomes = [_outcome(job, job.run(transaction)) for job in jobs]
        transaction.flush()
        self.folds.run(transaction.appended)
        return outcomes

    def _now(self) -> Known:
        """What is known of the log in the transaction that is open."""
        version, known = self._connection.data_version, self._known
        if known is None or known.data_version != version or len(known.last) > STREAMS:
            known = self._known = Known(version, head(self._connection))
        return known

    def _run_apart(self, jobs: Sequence[Job[Any]]) -> list[Outcome]:
        """The careful way, after one of the jobs failed: a savepoint around each, and one fold for each."""
        self._connection.roll_back()
        connection = self._connection
        connection.run("begin immediate")
        transaction, self._known = Transaction(connection, self._now(), careful=True), None
        outcomes: list[Outcome] = []
        for job in jobs:
            before, transaction.appended = transaction.head, []
            connection.run("savepoint job")
            try:
                outcome = _outcome(job, job.run(transaction))
                self.folds.run(transaction.appended)
            except Exception as error:
                if in_doubt(error) or isinstance(error, FarBehind):
                    raise
                connection.run("rollback to job")
                transaction.head = before
                told = translate(error) if isinstance(error, DriverError) else error
                outcome = (job, None, told)
            connection.run("release job")
            outcomes.append(outcome)
        return outcomes

    def _failed(self, jobs: Sequence[Job[Any]], error: BaseException, *, committing: bool) -> list[Outcome]:
        if not isinstance(error, DriverError):  # a fold that could not catch up, or the like: of these jobs only
            told = error if isinstance(error, Exception) else RuntimeError(repr(error))
            return [(job, None, told.again() if isinstance(told, ProjectionFailed) else told) for job in jobs]
        failure = translate(error)
        if isinstance(failure, StoreFailed):
            # A failed fsync must not be tried again: the kernel may have dropped the pages. Stop writing.
            self._failure = failure
            log.critical("the store stops writing: %s", failure)
        if committing and not isinstance(failure, StoreUnavailable):
            return [(job, None, OutcomeUnknown(job.subject, str(failure), job.message_id)) for job in jobs]
        return [(job, None, type(failure)(*failure.args)) for job in jobs]

    # --- on the event loop ------------------------------------------------------------------------------------------

    def _deliver(self, outcomes: Sequence[Outcome], done: int) -> None:
        self._waiting -= done
        for job, result, error in outcomes:
            if job.outcome.done():  # cancelled meanwhile; the others of the group must still hear
                continue
            if error is None:
                job.outcome.set_result(result)
            elif isinstance(error, StopIteration):  # no future takes one
                job.outcome.set_exception(RuntimeError(repr(error)))
            else:
                job.outcome.set_exception(error)
        self._on_commit()


def _outcome(job: Job[Any], result: object) -> Outcome:
    return (job, None, result.error) if isinstance(result, Refused) else (job, result, None)
