"""Stores whose waiting, strings, snapshots or views are broken on purpose: the contract must find them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from broken_stores import Appending, turns
from twofold.errors import ProjectionFailed, StatementFailed, StoreFailed
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Fold, Row, Work
from twofold.statistics import AppendStatistics
from twofold.store import Moment, Progress, Snapshot
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore
from twofold.stores.sqlite.bell import Bell
from twofold.stores.sqlite.checkpoints import save_checkpoint
from twofold.stores.sqlite.driver import Connection
from twofold.stores.sqlite.inline import InlineFolds
from twofold.stores.sqlite.work import drive, drive_fold
from twofold.stores.sqlite.writer import Job, Outcome, Writer

T = TypeVar("T")


# --- waiting ----------------------------------------------------------------------------------------------------------


class MissesTheWakeUp(MemoryStore):
    """Looks, lets others run, and only then falls asleep."""

    async def wait_appended(self, *, after: int) -> None:
        if await self.head() <= after:
            await turns(1)
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(woken)
            await woken


class WakesForNothing(MemoryStore):
    async def wait_appended(self, *, after: int) -> None:
        if await self.head() <= after:
            await asyncio.sleep(0.02)


class WakesOnlyOne(MemoryStore):
    def _wake(self) -> None:
        for woken in [waiting for waiting in self._waiting if not waiting.done()][:1]:
            woken.set_result(None)


class SharesOneSleep(MemoryStore):
    """All wait for the same future, so whoever is cancelled takes the others with it."""

    _sleep: asyncio.Future[None] | None = None

    async def wait_appended(self, *, after: int) -> None:
        while await self.head() <= after:
            if self._sleep is None or self._sleep.done():
                self._sleep = asyncio.get_running_loop().create_future()
                self._waiting.add(self._sleep)
            await self._sleep


class _DeafBell(Bell):
    def _poll_later(self) -> None:
        pass


class DeafToOthers(SqliteStore):
    """Hears of the appends of its own opening only."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._bell = _DeafBell(self._head)


class OpenWhenClosed(MemoryStore):
    def _check_open(self) -> None:
        pass


# --- what is written is not what is read ------------------------------------------------------------------------------


class CutsAtNul(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return await self.right(stream.partition("\0")[0], events, expected, asked)


class ReplacesHalves(Appending):
    """Takes a text that is not UTF-8, and gives another one back."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return await self.right(stream.encode(errors="replace").decode(), events, expected, asked)


class IgnoresCase(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return await self.right(stream.casefold(), events, expected, asked)


class DropsMicroseconds(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        cut = [
            msgspec.structs.replace(
                event,
                metadata=msgspec.structs.replace(event.metadata, at=event.metadata.at.replace(microsecond=0)),
            )
            for event in events
        ]
        return await self.right(stream, cut, expected, asked)


class KeepsAnySnapshot(MemoryStore):
    async def save_snapshot(self, stream: str, snapshot: Snapshot) -> None:
        self._snapshots[stream] = snapshot


# --- folds ------------------------------------------------------------------------------------------------------------


class FoldsAfterTheAppend(Appending):
    """Folds in a transaction of its own, when the events are stored already."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        folds, self._folds = self._folds, {}
        try:
            receipt = await self.right(stream, events, expected, asked)
        finally:
            self._folds = folds
        for name, fold in folds.items():
            await self.advance(name, fold, limit=len(self._log))
        return receipt


class FoldsOnlyTheNew(MemoryStore):
    def _run_folds(self, added: Sequence[Recorded[bytes]]) -> None:
        for name in self._folds:
            self._checkpoints[name] = len(self._log)
        super()._run_folds(added)


class BeginsWithoutACheckpoint(MemoryStore):
    """Takes a checkpoint that is missing for one at 0."""

    def _run_folds(self, added: Sequence[Recorded[bytes]]) -> None:
        for name in self._folds:
            self._checkpoints.setdefault(name, 0)
        super()._run_folds(added)


class FoldsApart(MemoryStore):
    """A transaction for each fold: those before the one that failed stay."""

    def _run_folds(self, added: Sequence[Recorded[bytes]]) -> None:
        folds = self._folds
        for name, fold in folds.items():
            self._folds = {name: fold}
            try:
                super()._run_folds(added)
            finally:
                self._folds = folds


class HidesTheFold(MemoryStore):
    """Lets the error of a fold pass, and the append stand."""

    def _run_folds(self, added: Sequence[Recorded[bytes]]) -> None:
        try:
            super()._run_folds(added)
        except ProjectionFailed:
            self._checkpoints.update(dict.fromkeys(self._folds, added[-1].position))


class AdvancesTwice(MemoryStore):
    """Writes the checkpoint after the views, and others run in between."""

    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        reached = self._checkpoints.get(name, 0)
        events = self._log[reached : reached + limit]
        with self._open.transaction():
            drive_fold(self._open, name, fold, events)
        await turns(1)
        self._checkpoints[name] = reached + len(events)
        return Progress(self._checkpoints[name], len(self._log))


class IgnoresTheLimit(MemoryStore):
    async def advance(self, name: str, fold: Fold, *, limit: int) -> Progress:
        return await super().advance(name, fold, limit=len(self._log))


class ResetsTheOldToo(MemoryStore):
    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        await super().reset(name, work)


class ResetsBeforeTheWork(MemoryStore):
    async def reset(self, name: str, work: Callable[[], Work[None]], *, only_new: bool = False) -> None:
        if not only_new or name not in self._checkpoints:
            self._checkpoints[name] = 0
            await self.work(work)


class ReplacesInSteps(MemoryStore):
    """Looks at the checkpoint before its transaction, and writes it behind."""

    async def replace_checkpoint(self, name: str, work: Callable[[int | None], Work[int | None]]) -> None:
        reached = self._checkpoints.get(name)
        await turns(1)
        position = await self.work(lambda: work(reached))
        await super().replace_checkpoint(name, partial(_put, position))


def _put(position: int | None, _: int | None) -> Work[int | None]:
    yield from ()
    return position


class PromotesWithoutTheRest(MemoryStore):
    async def promote(
        self, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int = 1000
    ) -> Progress:
        def nothing(events: Sequence[Recorded[bytes]]) -> Work[None]:
            yield from ()

        return await super().promote(name, nothing, to=to, swap=swap, limit=limit)


class WorksInSteps(MemoryStore):
    """Each statement is a transaction of its own."""

    async def work(self, work: Callable[[], Work[T]]) -> T:
        return drive(self._open, work())


class FailsWithAStatement(MemoryStore):
    """Tells a wrong statement as a failure of the store."""

    async def work(self, work: Callable[[], Work[T]]) -> T:
        try:
            return await super().work(work)
        except StatementFailed as error:
            raise StoreFailed(str(error)) from error


class WorksMix(MemoryStore):
    """Others run between the statements of a work."""

    async def work(self, work: Callable[[], Work[T]]) -> T:
        running, rows = work(), list[Row]()
        try:
            step = next(running)
            while True:
                if isinstance(step, Fetch):
                    rows = self._open.rows(*step)
                else:
                    self._open.run_many(*step)
                    rows = []
                await turns(1)
                step = running.send(rows)
        except StopIteration as stop:
            result: T = stop.value
            return result


class MovingMoment(MemoryStore):
    @asynccontextmanager
    async def moment(self) -> AsyncGenerator[Moment]:
        yield self


class LateMoment(MemoryStore):
    """A moment that begins with the first look, as a deferred transaction does."""

    @asynccontextmanager
    async def moment(self) -> AsyncGenerator[Moment]:
        yield FirstLook(self._open, self._checkpoints)


class FirstLook:
    def __init__(self, connection: Connection, checkpoints: Mapping[str, int]) -> None:
        self._connection = connection
        self._checkpoints = checkpoints
        self._copy: Connection | None = None

    async def checkpoint(self, name: str) -> int | None:
        return self._checkpoints.get(name)

    async def scan(self, query: Fetch) -> list[Row]:
        if self._copy is None:
            self._copy, self._checkpoints = self._connection.copy(), dict(self._checkpoints)
        return self._copy.rows(*query)


# --- SQLite -----------------------------------------------------------------------------------------------------------


class _OnlyItsOwn(InlineFolds):
    def run(self, appended: Sequence[Recorded[bytes]]) -> None:
        for name, fold in self.attached.items():
            if appended:
                drive_fold(self._connection, name, fold, appended)
                save_checkpoint(self._connection, name, appended[-1].position)


class FoldsOnlyItsOwn(Writer):
    """Gives a fold what was appended here, and not what another process appended."""

    def __init__(self, connection: Connection, on_commit: Callable[[], None], statistics: AppendStatistics) -> None:
        super().__init__(connection, on_commit, statistics)
        self.folds = _OnlyItsOwn(connection)


class FailsTheGroup(Writer):
    """Rolls a group back, and fails all of it, where one of its jobs failed."""

    def _run_apart(self, jobs: Sequence[Job[object]]) -> list[Outcome]:
        self._connection.roll_back()
        self._connection.run("begin immediate")
        return [(job, None, ProjectionFailed("seen", "another job failed")) for job in jobs]
