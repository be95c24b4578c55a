"""What the tests of subscriptions share: a view that remembers every event it was given, ways to fill and to run it.

A row keeps the positions of its events in the order in which they were folded, so an event that was lost, folded twice
or out of order can be read off it. What the rows must be is worked out in `naive_ledgers`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec
from uuid_utils.compat import uuid7

import naive_ledgers
from twofold import Codec, Metadata, NewEvent, Projection, Receipt, Recorded, Source, Store
from twofold.claims import Claim, Claims
from twofold.errors import EventUnreadable
from twofold.follower import Follower
from twofold.parked import Letter, Parked
from twofold.sequences import Subscriber
from twofold.subscription import Subscription
from twofold.table_view import TableView
from twofold.views import View, Views, identity

PATIENCE = 60.0  # seconds after which what is waited for will not come
LEASE = 0.5


@dataclass(frozen=True)
class Paid:
    customers: list[str]
    amount: int


codec: Codec[Paid] = Codec({"Paid": Paid})


class Ledger(msgspec.Struct, frozen=True):
    positions: tuple[int, ...]
    total: int


@dataclass
class Trouble:
    """What is wrong now: customers and positions for which the projection raises, positions that cannot be decoded."""

    customers: set[str] = field(default_factory=set[str])
    failing: set[int] = field(default_factory=set[int])
    positions: set[int] = field(default_factory=set[int])


class Ledgers(Projection[Paid, Ledger]):
    """A row a customer."""

    name = "ledgers"
    view = Ledger

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble

    def key(self, recorded: Recorded[Paid], /) -> Sequence[str]:
        return recorded.data.customers

    def evolve(self, view: Ledger | None, recorded: Recorded[Paid], /) -> Ledger:
        trouble = self._trouble
        if recorded.position in trouble.failing or any(name in trouble.customers for name in recorded.data.customers):
            raise ValueError("this customer's payments cannot be folded")
        before = view or Ledger((), 0)
        return Ledger((*before.positions, recorded.position), before.total + recorded.data.amount)


@dataclass(frozen=True)
class Flaky(Source[Paid]):
    """A source some events of which cannot be read."""

    trouble: Trouble = field(default_factory=Trouble)

    def decode(self, events: Iterable[Recorded[bytes]]) -> Iterator[Recorded[Paid]]:
        for recorded in events:
            if recorded.position in self.trouble.positions:
                raise EventUnreadable(recorded.stream, recorded.version, recorded.type, "it is garbled")
            yield from super().decode((recorded,))


ORDERS = frozenset({"order"})


def ledgers(trouble: Trouble | None = None) -> TableView[Paid, Ledger]:
    known = trouble or Trouble()
    return TableView(Ledgers(known), Flaky(ORDERS, codec, known))


async def pay(store: Store, stream: str, *customers: str, amount: int = 1) -> Receipt:
    """One payment."""
    return await store.append(stream, [payment(*customers, amount=amount)], expected=None)


def payment(*customers: str, amount: int = 1) -> NewEvent:
    return codec.encode(Paid(list(customers), amount), Metadata.new())


def raw(data: bytes, *, type: str = "Paid", schema: int = 1) -> NewEvent:
    """An event as other code may have stored it."""
    return NewEvent(id=uuid7(), type=type, schema=schema, data=data, metadata=Metadata.new())


# --- running ----------------------------------------------------------------------------------------------------------


class Stepping(Follower):
    """A follower that is led by hand."""

    _nothing_to_do = _leave = False

    async def settle(self) -> None:
        """Go on until there is nothing to do at this moment."""
        self._nothing_to_do = False
        while not self._nothing_to_do:
            await self.step()

    async def step(self) -> None:
        """One turn, as if it had not looked for letters for long."""
        self._look_at = 0.0
        await self._turn()

    def believe(self, position: int) -> None:
        """Take the part to be elsewhere than it is."""
        self._position = position

    async def follow_until_idle(self) -> str | None:
        """Follow, through all trouble, until there is nothing to do: then `idle`, else why it ended."""
        self._leave, self._look_at = True, 0.0
        try:
            return await self.follow()
        except asyncio.CancelledError:
            return "idle"
        finally:
            self._leave = False

    async def _idle(self, seconds: float) -> None:
        self._nothing_to_do = seconds > 0
        if self._nothing_to_do and self._leave:
            raise asyncio.CancelledError


class Hands(NamedTuple):
    """A view, and what leads it by hand."""

    store: Store
    views: Views
    subscriber: Subscriber
    parked: Parked
    followers: list[Stepping]

    @property
    def name(self) -> str:
        return self.subscriber.name

    async def settle(self) -> None:
        for follower in self.followers:
            await follower.settle()

    async def letters(self) -> list[Letter]:
        return await self.parked.letters(self.name)

    async def summary(self) -> list[tuple[str, int]]:
        """The letters that wait: sequence and position."""
        return [(letter.sequence, letter.position) for letter in await self.letters() if letter.skipped is None]

    async def retry(self, sequence: str, partition: int = 0) -> tuple[int, int]:
        """How many were folded, and how many are left."""
        drained = await self.parked.retry(self.subscriber, partition, sequence)
        return drained.folded, drained.left

    async def position(self) -> int:
        parts = await self.store.work(lambda: Claims(self.store.dialect).parts(self.name))
        return min(held.position for held in parts)

    async def check(self, *, in_order: bool = True) -> None:
        """The rows are what they must be, as far as the subscription has come."""
        assert naive_ledgers.faults(await naive_ledgers.image_in(self.store), in_order=in_order) == []


async def led_by_hand(store: Store, view: View, *, partitions: int = 1) -> Hands:
    """A subscribed view whose parts are claimed, and followed when told."""
    views = Views(store, subscribed=[view], partitions=partitions)
    await views.start()
    hands = Hands(store, views, views.subscriber(view), Parked(store), [])
    await claim_all(hands)
    return hands


async def claim_all(hands: Hands) -> list[Claim]:
    """Take all parts over, as another process would; answers the new claims."""
    claims, store = Claims(hands.store.dialect), hands.store
    parts = await store.work(lambda: claims.parts(hands.name))
    taken: list[Claim] = []
    for held in parts:
        claim = await store.work(partial(claims.take, held, "a hand"))
        assert claim is not None
        taken.append(claim)
    hands.followers[:] = [Stepping(store, hands.subscriber, claim, len(parts)) for claim in taken]
    return taken


@asynccontextmanager
async def subscribed(store: Store, subscriber: Subscriber, *, lease: float = LEASE) -> AsyncGenerator[Subscription]:
    """A subscription that runs inside the block."""
    subscription = Subscription(store, subscriber, lease_seconds=lease)
    running = asyncio.create_task(subscription.run())
    try:
        yield subscription
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for what must come about."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - it comes about in a database, perhaps by another process
            await asyncio.sleep(0.01)


async def owners(store: Store, view: View) -> list[str | None]:
    """Who has which part."""
    return [held.owner for held in await store.work(lambda: Claims(store.dialect).parts(identity(view)))]


async def reached(store: Store, view: View) -> bool:
    """Whether all parts have reached the head of the log."""
    parts = await store.work(lambda: Claims(store.dialect).parts(identity(view)))
    return min(held.position for held in parts) == await store.head()
