"""Stores that fail when they are told to: before a transaction, in the midst of it, and behind its commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

from twofold.errors import OutcomeUnknown, StatementFailed, StoreBusy, StoreUnavailable
from twofold.sql import Row, Work
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore

T = TypeVar("T")

Fault: TypeAlias = Literal["none", "busy", "wrong", "lost", "unknown"] | int
"""What becomes of a transaction: nothing bad; refused; a wrong statement; rolled back, and committed, both without
anybody knowing; broken off after so many of its statements."""


def broken_off(work: Work[T], after: int) -> Work[T]:
    """The same work, whose connection breaks after some statements."""
    rows: list[Row] = []
    try:
        step = next(work)
        for _ in range(after):
            rows = yield step
            step = work.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise StoreUnavailable("the connection is gone")


class Faults:
    """What shall become of the next transactions."""

    def __init__(self) -> None:
        self._next: deque[Fault] = deque()
        self.happened = 0

    def plan(self, *faults: Fault) -> None:
        self._next.extend(faults)

    @property
    def left(self) -> int:
        return len(self._next)

    async def are_over(self) -> bool:
        return not self._next

    def clear(self) -> None:
        self._next.clear()

    def take(self) -> Fault:
        fault = self._next.popleft() if self._next else "none"
        self.happened += fault != "none"
        return fault

    def before(self, fault: Fault, work: Callable[[], Work[T]]) -> Callable[[], Work[T]]:
        match fault:
            case "busy":
                raise StoreBusy("another process has it")
            case "wrong":
                raise StatementFailed("no such table")
            case "lost":
                raise OutcomeUnknown("views", "the connection broke at COMMIT")
            case int():
                return lambda: broken_off(work(), fault)
            case _:
                return work

    def behind(self, fault: Fault) -> None:
        if fault == "unknown":
            raise OutcomeUnknown("views", "the connection broke at COMMIT")


class TroubledMemory(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()

    async def work(self, work: Callable[[], Work[T]]) -> T:
        fault = self.faults.take()
        result = await super().work(self.faults.before(fault, work))
        self.faults.behind(fault)
        return result


class TroubledSqlite(SqliteStore):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.faults = Faults()

    async def work(self, work: Callable[[], Work[T]]) -> T:
        fault = self.faults.take()
        result = await super().work(self.faults.before(fault, work))
        self.faults.behind(fault)
        return result
