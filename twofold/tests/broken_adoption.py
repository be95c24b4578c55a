"""Stores that adopt the events of another log in a wrong way, on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from time import time_ns

from msgspec.structs import replace

from twofold.errors import AdoptionRefused
from twofold.events import Recorded
from twofold.store import bounded
from twofold.stores.memory import MemoryStore


class GivesNewPositions(MemoryStore):
    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        head = len(self._log)
        await super().adopt([replace(event, position=head + n) for n, event in enumerate(events, start=1)])


class GivesNewTimes(MemoryStore):
    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        await super().adopt([replace(event, recorded_microseconds=time_ns() // 1_000) for event in events])


class OneByOne(MemoryStore):
    """What does not fit is refused, and what came before it stays."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        for event in events:
            await super().adopt([event])


class TakesAnything(MemoryStore):
    """Takes what does not fit."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        try:
            await super().adopt(events)
        except AdoptionRefused:
            self._keep(events)


class TakesAnyPosition(MemoryStore):
    """Looks at the versions only, and puts the events into their order itself."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        log, self._log = self._log, []
        try:
            await super().adopt(sorted(events, key=lambda event: event.position))
        finally:
            self._log = sorted([*log, *self._log], key=lambda event: event.position)


class TakesAnyName(MemoryStore):
    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        try:
            await super().adopt(events)
        except ValueError:
            self._keep(events)


class CountsItsEvents(MemoryStore):
    """Takes the number of events for the head of the log."""

    @property
    def _head(self) -> int:
        return len(self._log)


class PagesByPosition(MemoryStore):
    """Takes `limit` for a number of positions."""

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
        async for recorded in super().read_all(after=after, limit=limit):
            if limit is None or recorded.position <= bounded(after) + limit:
                yield recorded


class ForgetsAnswers(MemoryStore):
    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        answers = dict(self._answers)
        await super().adopt(events)
        self._answers = answers


class AnswersByThePage(MemoryStore):
    """Keeps what the first page answered, where the append goes on in the next one."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        answers = dict(self._answers)
        await super().adopt(events)
        self._answers |= answers


class TheLastAnswerStands(MemoryStore):
    """Forgets what was answered before."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        for event in events:
            if event.metadata.idempotency is not None:
                self._answers.pop(event.metadata.idempotency.key, None)
        await super().adopt(events)


class WakesNobody(MemoryStore):
    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        waiting, self._waiting = self._waiting, set()
        await super().adopt(events)
        self._waiting = waiting


class MarksAsFolded(MemoryStore):
    """Moves the checkpoints on, although nothing was folded."""

    async def adopt(self, events: Sequence[Recorded[bytes]]) -> None:
        await super().adopt(events)
        self._checkpoints = dict.fromkeys(self._checkpoints, self._head)
