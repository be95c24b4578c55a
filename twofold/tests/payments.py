"""What the tests of builds share: payments into accounts, a view that counts them, and readers that see through it.

Each event is in one row, and each row counts its events: so the counts of a whole view, folded in one part, come to
the last position that is in it, and a reader can tell by one statement whether it sees a whole view. What the rows
must be is worked out by `naive`, which shares no code with the framework.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from twofold import Codec, Column, Metadata, Projection, Receipt, Recorded, Source, Store
from twofold.claims import Claims
from twofold.errors import StoreUnavailable
from twofold.running import running
from twofold.stores.memory import MemoryStore
from twofold.table_view import TableView
from twofold.verify import Difference, verify
from twofold.views import Views, identity

LEASE = 0.5
ACCOUNTS = 20
PATIENCE = 60.0

INLINE, SUBSCRIBED = "inline", "subscribed"


@dataclass(frozen=True)
class Paid:
    account: str
    amount: int


codec: Codec[Paid] = Codec({"Paid": Paid})


class Balance(msgspec.Struct, frozen=True):
    amount: int = 0
    events: int = 0


@dataclass
class Trouble:
    """What is wrong with the code now: the accounts that it cannot fold, and those that it gets wrong."""

    failing: set[str] = field(default_factory=set[str])
    wrong: set[str] = field(default_factory=set[str])


class Balances(Projection[Paid, Balance]):
    """A row an account."""

    name = "balances"
    view = Balance
    columns: Sequence[Column[Balance]] = (Column[Balance]("events", int, lambda view: view.events),)

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.trouble = trouble or Trouble()

    def key(self, recorded: Recorded[Paid], /) -> str:
        return recorded.data.account

    def evolve(self, view: Balance | None, recorded: Recorded[Paid], /) -> Balance:
        event, before = recorded.data, view or Balance()
        if event.account in self.trouble.failing:
            raise ZeroDivisionError("this account cannot be folded")
        amount = event.amount + (event.account in self.trouble.wrong)
        return Balance(before.amount + amount, before.events + 1)


class BalancesInCents(Balances):
    """The second version: with another meaning, and another column."""

    version = 2
    columns = (
        Column[Balance]("events", int, lambda view: view.events),
        Column[Balance]("cents", int, lambda view: view.amount * 100),
    )


source = Source(frozenset({"account"}), codec)


def balances(trouble: Trouble | None = None) -> TableView[Paid, Balance]:
    return TableView(Balances(trouble), source)


def balances_in_cents(trouble: Trouble | None = None) -> TableView[Paid, Balance]:
    return TableView(BalancesInCents(trouble), source)


def views_of(store: Store, lifecycle: str, view: TableView[Paid, Balance], partitions: int = 1) -> Views:
    """The view in one of the lifecycles."""
    if lifecycle == INLINE:
        return Views(store, [view])
    return Views(store, subscribed=[view], partitions=partitions)


@asynccontextmanager
async def kept(
    store: Store,
    lifecycle: str,
    view: TableView[Paid, Balance] | None = None,
    partitions: int = 1,
    lease: float = LEASE,
) -> AsyncGenerator[Views]:
    """The view, kept by this process inside the block."""
    views = views_of(store, lifecycle, view or balances(), partitions)
    await views.start()
    async with running(views, lease_seconds=lease):
        yield views


async def pay(store: Store, number: int, size: int = 1) -> Receipt:
    """Payments into the account of this number."""
    account = f"a{number % ACCOUNTS}"
    events = [codec.encode(Paid(account, number + each), Metadata.new()) for each in range(size)]
    return await store.append(f"account-{account}", events, expected=None)


async def fill(store: Store, events: int, size: int = 10) -> None:
    for number in range(events // size):
        await pay(store, number, size)


@asynccontextmanager
async def traffic(store: Store, pause: float = 0.002, accounts: int = ACCOUNTS) -> AsyncGenerator[list[int]]:
    """Payments that go on inside the block, and none is under way afterwards. Their positions, as they are known.

    They go to so many accounts, from `a0` on.
    """
    positions: list[int] = []
    enough = asyncio.Event()

    async def go_on() -> None:
        while not enough.is_set():
            positions.append((await pay(store, len(positions) % accounts)).position)
            await asyncio.sleep(pause)

    going = asyncio.create_task(go_on())
    try:
        yield positions
    finally:
        enough.set()
        await going


# --- what is seen -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """A whole view by one statement: how many events are in it, and the last of them."""

    events: int
    last: int


class Readers:
    """Readers that look at the whole view all the time, by the quick way, the slow one and at a moment."""

    def __init__(self, views: Views, *, whole: bool = True, pause: float = 0.002) -> None:
        """`whole` is off where parts of the view may have come to different positions."""
        view = views.view("balances")
        assert isinstance(view, TableView)
        table = view.table
        self._views = views
        self.look = sa.select(sa.func.coalesce(sa.func.sum(table.c.events), 0), sa.func.max(table.c.last_position))
        self.query = views.current.compile(self.look).fetch()
        self._whole = whole
        self._pause = pause
        self.count = 0

    @asynccontextmanager
    async def looking(self) -> AsyncGenerator[Readers]:
        """They look inside the block; what they found wrong is raised at its end."""
        tasks = [asyncio.create_task(look()) for look in (self._rows, self._scan, self._moment)]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if not isinstance(outcome, asyncio.CancelledError):
                assert isinstance(outcome, BaseException)
                raise outcome

    async def _rows(self) -> None:
        before = Seen(0, 0)
        while True:
            before = self._check(before, await self._views.rows(self.look))
            await asyncio.sleep(self._pause)

    async def _scan(self) -> None:
        before = Seen(0, 0)
        while True:
            before = self._check(before, await self._views.scan(self.look))
            await asyncio.sleep(self._pause)

    async def _moment(self) -> None:
        """All statements of a moment see the same, however long it lasts."""
        before = Seen(0, 0)
        query = self.query
        while True:
            async with self._views.store.moment() as moment:
                try:
                    first = await moment.scan(query)
                except StoreUnavailable:  # the view was swapped before it was looked at
                    continue
                before = self._check(before, first)
                for _ in range(3):
                    await asyncio.sleep(self._pause)
                    assert await moment.scan(query) == first

    def _check(self, before: Seen, rows: list[tuple[int, int | None]]) -> Seen:
        ((events, last),) = rows
        seen = Seen(int(events), int(last or 0))
        if self._whole:
            assert seen.events == seen.last, "it is not whole"
        assert seen.events >= before.events, "it has fallen back"
        self.count += 1
        return seen


async def rows_of(views: Views) -> dict[str, tuple[int, int]]:
    """What is kept."""
    view = views.view("balances")
    assert isinstance(view, TableView)
    found = await views.scan(sa.select(view.table.c.key, view.table.c.body))
    bodies = {key: json.loads(body) for key, body in found}
    return {key: (body["amount"], body["events"]) for key, body in bodies.items()}


async def naive(store: Store, *, without: frozenset[str] = frozenset()) -> dict[str, tuple[int, int]]:
    """What must be kept of the whole log: by plain code, from the bytes that are stored."""
    rows: dict[str, tuple[int, int]] = {}
    async for recorded in store.read_all():
        said = json.loads(recorded.data)
        account = str(said["account"])
        if account not in without:
            amount, events = rows.get(account, (0, 0))
            rows[account] = (amount + int(said["amount"]), events + 1)
    return rows


async def settled(views: Views) -> None:
    """Wait until all parts have reached the head of the log."""
    store, claims = views.store, Claims(views.store.dialect)
    async with asyncio.timeout(PATIENCE):
        for view in views.subscribed:
            while True:
                parts = await store.work(partial(claims.parts, identity(view)))
                if min(held.position for held in parts) == await store.head():
                    break
                await asyncio.sleep(0.01)


async def differences(views: Views) -> list[Difference]:
    """What the verifier finds."""
    async with MemoryStore() as scratch:
        return await verify(views, views.store, scratch, lambda _progress: None)


async def assert_right(views: Views) -> None:
    """The view is what the naive fold and the verifier say."""
    await settled(views)
    assert await rows_of(views) == await naive(views.store)
    assert await differences(views) == []
