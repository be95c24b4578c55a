"""A subscription in this process: which of its parts are run here, and what becomes of them.

Every process that could run a subscription is a member of it. Parts are shared out evenly between the members that
live; a part whose owner has died is taken over after a lease, one whose owner closes goes over at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import uuid4

from twofold.claims import Beat, Claim, Claims, Held
from twofold.errors import OutcomeUnknown, StoreClosed, StoreUnavailable, TwofoldError
from twofold.follower import Follower
from twofold.sequences import Subscriber, describe
from twofold.store import Store

LEASE_SECONDS = 10.0
BEATS = 5  # in a lease: some may be late
WANTING_SECONDS = 0.1  # between two looks at parts that are to become ours

log = logging.getLogger("twofold.subscription")


class Subscription:
    """Runs a subscriber's parts in this process, as far as they are its share."""

    def __init__(
        self,
        store: Store,
        subscriber: Subscriber,
        *,
        lease_seconds: float = LEASE_SECONDS,
        pace: float = 0.0,
        on_advance: Callable[[], None] = lambda: None,
    ) -> None:
        """It runs as soon, and as long, as it is known to the store (`Claims.register`).

        With a `pace` it rests after each page, for so many times as long as the page took: others get their turn.

        `on_advance` is called after each transaction that has brought a part further.
        """
        self.subscriber = subscriber
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        self._store = store
        self._lease = lease_seconds
        self._on_advance = on_advance
        self._pace = pace
        self._claims = Claims(store.dialect)
        self._running: dict[int, tuple[Claim, asyncio.Task[str | None]]] = {}
        self._given_up: dict[int, tuple[int | None, int]] = {}  # at what position, and after how many resumes
        self._resumed = 0
        self._stuck = False  # whether something is given up: then others may have our share
        self._seen: dict[str, tuple[object, float]] = {}  # what was seen of a beat, and since when it is the same
        self._wanting = False  # whether a part of our share is still somebody else's, or nobody's
        self._trouble = ""  # the last one that was told

    async def run(self) -> None:
        """Run until cancelled; what is held is given up then, so that others go on at once."""
        try:
            while True:
                try:
                    await self._look_after()
                    self._trouble = ""
                except StoreClosed:
                    return
                except Exception as error:  # whatever it is, nobody else would notice that this has ended
                    self._tell(error)
                await self._pause()
        finally:
            await self._stop()

    def _tell(self, error: Exception) -> None:
        """Log what is in the way, once as long as it is the same."""
        expected = isinstance(error, (StoreUnavailable, OutcomeUnknown))
        if self._trouble != (trouble := describe(error)):
            self._trouble = trouble
            level = logging.WARNING if expected else logging.ERROR
            log.log(level, "%s cannot be looked after: %s", self.subscriber.name, error, exc_info=not expected)

    async def _pause(self) -> None:
        """Wait for a beat, or until a part ends."""
        tasks = [task for _, task in self._running.values()]
        seconds = self._lease / BEATS
        if self._wanting:  # it may be given up at any moment, and is not followed until we take it
            seconds = min(seconds, WANTING_SECONDS)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(min(seconds, 0.05))  # a part that ends again and again must not make this spin
        else:
            await asyncio.sleep(seconds)

    async def _look_after(self) -> None:
        """One beat: show that we live, and see to it that we run our share."""
        name = self.subscriber.name
        await self._collect()
        beat = await self._store.work(partial(self._claims.beat, name, self.owner, member=not self._stuck))
        if beat is None:  # it is no subscription, or no longer: perhaps another process keeps the view inline
            beat = Beat(paused=True, resumed=0, parts=[], members=[])
        await self._check_places(beat.parts)
        living = await self._living(beat.members)
        parts = {held.partition: held for held in beat.parts}
        for number, (claim, _) in list(self._running.items()):
            if number not in parts or parts[number].epoch != claim.epoch:
                await self._end(number)  # it was taken from us
        rank, share = living.index(self.owner), len(parts) // len(living)
        share += rank < len(parts) % len(living)
        for number in sorted(self._running)[share:]:
            claim = await self._end(number)
            await self._store.work(partial(self._claims.release, claim))
        if not beat.paused:
            await self._start(beat.parts, share, beat.resumed)
        self._stuck = any(self._is_given_up(held, beat.resumed) for held in beat.parts)
        self._wanting = len(self._running) < share and not (beat.paused or self._stuck)
        self._resumed = beat.resumed

    async def _check_places(self, parts: Sequence[Held]) -> None:
        """See to it that nobody goes on with parts that have passed the end of the log: it is not what they folded."""
        head = await self._store.head()  # after the parts were read: meanwhile it only rises
        for held in parts:
            if held.position > head:
                log.error("%s is at position %d, but the log ends at %d", held.name, held.position, head)
                await self._store.work(partial(self._claims.lead_astray, held.name))
                return

    async def _living(self, members: Sequence[tuple[str, int]]) -> list[str]:
        """The members that live, ourselves among them, in the same order in every process; the others are dismissed."""
        living = {self.owner}
        for owner, beat in members:
            if owner != self.owner and self._has_stopped(f"member {owner}", beat):
                del self._seen[f"member {owner}"]  # should it come back, it is a new one
                await self._store.work(partial(self._claims.dismiss, self.subscriber.name, owner, beat))
            else:
                living.add(owner)
        return sorted(living)

    def _is_given_up(self, held: Held, resumed: int) -> bool:
        return self._given_up.get(held.partition) == (held.position, resumed)

    async def _start(self, parts: Sequence[Held], share: int, resumed: int) -> None:
        for held in parts:
            if len(self._running) >= share:
                return
            if held.partition in self._running or self._is_given_up(held, resumed):
                continue
            claim: Claim | None = None
            if held.owner == self.owner:
                claim = Claim(held.name, held.partition, held.epoch)
            elif held.owner is None or self._has_stopped(f"part {held.partition}", (held.epoch, held.beat)):
                claim = await self._store.work(partial(self._claims.take, held, self.owner))
                if claim is not None and held.owner is not None:
                    log.warning("%s: part %d is taken over from %s", held.name, held.partition, held.owner)
            if claim is not None:
                follower = Follower(
                    self._store, self.subscriber, claim, len(parts), pace=self._pace, on_advance=self._on_advance
                )
                self._running[held.partition] = claim, asyncio.create_task(follower.follow())

    def _has_stopped(self, what: str, beat: object) -> bool:
        """Whether this has been the same for a whole lease, by our own clock."""
        now = time.monotonic()
        known = self._seen.get(what)
        if known is None or known[0] != beat:
            self._seen[what] = (beat, now)
            return False
        return now - known[1] > self._lease

    async def _collect(self) -> None:
        """See to the parts that have ended by themselves."""
        for number, (claim, task) in list(self._running.items()):
            if task.done():
                del self._running[number]
                reason = task.result()
                if reason is not None:
                    log.error("%s: part %d is given up: %s", claim.name, number, reason)
                    position = await self._store.work(partial(self._claims.release, claim, reason))
                    self._given_up[number] = position, self._resumed

    async def _end(self, number: int) -> Claim:
        claim, task = self._running.pop(number)
        task.cancel()
        await asyncio.wait([task])
        return claim

    async def _stop(self) -> None:
        """Give up what we have, and what a work has taken that was cancelled and went through all the same."""
        for number in list(self._running):
            await self._end(number)
        with suppress(TwofoldError):
            await self._store.work(partial(self._claims.close, self.subscriber.name, self.owner))
