"""A view can be made anew and nobody notices; it can be held against the log and nothing escapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from sqlalchemy.sql import ClauseElement

from kept_views import append, assert_equal_to_the_fold, differences, kept_rows, silent, started, table_view
from small_orders import CalledOff, ItemAdded, Opened, OpenOrder, OpenOrders, OrderEvent, order_histories, source
from twofold import Recorded, Store
from twofold.connect import connect
from twofold.errors import ProjectionFailed, ProjectionUnknown
from twofold.rebuild import rebuild
from twofold.sql import Fetch, Fold, Work
from twofold.store import Progress
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore
from twofold.testing.history import History
from twofold.testing.strategies import logs
from twofold.verify import Difference, verify
from twofold.views import TableView, Views

OPENED = Opened("ALFKI")
CHAI = ItemAdded("Chai", Decimal("18.10"))
LATE = CalledOff("late")
NAMES = ("open_orders", "bought", "counts")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few events fill several pages, and between two of them others run, even on a store that never waits."""
    advance = MemoryStore.advance

    async def advance_after_others(self: MemoryStore, name: str, fold: Fold, *, limit: int) -> Progress:
        await asyncio.sleep(0)
        return await advance(self, name, fold, limit=limit)

    monkeypatch.setattr(MemoryStore, "advance", advance_after_others)
    monkeypatch.setattr("twofold.views.PAGE", 7)
    monkeypatch.setattr("twofold.verify.PAGE", 7)
    monkeypatch.setattr("twofold.building.PAGE", 7)


async def fill(store: Store, orders: int = 10) -> None:
    for n in range(orders):
        await append(store, f"order-{n}", Opened(f"CUSTOMER{n % 3}"), CHAI, ItemAdded("Tofu", Decimal(n + 1), n + 1))
        if n % 4 == 3:
            await append(store, f"order-{n}", LATE)


async def change(views: Views, clause: ClauseElement, **values: object) -> None:
    """Change a stored view behind everybody's back."""

    def work() -> Work[None]:
        yield views.current.compile(clause).run([values])

    await views.store.work(work)


async def tables(views: Views) -> set[str]:
    """The physical tables that are there."""
    sql = {
        "sqlite": "select name from sqlite_schema where type = 'table'",
        "postgresql": "select tablename::text from pg_tables where schemaname = current_schema()",
    }
    rows = await views.store.scan(Fetch(sql[views.store.dialect]))
    return {name for (name,) in rows}


@asynccontextmanager
async def traffic(store: Store) -> AsyncGenerator[list[int]]:
    """Appends that go on meanwhile, and none is under way afterwards. Answers the positions, as they are reached."""
    positions: list[int] = []
    enough = asyncio.Event()

    async def go_on() -> None:
        for n in count():
            if enough.is_set():
                return
            events: Sequence[OrderEvent] = [LATE] if n % 7 == 6 else [Opened(f"LIVE{n}"), CHAI]
            positions.append((await append(store, f"order-{n % 5}", *events)).position)
            await asyncio.sleep(0)

    going = asyncio.create_task(go_on())
    try:
        yield positions
    finally:
        enough.set()  # not cancelled: what waits for the writer would be appended all the same, a moment later
        await going


# --- rebuild --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
async def test_a_rebuilt_view_is_the_same_view(store: Store, name: str) -> None:
    views = await started(store)
    await fill(store)
    before = await kept_rows(views, "open_orders")
    progress: list[Progress] = []
    head = await store.head()
    assert await rebuild(views, name, progress.append) == Progress(head, head)
    steps = dict.fromkeys(step.position for step in progress)
    assert list(steps) == [*range(7, head + 1, 7), *([head] if head % 7 else [])]
    assert list((await kept_rows(views, "open_orders")).items()) == list(before.items())
    await append(store, "order-99", OPENED, CHAI)
    await assert_equal_to_the_fold(views, store)
    assert await differences(views, store) == []


async def test_a_rebuild_mends_what_is_wrong(store: Store) -> None:
    views = await started(store)
    await fill(store)
    await change(views, sa.delete(table_view(views, "open_orders").table))
    await change(views, sa.text('update "$views"."counts" set number = 0'))
    for name in NAMES:
        await rebuild(views, name, silent)
    await assert_equal_to_the_fold(views, store)


async def test_a_rebuild_brings_the_words_along(store: Store) -> None:
    views = await started(store)
    await fill(store)
    await rebuild(views, "open_orders", silent)
    await append(store, "order-0", ItemAdded("Café", Decimal(1)))
    view = table_view(views, "open_orders")
    for phrase, keys in (("customer0 tofu", ["0", "6", "9"]), ("cafe", ["0"])):
        query = sa.select(view.table.c.key).where(view.matches(phrase)).order_by(view.table.c.row)
        assert [key for (key,) in await views.scan(query)] == keys


async def test_a_rebuild_leaves_no_tables_behind_and_can_be_done_again(store: Store) -> None:
    views = await started(store)
    await fill(store)
    before = await tables(views)
    assert before > {"open_orders_v1", "open_orders_text_v1", "bought_v1", "counts_v1"}
    for _ in range(3):
        for name in NAMES:
            await rebuild(views, name, silent)
    assert await tables(views) == before
    assert await store.checkpoint("open_orders_v1_new") is None
    await assert_equal_to_the_fold(views, store)


async def test_a_view_of_an_empty_log_can_be_rebuilt(store: Store) -> None:
    views = await started(store)
    assert await rebuild(views, "open_orders", silent) == Progress(0, 0)
    assert await kept_rows(views, "open_orders") == {}


async def test_a_view_that_nobody_knows_cannot_be_rebuilt(store: Store) -> None:
    with pytest.raises(ProjectionUnknown, match="closed_orders"):
        await rebuild(await started(store), "closed_orders", silent)


@pytest.mark.parametrize("name", NAMES)
async def test_appends_and_queries_go_on_during_a_rebuild(store: Store, name: str) -> None:
    views = await started(store)
    await fill(store, orders=30)
    async with traffic(store) as positions:
        progress = await rebuild(views, name, silent)
        assert positions  # there was traffic
        assert progress.position >= positions[0]
        await store.wait_appended(after=progress.position)  # and there is more, on the new tables
    await assert_equal_to_the_fold(views, store)
    assert await differences(views, store) == []


async def test_whoever_looks_during_a_rebuild_sees_a_whole_view(store: Store) -> None:
    views = await started(store)
    await fill(store, orders=30)
    whole = await kept_rows(views, "open_orders")
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(len(await kept_rows(views, "open_orders")))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    for _ in range(3):
        await rebuild(views, "open_orders", silent)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    assert set(seen) == {len(whole)}


async def test_a_rebuild_that_breaks_off_leaves_the_old_view(store: Store) -> None:
    views = await started(store)
    await fill(store)

    def break_off(progress: Progress) -> None:
        if progress.position >= 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(views, "open_orders", break_off)
    await append(store, "order-99", OPENED)
    await assert_equal_to_the_fold(views, store)
    assert "99" in await kept_rows(views, "open_orders")
    await rebuild(views, "open_orders", silent)
    await assert_equal_to_the_fold(views, store)


async def test_a_rebuild_that_is_cancelled_leaves_the_old_view(store: Store) -> None:
    views = await started(store)
    await fill(store, orders=30)
    for turns in range(12):
        rebuilding = asyncio.create_task(rebuild(views, "open_orders", silent))
        for _ in range(turns):
            await asyncio.sleep(0)
        rebuilding.cancel()
        with suppress(asyncio.CancelledError):
            await rebuilding
        await append(store, f"order-9{turns}", OPENED)
        await assert_equal_to_the_fold(views, store)


async def test_a_rebuild_whose_fold_fails_leaves_the_old_view(store: Store) -> None:
    class Failing(OpenOrders):
        fails = False

        def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
            if self.fails and recorded.position > 10:
                raise ZeroDivisionError
            return super().evolve(view, recorded)

    projection = Failing()
    views = Views(store, [TableView(projection, source)])
    await views.start()
    await fill(store)
    before = await kept_rows(views, "open_orders")
    projection.fails = True
    with pytest.raises(ProjectionFailed, match="open_orders_v1_new failed: ZeroDivisionError"):
        await rebuild(views, "open_orders", silent)
    projection.fails = False
    assert await kept_rows(views, "open_orders") == before
    assert await differences(views, store) == []


async def test_two_rebuilds_at_once_leave_a_right_view(store: Store) -> None:
    views = await started(store)
    await fill(store, orders=30)
    outcomes = await asyncio.gather(*(rebuild(views, "open_orders", silent) for _ in range(2)), return_exceptions=True)
    assert any(isinstance(outcome, Progress) for outcome in outcomes)
    await append(store, "order-99", OPENED)
    await assert_equal_to_the_fold(views, store)


# --- verify ---------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(logs({"order-1": order_histories, "order-2": order_histories}))
async def test_there_is_no_difference_where_nothing_is_wrong(log: History[OrderEvent]) -> None:
    async with connect("memory:") as store:
        views = await started(store)
        for event in log.events:
            await append(store, event.stream, event.data)
        assert await differences(views, store) == []


async def test_there_is_no_difference_while_appends_go_on(store: Store) -> None:
    views = await started(store)
    await fill(store)
    async with traffic(store) as positions:
        for _ in range(3):
            assert await differences(views, store) == []
        assert positions


async def test_events_of_other_categories_make_no_difference(store: Store) -> None:
    views = await started(store)
    await fill(store, orders=3)
    await append(store, "customer-1", OPENED)
    assert await differences(views, store) == []


async def test_a_changed_body_is_found(store: Store) -> None:
    views = await started(store)
    await fill(store)
    table = table_view(views, "open_orders").table
    await change(views, sa.update(table).where(table.c.key == "4").values(body=b'{"customer":"X"}'))
    (found,) = await differences(views, store)
    assert (found.view, found.table, found.key) == ("open_orders", "open_orders", ("4",))
    assert found.stored is not None
    assert found.folded is not None
    assert found.stored[-1] == b'{"customer":"X"}'
    assert found.folded[-1] != found.stored[-1]
    assert found.folded[:-1] == found.stored[:-1]


async def test_a_changed_column_is_found(store: Store) -> None:
    views = await started(store)
    await fill(store)
    table = table_view(views, "open_orders").table
    await change(views, sa.update(table).where(table.c.key == "4").values(cents=1))
    (found,) = await differences(views, store)
    assert found.key == ("4",)


@pytest.mark.parametrize("key", ["0", "4", "9"])  # the first, one in the middle, the last
async def test_a_missing_row_is_found(store: Store, key: str) -> None:
    views = await started(store)
    await fill(store)
    table = table_view(views, "open_orders").table
    await change(views, sa.delete(table).where(table.c.key == key))
    (found,) = await differences(views, store)
    assert (found.key, found.stored) == ((key,), None)
    assert found.folded is not None


@pytest.mark.parametrize("key", ["", "44", "x"])
async def test_an_extra_row_is_found(store: Store, key: str) -> None:
    views = await started(store)
    await fill(store)
    table = table_view(views, "open_orders").table
    extra = {"key": key, "customer": "X", "cents": 0, "first_position": 1, "last_position": 1, "body": b"{}"}
    await change(views, sa.insert(table).values(extra))
    (found,) = await differences(views, store)
    assert (found.key, found.folded) == ((key,), None)
    assert found.stored is not None


async def test_a_wrong_counter_in_free_sql_is_found(store: Store) -> None:
    views = await started(store)
    await fill(store)
    await change(views, sa.text("""update "$views"."counts" set number = number + 1 where event = 'Opened'"""))
    assert await differences(views, store) == [
        Difference("counts", "counts", ("Opened",), ("Opened", 11), ("Opened", 10))
    ]


async def test_every_difference_is_found_on_every_page(store: Store) -> None:
    views = await started(store)
    await fill(store, orders=40)
    table = table_view(views, "open_orders").table
    await change(views, sa.update(table).values(customer="X"))
    await change(views, sa.delete(table_view(views, "bought").table))
    found = await differences(views, store)
    kept = await kept_rows(views, "open_orders")
    assert [difference.key for difference in found if difference.view == "open_orders"] == [
        (key,) for key in sorted(kept)
    ]
    assert [difference.key for difference in found if difference.view == "bought"] == [
        ("Chai",),
        ("Tofu",),
        ("everything",),
    ]


async def test_holes_in_the_positions_make_no_difference(tmp_path: Path) -> None:
    class Holed(SqliteStore):
        """A log with holes, as a store may have that gives out positions before it commits."""

        async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Recorded[bytes]]:
            number = 0
            async for recorded in super().read_all(after=after):
                if recorded.category == "order" and number != limit:
                    number += 1
                    yield recorded

    path = tmp_path / "orders.db"
    async with Holed(path) as keeping, SqliteStore(path) as writing, MemoryStore() as scratch:
        views = await started(keeping)
        await append(keeping, "customer-1", OPENED)
        await fill(keeping, orders=3)
        await fill(writing, orders=3)
        assert await verify(views, keeping, scratch, silent) == []


async def test_a_view_that_has_missed_events_is_compared_as_far_as_it_has_come(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with connect(url) as keeping, connect(url) as writing, MemoryStore() as scratch:
        views = await started(keeping)
        await fill(keeping, orders=3)
        reached = await keeping.head()
        await fill(writing, orders=3)
        progress: list[Progress] = []
        assert await verify(views, keeping, scratch, progress.append) == []
        assert progress[-1] == Progress(reached, reached)
