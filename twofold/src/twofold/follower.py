"""One part of a subscription, followed: catch up with the log, then fold what is appended, for ever.

View rows, the position that was reached and the letters that were parked change in one transaction, which looks first
whether the claim still holds. So each event is folded once, whoever is killed, paused or taken over meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from twofold.claims import Claim, Claims
from twofold.errors import EventUnknown, EventUnreadable, OutcomeUnknown, StoreClosed, StoreFailed, StoreUnavailable
from twofold.events import Recorded
from twofold.parked import Parked
from twofold.sequences import (
    ASTRAY,
    PAST_THE_END,
    ClaimLost,
    Failure,
    Failures,
    GivenUp,
    Part,
    Paused,
    Subscriber,
    describe,
    is_poison,
    partition_of,
    stream_sequence,
)
from twofold.sql import Work
from twofold.store import Store, check_names
from twofold.tracing import folding

PAGE = 500  # events folded in one transaction
PAGE_BYTES = 4 * 2**20  # of their data, after which it takes no more: folded they are several times as large
LONGEST = 1000  # bytes of a sequence's name that an index of any database takes
IDLE_SECONDS = 5.0  # after which a follower looks at the log without having been woken
BACK_OFF_SECONDS = (0.05, 0.2, 1.0, 2.0, 5.0)  # between attempts while the store cannot be reached

log = logging.getLogger("twofold.subscription")


class _Moved(Exception):
    """The part is at another position than was thought: a commit was answered with an unknown outcome."""


class Follower:
    """Follows the log for one claimed part until it is cancelled or loses its claim."""

    def __init__(
        self,
        store: Store,
        subscriber: Subscriber,
        claim: Claim,
        partitions: int,
        *,
        pace: float = 0.0,
        on_advance: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_advance` is called after each transaction that has brought the part further; for `pace` see
        Subscription."""
        self._pace = pace
        self._store = store
        self._subscriber = subscriber
        self._claim = claim
        self._partitions = partitions
        self._on_advance = on_advance
        self._claims = Claims(store.dialect)
        self._parked = Parked(store)
        self._position: int | None = None  # None: ask the row
        self._look_at = 0.0  # when to look for letters that are due, by `time.monotonic`

    async def follow(self) -> str | None:
        """Go on until the claim is lost, somebody pauses, or this code cannot go on; then it answers why not."""
        trouble = 0
        while True:
            try:
                await self._turn()
                trouble = 0
            except StoreClosed:
                return None
            except (StoreUnavailable, OutcomeUnknown) as error:
                log.log(
                    logging.WARNING if trouble == 0 else logging.DEBUG,
                    "%s waits for the store: %s",
                    self._subscriber.name,
                    error,
                )
                self._position = None
                await asyncio.sleep(BACK_OFF_SECONDS[min(trouble, len(BACK_OFF_SECONDS) - 1)])
                trouble += 1
            except _Moved:
                self._position = None
            except (ClaimLost, Paused):
                return None
            except (GivenUp, StoreFailed) as error:
                return str(error)
            except Exception as error:  # a fault of ours: it must be seen, and must not end the process
                log.exception("%s cannot go on", self._subscriber.name)
                return describe(error)

    async def _turn(self) -> None:
        """Fold one page, or wait for one."""
        if self._position is None:
            self._position = await self._store.work(lambda: self._claims.lock(self._claim))
        if self._position == ASTRAY:
            raise GivenUp(PAST_THE_END)
        began = time.monotonic()
        page = await self._page(self._position)
        if page:
            with folding(self._claim.name, page):
                await self._fold(self._position, page)
            await asyncio.sleep(self._pace * (time.monotonic() - began))
        next_retry = await self._retry_due()
        if not page:
            await self._idle(next_retry)

    async def _page(self, position: int) -> list[Recorded[bytes]]:
        """The next events, up to the first that is damaged. Raises GivenUp if that is the next one."""
        page: list[Recorded[bytes]] = []
        size = 0
        try:
            async for recorded in self._store.read_all(after=position, limit=PAGE):
                page.append(recorded)
                size += len(recorded.data)
                if size >= PAGE_BYTES:
                    break
        except EventUnreadable as error:
            if not page:
                raise GivenUp(str(error)) from error
        return page

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._store.wait_appended(after=self._position or 0)

    async def _retry_due(self) -> float:
        """Try the letters again whose time has come; answers in how many seconds to look again."""
        seconds = self._look_at - time.monotonic()
        if seconds > 0:
            return seconds
        name, number, _ = self._claim
        due, later = await self._parked.due(name, number)
        if due:
            await self._store.work(lambda: self._claims.lock(self._claim))  # it is still ours, and not paused
        for sequence in due:
            await self._parked.retry(self._subscriber, number, sequence, batches=1)  # others must not wait for all
            self._on_advance()
        seconds = 0.0 if due else min(IDLE_SECONDS, IDLE_SECONDS if later is None else later)
        self._look_at = time.monotonic() + seconds
        return seconds

    # --- folding ----------------------------------------------------------------------------------------------------

    async def _fold(self, position: int, events: Sequence[Recorded[bytes]]) -> None:
        """Fold the events behind a position. If that fails as a whole, find the one at fault by halves and park it."""
        parts, failures, known = self._parts(events)
        try:
            await self._commit(position, known[-1].position, parts, failures)
        except Exception as error:
            if isinstance(error, _Moved) or not is_poison(error):
                raise
            failure = Failure.of(position, error)
        else:
            return
        if len(known) > 1:
            middle = len(known) // 2
            await self._fold(position, known[:middle])
            await self._fold(known[middle - 1].position, known[middle:])
        else:
            poison = {_letter_sequence(part): failure._replace(position=part.event.position) for part in parts}
            await self._commit(position, known[-1].position, parts, {**poison, **failures})

    async def _commit(self, position: int, until: int, parts: Sequence[Part], failures: Failures) -> None:
        noted: Failures = {}

        def work() -> Work[None]:
            noted.clear()
            noted.update(failures)
            return (yield from self._step(position, until, parts, noted))

        await self._store.work(work)
        for sequence, failure in noted.items():
            log.warning(
                "%s parks %r from position %d on: %s", self._claim.name, sequence, failure.position, failure.place
            )
        if noted:
            self._look_at = 0.0
        self._position = until
        self._on_advance()

    def _parts(self, events: Sequence[Recorded[bytes]]) -> tuple[list[Part], Failures, Sequence[Recorded[bytes]]]:
        """The parts of the events that are this follower's, and those that cannot be read.

        Events come up to the first that the code does not know: what it means is unknown, so nothing behind it may be
        folded. Raises GivenUp if that is the first.
        """
        parts: list[Part] = []
        failures: Failures = {}
        for number, event in enumerate(events):
            try:
                parts += (
                    part
                    for part in self._subscriber.parts(event)
                    if self._partitions == 1 or partition_of(part.sequence, self._partitions) == self._claim.partition
                )
            except EventUnknown as error:
                if number == 0:
                    raise GivenUp(f"position {event.position}: {error}") from error
                return parts, failures, events[:number]
            except Exception as error:  # its sequences cannot be told, so its stream has to wait
                sequence = stream_sequence(event.stream)
                parts.append(Part(sequence, event))
                failures.setdefault(sequence, Failure.of(event.position, error))
        return parts, failures, events

    def _step(self, position: int, until: int, parts: Sequence[Part], failures: Failures) -> Work[None]:
        """The one transaction: claim, rows, letters, position."""
        if (yield from self._claims.lock(self._claim)) != position:
            raise _Moved
        yield from self._parked.fold(self._subscriber, self._claim.partition, parts, failures)
        yield from self._parked.check_limit(self._claim.name, failures)
        yield from self._claims.advance(self._claim, until)


def _letter_sequence(part: Part) -> str:
    """Under what name to park a part: its stream's, where its own is such that no database could keep it."""
    try:
        check_names(part.sequence)
    except ValueError:
        return stream_sequence(part.event.stream)
    return part.sequence if len(part.sequence.encode()) <= LONGEST else stream_sequence(part.event.stream)
