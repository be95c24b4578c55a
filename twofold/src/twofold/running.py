"""The subscribed views of an application, run by this process for as long as it lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Set
from contextlib import asynccontextmanager
from functools import partial

import sqlalchemy as sa

from twofold.claims import Claims, partition, subscription
from twofold.errors import ProjectionFailed
from twofold.sql import Row
from twofold.store import Progress
from twofold.subscription import LEASE_SECONDS, Subscription
from twofold.views import View, Views, identity

LOOK_SECONDS = 0.05  # between two looks at a view that is being built

log = logging.getLogger("twofold.subscription")

_FAILED = sa.select(partition.c.name, partition.c.partition, partition.c.epoch).where(partition.c.failure.is_not(None))
_STATE = sa.select(subscription.c.built, subscription.c.paused).where(subscription.c.name == sa.bindparam("b_name"))


@asynccontextmanager
async def running(
    views: Views,
    *,
    lease_seconds: float = LEASE_SECONDS,
    on_advance: Callable[[], None] = lambda: None,
    on_progress: Callable[[View, Progress], None] = lambda _view, _progress: None,
) -> AsyncGenerator[None]:
    """Run a subscription for each subscribed view inside the block; at its end others may go on at once.

    The block begins when each view has reached the head of the log once: nobody reads one that is half built. It waits
    for a view that somebody has paused, and says so in the log. Raises ProjectionFailed for one that cannot be built.
    """
    subscriptions = [
        Subscription(
            views.store,
            views.subscriber(view),
            lease_seconds=lease_seconds,
            on_advance=on_advance,
        )
        for view in views.subscribed
    ]
    claims = Claims(views.store.dialect)
    failed = set(await views.store.rows(claims.query(_FAILED)))  # before: the code may be mended by now
    tasks = [asyncio.create_task(subscription.run()) for subscription in subscriptions]
    try:
        for view in views.subscribed:
            await _wait_built(views, view, failed, partial(on_progress, view))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_built(views: Views, view: View, failed: Set[Row], on_progress: Callable[[Progress], None]) -> None:
    """Wait until a view has reached the head of the log once: before, it is only half a view.

    `failed` are the claims under which something had failed before we began.
    """
    name, claims, store = identity(view), Claims(views.store.dialect), views.store
    head = await store.head()
    told: str | None = None
    while True:
        state = await store.rows(claims.query(_STATE, b_name=name))
        parts = await store.work(partial(claims.parts, name))
        if not state or not parts:
            raise ProjectionFailed(view.name, "it is no subscription any more; another process has changed that")
        built, paused = state[0]
        if built:
            return
        progress = Progress(min(held.position for held in parts), head)
        on_progress(progress)
        if progress.position >= head:
            await store.work(partial(claims.note_built, name))
            return
        for held in parts:
            if held.failure is not None and (name, held.partition, held.epoch) not in failed:
                raise ProjectionFailed(view.name, held.failure)
        if paused is not None and paused != told:
            log.warning("%s was never built, and is paused (%s): resume it, or nobody can read it", name, paused)
        told = paused
        await asyncio.sleep(LOOK_SECONDS)
