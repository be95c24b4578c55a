"""Views kept in tables: changed with the log, equal to the fold, found by column and by word."""

from __future__ import annotations

from collections.abc import Container, Generator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.sql import ClauseElement

from kept_views import (
    append,
    assert_equal_to_the_fold,
    differences,
    kept_rows,
    silent,
    small_views,
    started,
    table_view,
    whole_log,
)
from small_orders import (
    EVERYTHING,
    Bought,
    BoughtProducts,
    CalledOff,
    Counts,
    ItemAdded,
    Opened,
    OpenOrder,
    OpenOrders,
    OrderEvent,
    bought,
    counts,
    event_counts,
    open_orders,
    order_histories,
    source,
)
from twofold import Metadata, NewEvent, Projection, Recorded, Store
from twofold.connect import connect
from twofold.errors import EventUnknown, ProjectionFailed, ProjectionUnknown
from twofold.projection import Column, fold
from twofold.rebuild import rebuild
from twofold.sequences import Failures
from twofold.sql import Fetch, Row
from twofold.store import Progress
from twofold.tables import SCHEMA, Generation, listed, one_of
from twofold.testing.history import History
from twofold.testing.strategies import logs
from twofold.views import SqlProjection, SqlView, Step, TableView, Views, remade, table_names

OPENED = Opened("ALFKI")
CHAI = ItemAdded("Chai", Decimal("18.10"))
LATE = CalledOff("late")
two_orders = logs({"order-1": order_histories, "order-2": order_histories}, holes=False)


async def append_in_batches(store: Store, log: History[OrderEvent], sizes: Sequence[int]) -> None:
    """The log's events, so many at once as the sizes say, as long as they are of one stream."""
    left, number = list(log.events), 0
    while left:
        size = sizes[number % len(sizes)]
        stream = left[0].stream
        batch = [event for event in left[:size] if event.stream == stream]
        batch = batch[: next((n for n, event in enumerate(left[:size]) if event.stream != stream), size)]
        await append(store, stream, *(event.data for event in batch))
        left, number = left[len(batch) :], number + 1


# --- kept inline ----------------------------------------------------------------------------------------------------


async def test_a_read_straight_after_a_write_sees_it(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED, CHAI)
    assert await kept_rows(views, "open_orders") == {"1": OpenOrder("ALFKI", ("Chai",), Decimal("18.10"))}
    await append(store, "order-1", LATE)
    assert await kept_rows(views, "open_orders") == {}


async def test_a_row_is_found_by_its_key_with_the_position_it_has_reached(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED)
    await append(store, "order-2", OPENED)
    await append(store, "order-1", CHAI)
    view = open_orders()
    ((body, position),) = await views.rows(table_view(views, "open_orders").by_key, b_key="1")
    assert view.decode(body) == OpenOrder("ALFKI", ("Chai",), Decimal("18.10"))
    assert view.encode(view.decode(body)) == body
    assert position == 3
    assert await views.rows(table_view(views, "open_orders").by_key, b_key="3") == []


async def test_money_in_a_body_is_a_number_and_exact(store: Store) -> None:
    views = await started(store)
    exact = Decimal("12345678901234.10")
    await append(store, "order-1", OPENED, ItemAdded("Chai", exact))
    ((body, _),) = await views.rows(table_view(views, "open_orders").by_key, b_key="1")
    assert b'"total":12345678901234.10' in body
    view = open_orders().decode(body)
    assert str(view.total) == str(exact)


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
@settings(max_examples=30)
@given(log=two_orders, sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4))
async def test_whatever_happens_the_views_equal_the_fold(
    tmp_path_factory: pytest.TempPathFactory, url: str, log: History[OrderEvent], sizes: Sequence[int]
) -> None:
    if url == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('log') / 'orders.db'}"
    async with connect(url) as store:
        views = await started(store)
        await append_in_batches(store, log, sizes)
        await assert_equal_to_the_fold(views, store)
        assert await differences(views, store) == []


@settings(max_examples=30)
@given(log=two_orders, sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4))
async def test_rows_come_to_be_in_the_same_order_however_the_events_are_batched(
    log: History[OrderEvent], sizes: Sequence[int]
) -> None:
    async with connect("memory:") as one, connect("memory:") as other:
        apart, together = await started(one), await started(other)
        await append_in_batches(one, log, [1])
        await append_in_batches(other, log, sizes)
        for name in ("open_orders", "bought"):
            assert list((await kept_rows(apart, name)).items()) == list((await kept_rows(together, name)).items())


async def test_a_row_that_ends_and_begins_in_one_batch_is_a_new_row(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED)
    await append(store, "order-2", OPENED)
    await append(store, "order-1", LATE, Opened("BERGS"), CHAI)
    table = table_view(views, "open_orders").table
    query = sa.select(table.c.key, table.c.first_position, table.c.last_position).order_by(table.c.row)
    assert await views.scan(query) == [("2", 2, 2), ("1", 4, 5)]
    assert await found(views, "alfki") == ["2"]
    assert await found(views, "bergs chai") == ["1"]


async def test_an_event_that_leaves_no_row_is_not_where_a_row_began(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", CHAI, LATE, OPENED)
    table = table_view(views, "open_orders").table
    assert await views.scan(sa.select(table.c.first_position, table.c.last_position)) == [(3, 3)]
    await append(store, "order-2", OPENED, LATE)
    assert list(await kept_rows(views, "open_orders")) == ["1"]


# --- kept by the parts of events ------------------------------------------------------------------------------------


async def kept_by_parts(
    store: Store, view: TableView[OrderEvent, Any], sizes: Sequence[int], keys: Container[str] | None = None
) -> Failures:
    """Fold the whole log into the view, so many parts at once as the sizes say; those of some keys only, if given."""
    generation = Generation(store.dialect, dict.fromkeys(table_names(view), "_v1"))
    await store.work(partial(remade, generation, view))
    parts = [part async for recorded in store.read_all() for part in view.parts(recorded)]
    failures: Failures = {}
    left, number = [part for part in parts if keys is None or part.sequence in keys], 0
    while left:
        size = sizes[number % len(sizes)]
        await store.work(partial(view.fold_parts, generation, left[:size], failures))
        left, number = left[size:], number + 1
    return failures


@settings(max_examples=30)
@given(log=two_orders, sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4))
async def test_parts_of_any_number_come_to_what_events_come_to(log: History[OrderEvent], sizes: Sequence[int]) -> None:
    async with connect("memory:") as store:
        await append_in_batches(store, log, [8])
        events = await whole_log(store)
        views = Views(store, [open_orders(), bought()])
        assert await kept_by_parts(store, open_orders(), sizes) == {}
        assert await kept_rows(views, "open_orders") == fold(OpenOrders(), events)
        assert await kept_by_parts(store, bought(), sizes) == {}
        assert await kept_rows(views, "bought") == fold(BoughtProducts(), events)


async def test_an_event_has_a_part_for_each_of_its_keys(store: Store) -> None:
    await append(store, "order-1", OPENED, CHAI)
    await append(store, "customer-1", CHAI)
    opened, added, elsewhere = [recorded async for recorded in store.read_all()]
    view = bought()
    assert [view.parts(recorded) for recorded in (opened, elsewhere)] == [[], []]
    assert [(part.sequence, part.event.data) for part in view.parts(added)] == [("Chai", CHAI), (EVERYTHING, CHAI)]


async def test_parts_touch_only_the_rows_of_their_keys(store: Store) -> None:
    await append(store, "order-1", CHAI, ItemAdded("Tofu", Decimal(1)), CHAI)
    await kept_by_parts(store, bought(), [100], keys={"Chai"})
    assert await kept_rows(Views(store, [bought()]), "bought") == {"Chai": Bought(2, "order-1")}


class Fragile(OpenOrders):
    """Breaks at some products: when they are folded, or when the row is to be written down."""

    columns = (
        OpenOrders.columns[0],
        Column[OpenOrder]("cents", int, lambda view: 1 // (0 if "unwritable" in view.products else 1)),
    )

    def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
        if isinstance(recorded.data, ItemAdded) and recorded.data.product == "poison":
            raise ValueError("poison")
        return super().evolve(view, recorded)

    def text(self, view: OpenOrder, /) -> str:
        if "unspeakable" in view.products:
            raise ValueError("no words")
        return super().text(view)


@pytest.mark.parametrize("product", ["poison", "unwritable", "unspeakable"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_a_key_that_fails_is_folded_up_to_its_failure_and_the_others_go_on(
    store: Store, product: str, size: int
) -> None:
    bad = ItemAdded(product, Decimal(1))
    await append(store, "order-1", OPENED, CHAI)
    await append(store, "order-2", OPENED)
    await append(store, "order-1", bad, CHAI, bad)
    await append(store, "order-2", CHAI)
    view = TableView(Fragile(), source)
    failures = await kept_by_parts(store, view, [size])
    assert {key: failure.position for key, failure in failures.items()} == {"1": 4}
    row = OpenOrder("ALFKI", ("Chai",), Decimal("18.10"))
    assert await kept_rows(Views(store, [view]), "open_orders") == {"1": row, "2": row}


async def test_without_anywhere_to_note_it_a_failure_is_raised(store: Store) -> None:
    views = Views(store, [TableView(Fragile(), source)])
    await views.start()
    await append(store, "order-1", OPENED)
    with pytest.raises(ProjectionFailed, match="ZeroDivisionError"):
        await append(store, "order-1", ItemAdded("unwritable", Decimal(1)))


# --- start ----------------------------------------------------------------------------------------------------------


async def test_a_view_that_is_new_to_a_log_catches_up_at_start(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.views.PAGE", 4)
    for n in range(5):
        await append(store, f"order-{n}", OPENED, CHAI)
    seen: list[tuple[str, Progress]] = []
    views = small_views(store)
    await views.start(lambda view, progress: seen.append((view.name, progress)))
    await assert_equal_to_the_fold(views, store)
    assert [progress for name, progress in seen if name == "bought"] == [
        Progress(4, 10),
        Progress(8, 10),
        Progress(10, 10),
    ]


async def test_a_view_that_another_process_takes_over_while_it_catches_up_is_not_folded_twice(store: Store) -> None:
    """Two processes start at once, and do not agree on its lifecycle."""
    mine, theirs = Views(store, [event_counts()]), Views(store, subscribed=[event_counts()])
    await mine.start()
    for number in range(3):
        await append(store, f"order-{number}", Opened("ALFKI"))
    await theirs.start()
    with pytest.raises(ProjectionFailed, match="no checkpoint"):
        await mine.catch_up("event_counts_v1", event_counts().fold(mine.current), silent)
    assert await store.checkpoint("event_counts_v1") is None
    assert await mine.scan(sa.select(counts.c.event, counts.c.number)) == [("Opened", 3)]


async def test_starting_again_folds_nothing_again(store: Store) -> None:
    await started(store)
    await append(store, "order-1", OPENED, CHAI)
    views = await started(store)
    await append(store, "order-1", CHAI)
    await assert_equal_to_the_fold(views, store)


async def test_a_view_of_another_version_has_tables_of_its_own(store: Store) -> None:
    class Renamed(OpenOrders):
        version = 2

        def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
            return OpenOrder("somebody") if isinstance(recorded.data, Opened) else view

    old = await started(store)
    await append(store, "order-1", OPENED)
    new = Views(store, [TableView(Renamed(), source)])
    await new.start()
    await append(store, "order-2", OPENED)
    assert await kept_rows(new, "open_orders") == {"1": OpenOrder("somebody"), "2": OpenOrder("somebody")}
    assert await kept_rows(old, "open_orders") == {"1": OpenOrder("ALFKI"), "2": OpenOrder("ALFKI")}


async def test_what_another_opening_appends_without_the_views_is_caught_up_by_the_next_append(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with connect(url) as keeping, connect(url) as writing:
        views = await started(keeping)
        await append(keeping, "order-1", OPENED)
        await append(writing, "order-1", CHAI)
        await append(writing, "order-2", OPENED, LATE)
        await append(keeping, "order-3", OPENED)
        await assert_equal_to_the_fold(views, keeping)
        await append(writing, "order-3", LATE)
    async with connect(url) as reopened:
        await assert_equal_to_the_fold(await started(reopened), reopened)


async def test_two_openings_that_both_keep_the_views_fold_each_event_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    async with connect(url) as one, connect(url) as other:
        views, _ = await started(one), await started(other)
        for n in range(10):
            await append(one if n % 3 else other, f"order-{n % 4}", OPENED, CHAI)
        await assert_equal_to_the_fold(views, one)
        assert await differences(views, one) == []


def mystery() -> NewEvent:
    metadata = Metadata.new()
    return NewEvent(id=metadata.message_id, type="Mystery", schema=1, data=b"{}", metadata=metadata)


async def test_an_event_that_nobody_knows_is_not_appended_under_the_views(store: Store) -> None:
    views = await started(store)
    with pytest.raises(ProjectionFailed, match=r"open_orders.* failed: EventUnknown.*Mystery") as error:
        await store.append("order-1", [mystery()], expected=0)
    assert isinstance(error.value.__cause__, EventUnknown)
    await store.append("customer-1", [mystery()], expected=0)  # of no concern here
    await append(store, "order-1", OPENED)
    assert [recorded.stream async for recorded in store.read_all()] == ["customer-1", "order-1"]
    await assert_equal_to_the_fold(views, store)


async def test_a_log_that_holds_an_unknown_event_stops_the_start_with_its_name(store: Store) -> None:
    await append(store, "order-1", OPENED)
    await store.append("order-1", [mystery()], expected=1)
    with pytest.raises(ProjectionFailed, match=r"open_orders.*Mystery"):
        await started(store)


async def test_a_query_of_a_view_that_is_not_on_the_list_says_so(store: Store) -> None:
    query = sa.select(TableView(OpenOrders(), source).table.c.key)
    with pytest.raises(ValueError, match="no view that Views was given has a table 'open_orders'"):
        await Views(store, []).rows(query)


def test_an_index_is_of_columns_that_are_there() -> None:
    class Misspelt(OpenOrders):
        indexes: ClassVar = (("custmer", "row"), ("row",))

    with pytest.raises(ValueError, match="an index of open_orders names what is no column of it: custmer"):
        TableView(Misspelt(), source)


async def test_two_views_share_neither_a_name_nor_a_table(store: Store) -> None:
    class OtherCounts(Counts):
        name = "other_counts"

    for views in ([bought(), bought()], [event_counts(), SqlView(OtherCounts(), source)]):
        with pytest.raises(ValueError, match="share a name"):
            Views(store, views)


async def test_a_view_is_asked_for_by_its_name(store: Store) -> None:
    with pytest.raises(ProjectionUnknown, match="open_orders, bought, counts"):
        small_views(store).view("closed_orders")


# --- columns and indexes --------------------------------------------------------------------------------------------


# PostgreSQL just reads a small table.
on_sqlite = pytest.mark.parametrize("store_url", ["memory", "sqlite"], indirect=True)


async def plan(views: Views, query: ClauseElement) -> str:
    """How SQLite would run the query."""
    sql, parameters = views.current.compile(query).fetch()
    return " ".join(str(row[3]) for row in await views.store.scan(Fetch(f"EXPLAIN QUERY PLAN {sql}", parameters)))


async def test_columns_follow_the_row(store: Store) -> None:
    views = await started(store)
    table = table_view(views, "open_orders").table
    for event, row in ((OPENED, ("ALFKI", 0)), (CHAI, ("ALFKI", 1810))):
        await append(store, "order-1", event)
        assert await views.scan(sa.select(table.c.customer, table.c.cents)) == [row]


@on_sqlite
async def test_queries_are_answered_by_the_declared_indexes(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED, CHAI)
    table = table_view(views, "open_orders").table
    of_customer = sa.select(table.c.body).where(table.c.customer == "ALFKI").order_by(table.c.row.desc()).limit(20)
    assert await views.scan(of_customer)
    told = await plan(views, of_customer)
    assert "USING INDEX open_orders_v1_" in told
    assert "TEMP B-TREE" not in told  # sorted by the index too
    assert "USING INDEX open_orders_v1_" in await plan(views, sa.select(table.c.body).where(table.c.cents > 100))
    assert "USING INDEX" in await plan(views, sa.select(table.c.body).where(table.c.key == "1"))
    assert "VIRTUAL TABLE INDEX" in await plan(views, sa.select(table.c.key).where(matching(views, "chai")))


@on_sqlite
async def test_many_rows_are_loaded_through_the_index_of_their_keys(store: Store) -> None:
    views = await started(store)
    table = table_view(views, "open_orders").table
    keys = [f"{number}" for number in range(100)]
    query = sa.select(table.c.body).where(one_of(table.c.key, "keys"))
    sql, parameters = views.current.statement(query).fetch(keys=listed(keys))
    told = await views.store.scan(Fetch(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert "SEARCH open_orders_v1 USING INDEX" in str(told)


async def test_a_column_may_be_named_as_a_word_of_sql(store: Store) -> None:
    class Ordered(Projection[OrderEvent, OpenOrder]):
        name = "ordered"
        view = OpenOrder
        columns = (Column[OpenOrder]("order", str, lambda view: view.customer),)
        indexes: ClassVar = (("order", "row"),)

        def key(self, recorded: Recorded[OrderEvent], /) -> str:
            return recorded.stream

        def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
            return OpenOrder("ALFKI")

    views = Views(store, [TableView(Ordered(), source)])
    await views.start()
    await append(store, "order-1", OPENED)
    table = table_view(views, "ordered").table
    query = sa.select(table.c.order).where(table.c.order == "ALFKI")
    assert await views.scan(query) == [("ALFKI",)]
    if store.dialect == "sqlite":
        assert "USING COVERING INDEX" in await plan(views, query)


LONG = "long_" * 20


async def test_a_name_may_be_longer_than_a_database_allows(store: Store) -> None:
    """PostgreSQL keeps 63 bytes of a name: what is in use and what is being built must differ within them."""

    class Long(OpenOrders):
        name = LONG

    views = Views(store, [TableView(Long(), source)])
    await views.start()
    await append(store, "order-1", OPENED)
    for _ in range(2):
        await rebuild(views, LONG, silent)
        assert await kept_rows(views, LONG) == {"1": OpenOrder("ALFKI")}
    names = [Generation(store.dialect, {LONG: ending}).physical(LONG) for ending in ("_v1", "_v1_new", "_v2")]
    assert len(set(names)) == 3
    assert [len(name) for name in names] == [63, 63, 63]
    assert Generation(store.dialect, {"café": "_v1"}).physical("café") == "café_v1"


WORDS = [
    "a",
    "B",
    "Z",
    "z",
    "ä",
    "Ä",
    "é",
    "z\u0301",
    "ñ",
    "-",
    "_",
    "a-b",
    "ab",
    "a b",
    "東",
    "\U0001f600",
    "\uffff",
    "9",
    "10",
]


async def test_texts_stand_in_the_order_of_their_code_points(store: Store) -> None:
    views = await started(store)
    for number, customer in enumerate(WORDS):
        await append(store, f"order-{customer}", Opened(customer), ItemAdded(customer, Decimal(number)))
    table = table_view(views, "open_orders").table
    for column in (table.c.key, table.c.customer):
        assert [text for (text,) in await views.scan(sa.select(column).order_by(column))] == sorted(WORDS)
        above = sa.select(sa.func.count()).where(sa.tuple_(column) > sa.tuple_(sa.literal("a")))
        assert await views.scan(above) == [(sum(word > "a" for word in WORDS),)]
    assert await differences(views, store) == []


async def test_what_a_statement_is_given_may_be_large_repeated_or_nothing(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED, CHAI)
    table = table_view(views, "open_orders").table
    twice: sa.BindParameter[str] = sa.bindparam("twice")
    either = sa.select(table.c.key).where((table.c.key == twice) | (table.c.customer == twice)).limit(sa.bindparam("n"))
    for given_, keys in (("1", [("1",)]), ("ALFKI", [("1",)]), ("2", []), (None, [])):
        assert await views.rows(either, twice=given_, n=2**63 - 1) == keys
    among = sa.select(table.c.key).where(table.c.cents.in_([5, 1810]), table.c.key.in_(["1"])).limit(5).offset(0)
    assert await views.scan(among) == [("1",)]
    assert await views.scan(sa.select(sa.literal(5), sa.literal("x"), sa.literal(2**40), sa.literal(None))) == [
        (5, "x", 2**40, None)
    ]
    beyond = sa.tuple_(table.c.cents, table.c.first_position) < sa.tuple_(sa.literal(2**62), sa.literal(1))
    assert await views.scan(sa.select(table.c.key).where(beyond)) == [("1",)]
    several = sa.select(table.c.key).where(one_of(table.c.customer, "names"), table.c.cents > 0)
    for names, keys in ((["ALFKI", "x", '"', "\\", "☂"], [("1",)]), (["x"], []), ([], [])):
        assert await views.rows(several, names=listed(names)) == keys


async def test_a_value_that_was_forgotten_is_an_error_and_no_null(store: Store) -> None:
    tallies = sa.Table(
        "tallies", sa.MetaData(schema=SCHEMA), sa.Column("kind", sa.Text, primary_key=True), sa.Column("n", sa.Integer)
    )
    insert = sa.insert(tallies)

    class Forgetful(SqlProjection[OrderEvent]):
        name = "tallies"
        tables: ClassVar = (tallies,)

        def apply(self, events: Sequence[Recorded[OrderEvent]], /) -> Generator[Step, list[Row], None]:
            yield Step(insert, [{"kind": "Opened", "m": 1}])

    kept = await started(store)
    with pytest.raises(ValueError, match="no value was given for 'b_key'"):
        await kept.rows(table_view(kept, "open_orders").by_key)
    await Views(store, [SqlView(Forgetful(), source)]).start()
    with pytest.raises(ProjectionFailed, match="no value was given for 'n'"):
        await append(store, "order-1", OPENED)


# --- text search ----------------------------------------------------------------------------------------------------


def matching(views: Views, phrase: str) -> sa.ColumnElement[bool]:
    return table_view(views, "open_orders").matches(phrase)


async def found(views: Views, phrase: str) -> list[str]:
    table = table_view(views, "open_orders").table
    query = sa.select(table.c.key).where(matching(views, phrase)).order_by(table.c.row)
    return [key for (key,) in await views.scan(query)]


async def with_words(store: Store, *words: str) -> Views:
    """Orders 1, 2, ... of customers of these names."""
    views = await started(store)
    for n, name in enumerate(words, start=1):
        await append(store, f"order-{n}", Opened(name))
    return views


@pytest.mark.parametrize(
    ("phrase", "keys"),
    [
        ("Frankenversand", ["1"]),
        ("frank", ["1"]),  # the beginning of a word
        ("versand", []),  # not its end
        ("FRANK", ["1"]),
        ("cafe", ["2"]),  # accents folded
        ("CAFÉ", ["2"]),
        ("cre\u0300me", ["2"]),  # an accent of its own, as a Mac writes it
        ("creme cafe", ["2"]),  # all words, in any order
        ("cafe frank", []),
        ("o'brien", ["3"]),
        ("brien o", ["3"]),
        ("smith_jones", ["4"]),
        ("_ jones", ["4"]),
        ("42", ["5"]),
        ("Ελλ", ["6"]),
        ("日本", ["7"]),
    ],
)
async def test_words_are_found(store: Store, phrase: str, keys: list[str]) -> None:
    names = ("Frankenversand", "Café Crème", "O'Brien & Sons", "Smith_Jones", "Route 42", "Ελλάδα", "日本茶")
    assert await found(await with_words(store, *names), phrase) == keys


@pytest.mark.parametrize(
    "phrase",
    [
        "",
        " ",
        '"',
        '""',
        "*",
        "-",
        "--",
        "(",
        ")",
        "a*b",
        "^",
        ":",
        "words:x",
        "{a b}: c",
        "+",
        "\0",
        "';--",
        "_",
        "x\ud800",
    ],
)
async def test_nothing_is_syntax(store: Store, phrase: str) -> None:
    assert await found(await with_words(store, "Alfreds"), phrase) == []


@pytest.mark.parametrize("word", ["OR", "AND", "NOT", "NEAR", "near(alfreds)", "alfreds OR bergs", "alfreds -bergs"])
async def test_operators_are_words_like_others(store: Store, word: str) -> None:
    views = await with_words(store, "Alfreds", "Bergs", "or and not near")
    keys = await found(views, word)
    assert keys == (["3"] if word.isupper() else [])


@given(phrase=st.text(max_size=30))
@settings(max_examples=50)
async def test_no_phrase_is_an_error(phrase: str) -> None:
    async with connect("memory:") as store:
        views = await with_words(store, phrase.replace("\0", ""), "Alfreds")
        await found(views, phrase)


async def test_words_follow_the_row(store: Store) -> None:
    views = await started(store)
    await append(store, "order-1", OPENED)
    assert await found(views, "chai") == []
    await append(store, "order-1", CHAI)
    assert await found(views, "alfki chai") == ["1"]
    await append(store, "order-1", LATE)
    assert await found(views, "alfki") == []
    await append(store, "order-1", Opened("BERGS"))
    assert (await found(views, "alfki"), await found(views, "bergs")) == ([], ["1"])
