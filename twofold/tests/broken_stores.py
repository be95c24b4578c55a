"""Stores whose log is broken on purpose, each in one way in which a real one may be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from twofold.errors import Conflict, TwofoldError
from twofold.events import NewEvent, Receipt
from twofold.messages import Idempotency
from twofold.store import Remembered
from twofold.stores.memory import MemoryStore


async def turns(count: int) -> None:
    """Let others run."""
    for _ in range(count):
        await asyncio.sleep(0)


class Appending(MemoryStore):
    """A base for those that append in a wrong way: `wrong` stands where the append stood."""

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        return await self.wrong(stream, events, expected, idempotency)

    async def right(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None = None
    ) -> Receipt:
        return await super().append(stream, events, expected=expected, idempotency=asked)

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        raise NotImplementedError


# --- versions ---------------------------------------------------------------------------------------------------------


class NoVersionCheck(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return await self.right(stream, events, None, asked)


class NoLock(Appending):
    """Looks at the version, and acts on it when others have run."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        version = len(self._streams.get(stream, ()))
        if expected not in (None, version):
            return await self.right(stream, events, expected, asked)
        await turns(1)
        return await self.right(stream, events, None, asked)


class ConflictAfterStoring(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        try:
            return await self.right(stream, events, expected, asked)
        except Conflict:
            await self.right(stream, events, None)
            raise


class ConflictTellsTheExpected(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        try:
            return await self.right(stream, events, expected, asked)
        except Conflict as conflict:
            raise Conflict(stream, conflict.expected, conflict.expected) from None


# --- all or none, once ------------------------------------------------------------------------------------------------


class OneByOne(Appending):
    """Appends the events of one append one after the other."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        if len(events) < 2 or asked is not None:
            return await self.right(stream, events, expected, asked)
        await self.right(stream, events[:1], expected)
        await turns(1)
        for event in events[1:-1]:
            await self.right(stream, [event], None)
        return await self.right(stream, events[-1:], None)


class ForgetsIds(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        self._ids.clear()
        return await self.right(stream, events, None if expected == 0 else expected, asked)


class LooksForIdsTooEarly(Appending):
    """Two appends with the same ids, at once, both find none."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        if any(event.id in self._ids for event in events):
            return await self.right(stream, events, expected, asked)
        await turns(1)
        for event in events:
            self._ids.pop(event.id, None)
        return await self.right(stream, events, None, asked)


class RepeatsTheLastReceipt(Appending):
    """Answers a repeated append where the stream is now, instead of where it was."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        receipt = await self.right(stream, events, expected, asked)
        if receipt.repeated:
            last = self._streams[stream][-1]
            return Receipt(stream, last.version, last.position, repeated=True)
        return receipt


class RepeatsInSilence(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return msgspec.structs.replace(await self.right(stream, events, expected, asked), repeated=False)


class StandsAndFallsTogether(Appending):
    """Commits together what waits together, and when one of them fails, all do."""

    _group: list[tuple[Callable[[], Awaitable[Receipt]], asyncio.Future[Receipt]]] | None = None

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        outcome: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        job = (partial(self.right, stream, events, expected, asked), outcome)
        if self._group is not None:
            self._group.append(job)
            return await outcome
        self._group = [job]
        await turns(1)
        group, self._group = self._group, None
        failure: TwofoldError | None = None
        for run, waiting in group:
            try:
                if failure is not None:
                    raise failure
                waiting.set_result(await run())
            except TwofoldError as error:
                failure = error
                waiting.set_exception(error)
        return await outcome


# --- idempotency ------------------------------------------------------------------------------------------------------


class ForgetsKeys(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        receipt = await self.right(stream, events, expected, asked)
        self._answers.clear()
        return receipt


class KeepsTheKeyFirst(Appending):
    """Keeps the key before the append, and also when it fails."""

    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        try:
            return await self.right(stream, events, expected, asked)
        except TwofoldError:
            if asked is not None:
                self._answers.setdefault(asked.key, Remembered(asked, Receipt(stream, 0, 0), None))
            raise


class LooksForTheKeyTooEarly(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        if asked is None or asked.key in self._answers:
            return await self.right(stream, events, expected, asked)
        await turns(1)
        self._answers.pop(asked.key, None)
        return await self.right(stream, events, expected, asked)


class IgnoresTheFingerprint(Appending):
    async def wrong(
        self, stream: str, events: Sequence[NewEvent], expected: int | None, asked: Idempotency | None
    ) -> Receipt:
        return await self.right(stream, events, expected, asked and Idempotency(asked.key, ""))


class RefusesAnew(MemoryStore):
    async def refuse(self, idempotency: Idempotency, refusal: bytes) -> Remembered:
        self._answers[idempotency.key] = Remembered(idempotency, None, refusal)
        return self._answers[idempotency.key]
