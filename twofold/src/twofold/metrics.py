"""The numbers of an application: what its processes have done, and how far the read side of its store has come.

They are counted where the work is done (`twofold.statistics`) and gathered here when somebody asks: Prometheus through
`twofold.http.metrics`, the console, a test. The last hour is kept second by second, for whoever draws it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import TypeVar

import msgspec

from twofold.board import Board
from twofold.bus import Middleware, Next
from twofold.errors import (
    EventUnreadable,
    OutcomeUnknown,
    ProjectionFailed,
    StatementFailed,
    StoreFailed,
    StoreUnavailable,
    TimedOut,
    TwofoldError,
)
from twofold.messages import Metadata
from twofold.overview import Status, overview
from twofold.statistics import (
    Appends,
    AppendStatistics,
    Distribution,
    Histogram,
    Messages,
    Process,
    Requests,
    Timings,
)
from twofold.views import Views

R = TypeVar("R")

TICK_SECONDS = 0.1  # between two looks at how late the event loop is
HISTORY = 3600  # samples that are kept, one a second
STORE_SECONDS = 5.0  # after which numbers are told without those of the store

TROUBLE = (OutcomeUnknown, TimedOut, StoreUnavailable, StoreFailed, StatementFailed, ProjectionFailed, EventUnreadable)
"""Errors that are no answer to the message: the service could not do its work."""


class Log(msgspec.Struct, frozen=True):
    """How far the log is, and each projection over it."""

    head: int
    projections: Sequence[Status]


class Numbers(msgspec.Struct, frozen=True):
    """All numbers; `log` is None where the store does not answer."""

    processes: Sequence[Process]
    log: Log | None


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A second of this process: counts are for each second, durations in seconds; `at` is its end, in Unix time."""

    at: float
    appends: float
    events: float
    conflicts: float
    requests: float
    append_mean: float
    append_p99: float
    request_mean: float
    request_p99: float
    loop_lag: float


class Metrics:
    """The numbers of this process. `requests`, `commands` and `queries` are counted by those who handle them."""

    def __init__(self, appends: AppendStatistics, *, process: str = "1", board: Board | None = None) -> None:
        """`process` tells it from others that serve the same port, and stays the same where one is started anew.

        Over the `board` they tell each other their numbers.
        """
        self.requests = Timings()
        self.commands = Timings()
        self.queries = Timings()
        self._appends = appends
        self._process = process
        self._board = board
        self._started_at = time.time()
        self._loop_lag = Histogram()
        self._streams: list[Callable[[], int]] = []
        self._history: deque[Sample] = deque(maxlen=HISTORY)

    def watch_streams(self, count: Callable[[], int]) -> None:
        """Count these open streams too."""
        self._streams.append(count)

    def read(self) -> Process:
        """What this process has done so far."""
        return Process(
            name=self._process,
            pid=os.getpid(),
            started_at=self._started_at,
            cpu_seconds=time.process_time(),
            resident_bytes=_resident_bytes(),
            open_files=_open_files(),
            loop_lag=self._loop_lag.read(),
            streams=sum(count() for count in self._streams),
            appends=self._appends.read(),
            requests=[
                Requests(method, route, status, seconds) for (method, route, status), seconds in self.requests.read()
            ],
            commands=_messages(self.commands),
            queries=_messages(self.queries),
        )

    def processes(self) -> Sequence[Process]:
        """What this process has done so far, and those that share its port; the others are a second old at most.

        This one leaves on the board what it tells here, so no number goes back when another is asked next.
        """
        own = self.read()
        if self._board is None:
            return [own]
        self._board.tell(own)
        return sorted([own, *self._board.others()], key=lambda process: process.name)

    def history(self) -> Sequence[Sample]:
        """The last hour of this process, second by second, the oldest first; none before `sampling`."""
        return list(self._history)

    @asynccontextmanager
    async def sampling(self) -> AsyncGenerator[None]:
        """Look at the event loop, and take a sample every second, inside the block."""
        task = asyncio.create_task(self._sample(self._appends.read(), self.requests.total()))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if self._board is not None:
                self._board.leave()

    async def _sample(self, appends: Appends, requests: Distribution) -> None:
        began, worst = perf_counter(), 0.0
        while True:
            due = perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            now = perf_counter()
            late = max(0.0, now - due)
            self._loop_lag.add(late)
            worst = max(worst, late)
            if now - began >= 1.0:
                appended, requested = self._appends.read(), self.requests.total()
                self._history.append(_sample_of(now - began, worst, appends, appended, requested.since(requests)))
                began, worst, appends, requests = now, 0.0, appended, requested
                if self._board is not None:
                    self._board.tell(self.read())


def _sample_of(seconds: float, lag: float, before: Appends, after: Appends, requests: Distribution) -> Sample:
    appends = after.seconds.since(before.seconds)
    return Sample(
        at=time.time(),
        appends=appends.count / seconds,
        events=(after.events - before.events) / seconds,
        conflicts=(after.conflicts - before.conflicts) / seconds,
        requests=requests.count / seconds,
        append_mean=appends.mean,
        append_p99=appends.quantile(0.99),
        request_mean=requests.mean,
        request_p99=requests.quantile(0.99),
        loop_lag=lag,
    )


def _messages(timings: Timings) -> list[Messages]:
    return [Messages(name, outcome, seconds) for (name, outcome), seconds in timings.read()]


def counting(timings: Timings) -> Middleware:
    """Count each message by its name and by what came of it."""

    async def middleware(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        began = perf_counter()
        outcome = "failed"
        try:
            answer = await call_next(message, metadata)
            outcome = "done"
        except TwofoldError as error:
            if not isinstance(error, TROUBLE):
                outcome = "refused"
            raise
        finally:
            timings.add((type(message).__name__, outcome), perf_counter() - began)
        return answer

    return middleware


async def numbers(metrics: Metrics, views: Views) -> Numbers:
    """The numbers of this process and those beside it, and of the store and its views."""
    return Numbers(metrics.processes(), await _log(views))


async def _log(views: Views) -> Log | None:
    """How the log and its projections stand; None where the store does not tell in time."""
    with suppress(TwofoldError, TimeoutError):
        async with asyncio.timeout(STORE_SECONDS):
            projections = await overview(views.store, views)
            return Log(await views.store.head(), projections)
    return None


def _resident_bytes() -> int | None:
    """The memory that this process holds; None where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return None
