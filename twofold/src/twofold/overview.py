"""What the read side is doing, in words that a person can act on: states, lag, and why something stands still."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple

import sqlalchemy as sa

from twofold.auditing import STREAM as RECORDS_STREAM
from twofold.claims import Claims, Held, partition, subscription
from twofold.errors import EventUnreadable
from twofold.follower import PAGE
from twofold.parked import Parked
from twofold.sequences import ASTRAY, PAST_THE_END, kind_of
from twofold.sql import Fetch
from twofold.store import Store
from twofold.subscription import LEASE_SECONDS
from twofold.views import BUILD, Views, identity

RECORDS = 50  # of operators' actions in a row that are passed over


class State(StrEnum):
    """What a subscription is doing. One that is ahead has folded events that the log no longer has."""

    NEW = "new"
    CATCHING_UP = "catching up"
    FOLLOWING = "following"
    PAUSED = "paused"
    REBUILDING = "rebuilding"
    FAILED = "failed"
    DETACHED = "detached"
    AHEAD = "ahead"


class Status(NamedTuple):
    """How a projection stands. `behind` counts events, `seconds` how long the first of them has been waiting.

    Records of operators' actions right behind its position do not count: with the next event it passes them, too.

    `position` is that of its slowest part, 0 of one that was found ahead of the log. `owners` are the processes that
    run it; `reason` says why it does not follow, where there is more to say than the state does. `letters` are parked,
    of so many `sequences`.
    """

    name: str
    state: State
    inline: bool
    position: int
    head: int
    behind: int
    seconds: float
    letters: int
    sequences: int
    owners: tuple[str, ...]
    reason: str | None


_SUBSCRIPTIONS = sa.select(subscription.c.name, subscription.c.paused).order_by(subscription.c.name)
_CHECKPOINTS = "select name, position from checkpoint"
_FURTHEST = "select name, max(position) from subscription_partition group by name"
_PARTS = sa.select(*partition.c).order_by(partition.c.name, partition.c.partition)


async def overview(store: Store, views: Views | None = None, *, personal: bool = True) -> list[Status]:
    """All subscriptions of a store, and the inline views of `views`.

    Where what is `personal` is not to be seen, only the kind of an error is told: its text may quote an event.

    It costs two small reads, and for each that lags one more: the time of the first event that it has not folded.
    """
    claims, letters = Claims(store.dialect), Parked(store)
    known = await store.rows(claims.query(_SUBSCRIPTIONS))
    parts = [Held(*row) for row in await store.rows(claims.query(_PARTS))]
    inline = {
        identity(view): await store.checkpoint(identity(view)) or 0
        for view in (views.inline if views is not None else ())
    }
    head = await store.head()  # after them: meanwhile it only rises
    found: list[Status] = []
    for name, paused in known:
        own = [held for held in parts if held.name == name]
        position = max(0, min((held.position for held in own), default=0))
        state, reason = _state(name, own, paused, position, head)
        if state is State.FAILED and not personal:
            reason = kind_of(reason or "")
        owners = tuple(sorted({held.owner for held in own if held.owner is not None}))
        counts = await letters.count(name)
        found.append(await _status(store, name, state, position, head, letters=counts, owners=owners, reason=reason))
    for name, position in inline.items():
        state, reason = (State.AHEAD, PAST_THE_END) if position > head else (State.FOLLOWING, None)
        found.append(await _status(store, name, state, position, head, inline=True, reason=reason))
    return found


async def ahead_of_log(store: Store) -> dict[str, int]:
    """The folds that have passed the head of the log, and their positions.

    There are none, unless the log was restored from an older backup, or is not the one that they have folded.
    """
    found = [row for query in (_CHECKPOINTS, _FURTHEST) for row in await store.rows(Fetch(query))]
    head = await store.head()  # after them: meanwhile it only rises
    return {name: position for name, position in sorted(found) if position > head}


async def _status(
    store: Store,
    name: str,
    state: State,
    position: int,
    head: int,
    *,
    letters: tuple[int, int] = (0, 0),
    owners: tuple[str, ...] = (),
    reason: str | None = None,
    inline: bool = False,
) -> Status:
    passed = await _passed(store, position, head)
    seconds = await _seconds(store, passed, head)
    return Status(name, state, inline, position, head, max(0, head - passed), seconds, *letters, owners, reason)


def _state(name: str, parts: list[Held], paused: str | None, position: int, head: int) -> tuple[State, str | None]:
    if any(held.position == ASTRAY or held.position > head for held in parts):
        return State.AHEAD, PAST_THE_END
    if paused is not None:
        return State.PAUSED, paused
    for held in parts:
        if held.failure is not None:
            return State.FAILED, held.failure
    if all(held.beat == 0 and held.position == 0 for held in parts):
        return State.NEW, "no process has begun with it"
    for held in parts:
        silent = time.time() - held.seen_at / 1e6
        if held.owner is None:
            return State.DETACHED, "no process runs it"
        if silent > 2 * LEASE_SECONDS:
            return State.DETACHED, f"{held.owner} was last seen {silent:.0f} s ago"
    if name.endswith(BUILD):
        return State.REBUILDING, None
    return (State.CATCHING_UP if head - position > PAGE else State.FOLLOWING), None


async def _passed(store: Store, position: int, head: int) -> int:
    """A position, or one behind the records of operators that follow on it: no projection has to do with those."""
    try:
        async for recorded in store.read_all(after=position, limit=RECORDS if position < head else 0):
            if recorded.stream != RECORDS_STREAM:
                break
            position = recorded.position
    except EventUnreadable:
        return position
    return position


async def _seconds(store: Store, position: int, head: int) -> float:
    """How long the first event behind a position has been in the log; of one that is damaged, the next must tell."""
    while position < head:
        try:
            async for recorded in store.read_all(after=position, limit=1):
                return max(0.0, time.time() - recorded.recorded_at.timestamp())
        except EventUnreadable:
            position += 1
        else:
            break
    return 0.0
