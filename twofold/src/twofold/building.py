"""A build: a view's tables beside those in use, how they are filled, and how they take their place.

It stands between the tables and `twofold.rebuild`, which has what can be asked for. A build of an inline view is a
fold with a checkpoint; one of a subscribed view is a subscription of its own, in one part.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar
from uuid import uuid4

from twofold.claims import Claims, Held
from twofold.errors import ProjectionFailed, ProjectionInUse, RebuildOvertaken, StatementFailed, StoreBusy
from twofold.parked import Parked
from twofold.sequences import Subscriber
from twofold.sql import Fetch, Run, Work
from twofold.store import Progress, Store
from twofold.subscription import Subscription
from twofold.tables import Generation
from twofold.views import BUILD, View, Views, ViewSubscriber, identity, partitions_of, remade, table_names

PAGE = 50  # events folded under one lock: less than the wait that another writer is used to
PACE = 4.0  # how many times as long as a page took is rested after it
FOLLOWING_PACE = 1.0  # of a subscribed view, whose pages appends do not wait for on PostgreSQL
PATIENCE_SECONDS = 2.0  # for which a promotion tries to find the view in use no further than its build
INSIST_SECONDS = 30.0  # for which it is tried again because somebody reads the tables, or the build is late
LOOK_SECONDS = 0.05
BUSY_SECONDS = 0.3  # between two attempts at a swap: each holds up others for as long as it waits
OLD = "_old"  # ends the name of what was in use before the last promotion

T = TypeVar("T")
OnProgress = Callable[[Progress], None]

# On PostgreSQL a rename waits for those who read the table, and all who come later wait behind it: so not for long.
_BRIEFLY = Run("set local lock_timeout = '300ms'")


async def insist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What comes of an attempt, which is made again where somebody reads the tables."""
    end = time.monotonic() + INSIST_SECONDS
    while True:
        try:
            return await attempt()
        except StoreBusy:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(BUSY_SECONDS)


class Build:
    """A view's tables beside those in use, and how they take their place."""

    def __init__(self, views: Views, view: View) -> None:
        self.view = view
        self.names = table_names(view)
        self.key = identity(view) + BUILD
        self.store: Store = views.store
        self.claims = Claims(views.store.dialect)
        self.beside = self.generation(self.key)
        self.old = self.generation(identity(view) + OLD)
        self._views = views
        self._parked = Parked(views.store)
        self._subscribed = view in views.subscribed
        self._owner = f"a promotion ({uuid4().hex[:6]})"

    def generation(self, key: str) -> Generation:
        """The tables of the view in another version or state, by the name of their checkpoint."""
        return Generation(self.store.dialect, dict.fromkeys(self.names, key.removeprefix(self.view.name)))

    @property
    def subscriber(self) -> Subscriber:
        """The build, as a subscription drives it."""
        return ViewSubscriber(self.key, self.view, self.beside)

    async def exists(self) -> bool:
        """Whether there is a build of this view."""
        if self._subscribed:
            return bool(await self.store.work(partial(self.claims.parts, self.key)))
        return await self.store.checkpoint(self.key) is not None

    async def begin(self, *, anew: bool) -> None:
        """Make the tables, unless they are there and to be gone on with."""
        await insist(lambda: self.store.replace_checkpoint(self.key, partial(self._begin, anew)))

    def _begin(self, anew: bool, position: int | None) -> Work[int | None]:
        parts = yield from self.claims.parts(self.key)
        if not anew and (parts if self._subscribed else position is not None):
            return position
        yield from self._briefly()
        yield from self.claims.forget(self.key)
        yield from self._parked.forget(self.key)
        yield from remade(self.beside, self.view)
        if not self._subscribed:
            return 0
        yield from self.claims.register(self.key, 1)
        return None

    async def is_there(self, key: str) -> bool:
        """Whether the view has tables in another version or state."""
        table = self.generation(key).physical(self.names[0])
        try:
            await self.store.scan(Fetch(f'SELECT 1 FROM "{table}" LIMIT 1'))  # noqa: S608 - a table of our own
        except StatementFailed:
            return False
        return True

    def beats(self, key: str) -> Work[dict[str, int]]:
        """The beats of the processes that are said to run a subscription: those of the living rise."""
        parts = yield from self.claims.lock_all(key)
        beats = {f"{held.owner}: {held.partition}": held.beat for held in parts if held.owner is not None}
        return {**beats, **dict((yield from self.claims.members(key)))}

    def removed(self, key: str, seen: Mapping[str, int] | None, _position: int | None) -> Work[int | None]:
        """The work that removes tables, and all that is known of their subscription or checkpoint.

        Given the beats that were `seen` a lease ago, it raises ProjectionInUse if a process lives.
        """
        yield from self._briefly()
        beats = yield from self.beats(key)
        if seen is not None and any(seen.get(process) != beat for process, beat in beats.items()):
            raise ProjectionInUse(key)
        yield from self.generation(key).drop(self.names)
        yield from self.claims.forget(key)
        yield from self._parked.forget(key)
        return None

    # --- folding ----------------------------------------------------------------------------------------------------

    async def run(self, on_progress: OnProgress, *, pace: float = PACE) -> Progress:
        """Fold until the head of the log is reached."""
        if self._subscribed:
            return await self._follow(on_progress, min(pace, FOLLOWING_PACE))
        fold = self.view.fold(self.beside)
        return await self._paged(lambda page: self.store.advance(self.key, fold, limit=page), on_progress, pace)

    async def _paged(
        self, step: Callable[[int], Awaitable[Progress]], on_progress: OnProgress, pace: float
    ) -> Progress:
        """Take page after page. Where more was appended meanwhile than half of one, the next is twice as large.

        So all the others gain at least half their size on the log, and the head is reached in time. The rest is halved
        with it: a larger page alone might never gain, as its rest would grow with it.
        """
        page, behind = PAGE, None
        while True:
            began = time.monotonic()
            try:
                progress = await step(page)
            except ProjectionFailed as failed:
                if await self.store.checkpoint(self.key) is None:  # and so its tables are gone
                    raise RebuildOvertaken(self.view.name) from failed
                raise
            on_progress(progress)
            left = progress.head - progress.position
            if left <= 0:
                return progress
            if behind is not None and left > behind - page // 2:
                page, pace = page * 2, pace / 2
            behind = left
            await asyncio.sleep(pace * (time.monotonic() - began))

    async def _follow(self, on_progress: OnProgress, pace: float) -> Progress:
        """Run the build as a subscription; several processes may, and one of them does the work.

        Where the log grows all the time there may be no moment at which it has the last event, so it has reached the
        head once it has what was there a moment ago.
        """
        await self.store.work(self._forgive)
        head = await self.store.head()
        running = asyncio.create_task(Subscription(self.store, self.subscriber, pace=pace).run())
        try:
            while True:
                progress = await self._progress()
                on_progress(progress)
                if progress.position >= head:
                    return progress
                head = progress.head
                await asyncio.wait([running], timeout=LOOK_SECONDS)
                if running.done():
                    await running
        finally:
            running.cancel()
            await asyncio.wait([running])

    def _forgive(self) -> Work[None]:
        """Forget why an earlier run has failed: the code may be mended by now."""
        for held in (yield from self.claims.lock_all(self.key)):
            if held.failure is not None:
                yield from self.claims.set_to(self.key, held.position)

    async def _progress(self) -> Progress:
        parts = await self.store.work(partial(self.claims.parts, self.key))
        if not parts:
            raise RebuildOvertaken(self.view.name)
        for held in parts:
            if held.failure is not None:
                raise ProjectionFailed(self.view.name, held.failure)
        return Progress(min(held.position for held in parts), await self.store.head())

    # --- swapping ---------------------------------------------------------------------------------------------------

    async def promote(self, on_progress: OnProgress) -> Progress:
        """Bring the build to the view in use, or the head, and swap it in."""
        return await (self._promote_subscribed if self._subscribed else self._promote_inline)(on_progress)

    async def _promote_inline(self, on_progress: OnProgress) -> Progress:
        name, fold = identity(self.view), self.view.fold(self.beside)
        swap = partial(self._swap, await self.store.checkpoint(name) is not None)

        def step(page: int) -> Awaitable[Progress]:
            return insist(lambda: self.store.promote(self.key, fold, to=name, swap=swap, limit=page))

        return await self._paged(step, on_progress, PACE)

    async def _promote_subscribed(self, on_progress: OnProgress) -> Progress:
        """The view in use must be no further than its build. If that does not come about, it is held until it is."""
        began, hold = time.monotonic(), False
        running = asyncio.create_task(Subscription(self.store, self.subscriber).run())
        try:
            while True:
                position, busy = None, None
                try:
                    position = await self.store.work(partial(self._try_to_swap, hold))
                except StoreBusy as error:  # somebody reads the tables; meanwhile nobody may take the view over from us
                    busy = error
                    if hold:
                        await self.store.work(self._keep_holding)
                if position is not None:
                    progress = Progress(position, max(position, await self.store.head()))
                    on_progress(progress)
                    return progress
                await self._progress()  # raises if it has failed
                waited = time.monotonic() - began
                hold = waited > PATIENCE_SECONDS
                if waited > PATIENCE_SECONDS + INSIST_SECONDS:
                    if busy is not None:
                        raise busy
                    raise ProjectionFailed(self.view.name, "its build does not reach the view in use; is it paused?")
                await asyncio.wait([running], timeout=BUSY_SECONDS if busy else LOOK_SECONDS)
                if running.done():
                    await running
        finally:
            running.cancel()
            await asyncio.wait([running])
            if hold:
                await self.store.work(partial(self.claims.close, identity(self.view), self._owner))

    def _try_to_swap(self, hold: bool) -> Work[int | None]:
        """Swap if the build has reached what the view in use has; the position then, which all its parts are put to."""
        name = identity(self.view)
        used = yield from self.claims.lock_all(name)
        built = yield from self.claims.lock_all(self.key)
        if not built:
            raise RebuildOvertaken(self.view.name)
        position = built[0].position
        if any(held.position > position for held in used):
            if hold:
                yield from self._hold(used)
            return None
        yield from self._swap(bool(used))
        if not used:
            count = partitions_of(self.view, self._views.partitions)
            yield from self.claims.register(name, count, position)
        yield from self.claims.set_to(name, position)
        yield from self.claims.note_built(name)
        count = len((yield from self.claims.parts(name)))
        yield from self._parked.forget(name)
        yield from self._parked.hand_over(self.key, name, count)
        yield from self.claims.forget(self.key)
        return position

    def _hold(self, used: list[Held]) -> Work[None]:
        """Have the parts of the view in use ourselves, and do nothing with them; should we die, others take over."""
        for held in used:
            if held.owner != self._owner:
                yield from self.claims.take(held, self._owner)
        yield from self.claims.beat(identity(self.view), self._owner, member=False)

    def _keep_holding(self) -> Work[None]:
        yield from self._hold((yield from self.claims.lock_all(identity(self.view))))

    def _swap(self, known: bool) -> Work[None]:
        yield from self._briefly()
        yield from self.old.drop(self.names)
        if known:
            yield from self._views.current.rename(self.old, self.names)
        else:  # what stands there is of no view that was ever kept
            yield from self._views.current.drop(self.names)
        yield from self.beside.rename(self._views.current, self.names)

    def _briefly(self) -> Work[None]:
        """Do not wait for long in this transaction."""
        if self.store.dialect == "postgresql":
            yield _BRIEFLY
