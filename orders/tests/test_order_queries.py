"""What is asked of the views: a customer's pages, search, and that both are found through an index and never lost."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from order_samples import bring, create
from orders import finding
from orders.app import OrderService
from orders.cursors import Sort, cursor_of, place_of
from orders.details import details
from orders.domain import CreateOrder, Item, Status
from orders.queries import FoundOrders, GetOrder, GetOrdersByCustomer, SearchOrders
from twofold import Metadata, ValidationFailed
from twofold.rebuild import rebuild
from twofold.search import words_of
from twofold.sql import Fetch, Row, Run, Work
from twofold.stores.sqlite.beginnings import Beginnings

on_sqlite = pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)  # a small table PostgreSQL just reads
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ids(orders: Sequence[msgspec.Raw]) -> list[str]:
    """The ids of the orders on a page, in their order."""
    return [msgspec.json.decode(body)["orderId"] for body in orders]


async def place(service: OrderService, *numbers: int, customer: str = "alice", status: Status = Status.PENDING) -> None:
    """Orders with these numbers as their ids, an hour apart."""
    for number in numbers:
        at = NOON + timedelta(hours=number)
        await service.commands.execute(create(f"{number}", customerId=customer), Metadata.new(at=at))
        await bring(service, f"{number}", status)


# --- one order ------------------------------------------------------------------------------------------------------


async def test_an_order_is_read_now_and_as_it_was(service: OrderService) -> None:
    await place(service, 1, status=Status.SHIPPED)
    statuses = {None: "shipped", 1: "pending", 2: "confirmed", 3: "shipped"}
    for version, status in statuses.items():
        document = await service.queries.ask(GetOrder("1", version))
        assert document is not None
        assert (document.view().status, document.version) == (status, version or 3)


@pytest.mark.parametrize("version", [0, -1, 2, 2**63, 10**30])
async def test_a_version_that_an_order_never_had_is_none(service: OrderService, version: int) -> None:
    await place(service, 1)
    assert await service.queries.ask(GetOrder("1", version)) is None
    assert await service.queries.ask(GetOrder("2", version)) is None


@pytest.mark.parametrize("order_id", ["2", "", "1' or '1'='1", "order-1", "\0", "☂"])
async def test_an_order_that_is_not_there_is_none(service: OrderService, order_id: str) -> None:
    await place(service, 1)
    assert await service.queries.ask(GetOrder(order_id)) is None


# --- a customer's orders --------------------------------------------------------------------------------------------


async def test_a_customers_orders_come_newest_first_page_by_page(service: OrderService) -> None:
    await place(service, *range(1, 6))
    await place(service, 6, 7, customer="bob")
    pages = [await service.queries.ask(GetOrdersByCustomer("alice", page=page, limit=2)) for page in (1, 2, 3, 4)]
    assert [ids(page.orders) for page in pages] == [["5", "4"], ["3", "2"], ["1"], []]
    assert [(page.page, page.limit, page.total) for page in pages] == [(1, 2, 5), (2, 2, 5), (3, 2, 5), (4, 2, 5)]
    assert [page.cursor is None for page in pages] == [False, False, True, True]


async def test_a_page_has_twenty_orders_unless_asked_otherwise(service: OrderService) -> None:
    await place(service, *range(25))
    first = await service.queries.ask(GetOrdersByCustomer("alice"))
    assert (first.page, first.limit, first.total, len(first.orders)) == (1, 20, 25, 20)


async def test_a_customer_who_never_ordered_has_no_orders(service: OrderService) -> None:
    await place(service, 1)
    page = await service.queries.ask(GetOrdersByCustomer("Alice"))
    assert (page.orders, page.total, page.cursor) == ([], 0, None)


@pytest.mark.parametrize("customer_id", ["\0", "alice\0", "", "al'ice", "☂"])
@pytest.mark.parametrize("status", [None, Status.PENDING])
async def test_whatever_a_customer_is_called_there_is_a_page(
    service: OrderService, customer_id: str, status: Status | None
) -> None:
    await place(service, 1)
    page = await service.queries.ask(GetOrdersByCustomer(customer_id, status))
    assert (page.orders, page.page, page.limit, page.total, page.cursor) == ([], 1, 20, 0, None)


async def test_an_order_of_a_name_that_cannot_be_is_none_at_any_version(service: OrderService) -> None:
    await place(service, 1)
    for version in (None, 1, 2):
        assert await service.queries.ask(GetOrder("1\0", version)) is None


async def test_a_page_beyond_all_numbers_is_empty(service: OrderService) -> None:
    await place(service, 1)
    page = await service.queries.ask(GetOrdersByCustomer("alice", page=10**18 - 1, limit=100))
    assert (page.orders, page.total) == ([], 1)


async def test_a_customers_orders_of_one_status(service: OrderService) -> None:
    for number, status in enumerate([*Status, *Status]):
        await place(service, number, status=status)
    for number, status in enumerate(Status):
        page = await service.queries.ask(GetOrdersByCustomer("alice", status, limit=1))
        assert (ids(page.orders), page.total) == ([f"{number + 5}"], 2)
        rest = await service.queries.ask(GetOrdersByCustomer("alice", status, limit=1, cursor=page.cursor))
        assert (ids(rest.orders), rest.cursor) == ([f"{number}"], None)


async def test_a_page_says_how_many_orders_there_are_when_some_are_cancelled(service: OrderService) -> None:
    await place(service, 1, 2)
    await place(service, 3, status=Status.CANCELLED)
    assert (await service.queries.ask(GetOrdersByCustomer("alice"))).total == 3


async def test_a_walk_by_cursor_is_not_disturbed_by_new_orders(service: OrderService) -> None:
    await place(service, *range(7))
    walked: list[str] = []
    cursor, new = None, itertools.count(100)
    while True:
        page = await service.queries.ask(GetOrdersByCustomer("alice", limit=2, cursor=cursor))
        walked += ids(page.orders)
        cursor = page.cursor
        if cursor is None:
            break
        await place(service, next(new))
    assert walked == ["6", "5", "4", "3", "2", "1", "0"]


# --- search ---------------------------------------------------------------------------------------------------------

SOLD: Sequence[tuple[str, str, str, str, str, Status]] = [
    # id, customer, product, address, total, status
    ("a1", "alice", "Blue Teapot", "1 Main Street, Zürich", "10.00", Status.PENDING),
    ("b2", "bob", "Crème brûlée dish", "2 Rue de l'Étoile, Paris", "20.00", Status.CONFIRMED),
    ("c3", "carol", "Teapot lid", "3 Main Street, Springfield", "10.00", Status.SHIPPED),
    ("d4", "alice", "東京 cup", "4 Side Street, Zürich", "5.00", Status.DELIVERED),
    ("e5", "eve", "Smørrebrød board", "5 Hovedgade, København", "10.00", Status.CANCELLED),
    ("f6", "alice", "A.B.C. book", "6 Main Street, Springfield", "1000.00", Status.PENDING),
]


@pytest.fixture
async def shop(service: OrderService) -> OrderService:
    """The service with the orders of `SOLD`, an hour apart."""
    for number, (order_id, customer, product, address, total, status) in enumerate(SOLD):
        items = (Item(f"nw-{number + 10}", 1, Decimal(total), product),)
        command = CreateOrder(order_id, customer, items, {"street": address})
        await service.commands.execute(command, Metadata.new(at=NOON + timedelta(hours=number)))
        await bring(service, order_id, status)
    return service


async def found(service: OrderService, **sought: Any) -> str:
    """The ids of the orders found, as one text; oldest first."""
    return " ".join(sorted(ids((await service.queries.ask(SearchOrders(**sought))).orders)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "a1 b2 c3 d4 e5 f6"),
        ("", "a1 b2 c3 d4 e5 f6"),
        ("   ", "a1 b2 c3 d4 e5 f6"),
        ("teapot", "a1 c3"),
        ("TEAPOT", "a1 c3"),
        ("tea", "a1 c3"),
        ("eapot", ""),
        ("teapot blue", "a1"),
        ("blue main zürich", "a1"),
        ("blue springfield", ""),
        ("zurich", "a1 d4"),
        ("ZÜRICH", "a1 d4"),
        ("Zu\u0308rich", "a1 d4"),
        ("creme brulee", "b2"),
        ("crème", "b2"),
        ("etoile", "b2"),
        ("l'Étoile", "b2"),
        ("東京", "d4"),
        ("東", "d4"),
        ("alice", "a1 d4 f6"),
        ("nw-13", "d4"),
        ("f6", "f6"),
        ("a.b.c", "f6"),
        ("6 main", "f6"),
        ("nothing", ""),
    ],
)
async def test_search_finds_words_and_their_beginnings(shop: OrderService, text: str | None, expected: str) -> None:
    assert await found(shop, text=text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"', ""),
        ('"teapot', "a1 c3"),
        ('teapot"', "a1 c3"),
        ("teapot*", "a1 c3"),
        ("^teapot", "a1 c3"),
        ("words: teapot", ""),
        ("{words} : teapot", ""),
        ("teapot OR cup", ""),
        ("teapot AND blue", ""),
        ("NOT teapot", ""),
        ("NEAR(teapot blue, 5)", ""),
        ("teapot - blue", "a1"),
        ("(teapot", "a1 c3"),
        ("'; DROP TABLE event; --", ""),
        ("%", ""),
        ("_", ""),
        ("teapot\0blue", "a1"),
        ("\ud800", ""),
        ("☂", ""),
        ("teapot " * 1000, "a1 c3"),
        ("x" * 100_000, ""),
    ],
)
async def test_nothing_that_is_searched_for_is_syntax(shop: OrderService, text: str, expected: str) -> None:
    assert await found(shop, text=text) == expected


@given(st.text(st.characters(), max_size=30))
def test_any_text_can_be_searched_for(text: str) -> None:
    """And comes to no more than letters, digits and spaces, which are syntax to no database."""
    assert all(word.isalnum() for word in words_of(text))


HOUR = timedelta(hours=1)
FILTERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, {"a1", "b2", "c3", "d4", "e5", "f6"}),
    "a word": ({"text": "street"}, {"a1", "c3", "d4", "f6"}),
    "a customer": ({"customer_id": "alice"}, {"a1", "d4", "f6"}),
    "a status": ({"status": Status.PENDING}, {"a1", "f6"}),
    "from": ({"created_from": NOON + 2 * HOUR}, {"c3", "d4", "e5", "f6"}),
    "from an instant later": ({"created_from": NOON + 2 * HOUR + timedelta(microseconds=1)}, {"d4", "e5", "f6"}),
    "to": ({"created_to": NOON + 2 * HOUR}, {"a1", "b2", "c3"}),
    "at least": ({"least": Decimal("10")}, {"a1", "b2", "c3", "e5", "f6"}),
    "at least a little more": ({"least": Decimal("10.001")}, {"b2", "f6"}),
    "at most": ({"most": Decimal("10.00")}, {"a1", "c3", "d4", "e5"}),
    "at most a little less": ({"most": Decimal("9.999")}, {"d4"}),
}


@pytest.mark.parametrize("sort", Sort)
async def test_each_filter_alone_and_with_each_other_in_each_order(shop: OrderService, sort: Sort) -> None:
    totals = {order_id: Decimal(total) for order_id, _, _, _, total, _ in SOLD}
    keys: dict[Sort, Callable[[str], Any]] = {
        Sort.NEWEST: lambda order_id: order_id,
        Sort.OLDEST: lambda order_id: order_id,
        Sort.HIGHEST: lambda order_id: (totals[order_id], order_id),
        Sort.LOWEST: lambda order_id: (totals[order_id], order_id),
    }
    descending = sort in (Sort.NEWEST, Sort.HIGHEST)
    for (_, (one, of_one)), (_, (other, of_other)) in itertools.combinations_with_replacement(FILTERS.items(), 2):
        if one is other or not set(one) & set(other):
            page = await shop.queries.ask(SearchOrders(**{**one, **other}, sort=sort))
            assert ids(page.orders) == sorted(of_one & of_other, key=keys[sort], reverse=descending)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"least": Decimal("1e400")}, ""),
        ({"most": Decimal("1e400")}, "a1 b2 c3 d4 e5 f6"),
        ({"least": Decimal(10**30)}, ""),
        ({"least": Decimal("-1e400")}, "a1 b2 c3 d4 e5 f6"),
        ({"most": Decimal("-1e400")}, ""),
        ({"least": Decimal("Infinity")}, ""),
        ({"least": Decimal("1e-400"), "most": Decimal("9.99999999999999999999999999999999999999")}, "d4"),
        ({"least": Decimal("999.9900000000000000000000000000000000000001")}, "f6"),
        ({"least": Decimal("1000.0000000000000000000000000000000000000001")}, ""),
        ({"least": Decimal(20), "most": Decimal(10)}, ""),
    ],
)
async def test_a_bound_is_exact_however_large_or_fine(
    shop: OrderService, bounds: dict[str, Decimal], expected: str
) -> None:
    assert await found(shop, **bounds) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("sort", Sort)
async def test_cursors_walk_through_everything_once(shop: OrderService, sort: Sort, limit: int) -> None:
    """Three of the orders have equal totals: the cursor must part them."""

    async def ask(cursor: str | None) -> FoundOrders:
        return await shop.queries.ask(SearchOrders(sort=sort, limit=limit, cursor=cursor))

    at_once = ids((await shop.queries.ask(SearchOrders(sort=sort))).orders)
    assert await walked(ask) == at_once
    assert sorted(at_once) == ["a1", "b2", "c3", "d4", "e5", "f6"]


async def test_a_walk_keeps_to_what_is_searched_for(shop: OrderService) -> None:
    async def ask(cursor: str | None) -> FoundOrders:
        sought = SearchOrders(text="street", sort=Sort.LOWEST, limit=1, least=Decimal(6), cursor=cursor)
        return await shop.queries.ask(sought)

    assert await walked(ask) == ["a1", "c3", "f6"]


@pytest.mark.parametrize("near", [1, 2, 4, 6])
@pytest.mark.parametrize("sort", Sort)
async def test_words_are_found_near_and_far(
    shop: OrderService, monkeypatch: pytest.MonkeyPatch, sort: Sort, near: int
) -> None:
    """Of the first orders some have the words, or enough of them, or none."""
    at_once = ids((await shop.queries.ask(SearchOrders(text="street", sort=sort))).orders)
    monkeypatch.setattr(finding, "NEAR", near)

    async def ask(cursor: str | None) -> FoundOrders:
        return await shop.queries.ask(SearchOrders(text="street", sort=sort, limit=2, cursor=cursor))

    assert await walked(ask) == at_once
    assert sorted(at_once) == ["a1", "c3", "d4", "f6"]


@on_sqlite
@pytest.mark.parametrize("reach", [0, 10, 100])
async def test_a_page_is_in_the_order_of_creation_whatever_the_order_of_rows(
    service: OrderService, monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    """Where several processes fold, rows come to be in another order."""
    chance = random.Random(7)
    names = {f"{number}": chance.choice(("Teapot", "Teatime", "Cup")) for number in range(24)}
    for number, name in names.items():
        await service.commands.execute(sold(number, name))
    monkeypatch.setattr(finding, "AHEAD", 1)
    monkeypatch.setattr(finding, "REACH", reach)
    for moved in (0, 1, 2, 5, 24):
        rows = list(range(1, 25))
        for one, other in ((chance.randrange(24), chance.randrange(24)) for _ in range(moved)):
            rows[one], rows[other] = rows[other], rows[one]
        await service.store.work(lambda rows=rows: renumbered(dict(zip(names, rows, strict=True)), names))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        for text, sort, limit in itertools.product(("teapot", "tea"), (Sort.NEWEST, Sort.OLDEST), (1, 2, 5, 30)):
            having = [number for number, name in names.items() if name.casefold().startswith(text)]
            expected = having if sort is Sort.OLDEST else having[::-1]
            page = await service.queries.ask(SearchOrders(text=text, sort=sort, limit=limit))
            assert (ids(page.orders), page.cursor is None) == (expected[:limit], len(expected) <= limit)


def sold(order_id: str, product: str) -> CreateOrder:
    """The command to create an order of one product."""
    return CreateOrder(order_id, "alice", (Item("p-1", 1, Decimal(1), product),), "1 Main Street")


def renumbered(rows: Mapping[str, int], texts: Mapping[str, str]) -> Work[None]:
    """Give the orders these rows, with the words of these texts."""
    yield Run("UPDATE order_details_v2 SET row = row + 1000")
    yield Run("UPDATE order_details_v2 SET row = ? WHERE key = ?", [(row, key) for key, row in rows.items()])
    yield Run("DELETE FROM order_details_text_v2")
    words = [(row, texts[key].casefold()) for key, row in rows.items()]
    yield Run("INSERT INTO order_details_text_v2 (rowid, words) VALUES (?, ?)", words)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.OLDEST])
async def test_a_page_of_many_orders_with_a_word_is_read_without_the_rest(
    service: OrderService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    """Though the first orders do not have it: SQLite takes as many steps."""
    steps: list[int] = []
    raw: Any = apsw.Connection(str(tmp_path / "orders.db"))
    words = Beginnings(raw)
    words.unlisted.add('"order_details_text_v2"')
    words.list_words()

    def step() -> bool:
        steps[-1] += 1
        return False

    async def scan(query: Fetch) -> list[Row]:
        rows: list[Row] = raw.execute(*query).fetchall()
        return rows

    raw.set_progress_handler(step, 1)

    async def place_many(first: int, last: int, product: str) -> None:
        every = (service.commands.execute(sold(f"{number}", product)) for number in range(first, last))
        await asyncio.gather(*every)

    monkeypatch.setattr(finding, "NEAR", 10)
    monkeypatch.setattr(service.store, "scan", scan)
    await place_many(0, 20, "Cup")
    for first, last in ((20, 220), (240, 840)):
        await place_many(first, last, "Teapot")
        await place_many(last, last + 20, "Cup")
        steps.append(0)
        page = await service.queries.ask(SearchOrders(text="teapot", sort=sort, limit=2))
        assert len(page.orders) == 2
    assert steps[1] < steps[0] * 1.2
    raw.close()


async def walked(ask: Callable[[str | None], Awaitable[FoundOrders]]) -> list[str]:
    """All ids, following the cursors to the end."""
    page = await ask(None)
    walk = ids(page.orders)
    while page.cursor is not None:
        page = await ask(page.cursor)
        assert page.orders, "a cursor led to an empty page"
        walk += ids(page.orders)
    return walk


async def test_a_change_of_status_is_found_at_once_and_its_words_still_are(shop: OrderService) -> None:
    await bring(shop, "a1", Status.CANCELLED)
    assert await found(shop, text="teapot", status=Status.CANCELLED) == "a1"
    assert await found(shop, text="teapot", status=Status.PENDING) == ""


# --- cursors --------------------------------------------------------------------------------------------------------


def encoded(value: object) -> str:
    """A cursor as one would forge it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


FORGED = {
    "nothing": "",
    "a word": "next",
    "not ASCII": "é",
    "no text": "\ud800",
    "not base64": "!!!",
    "long": "A" * 100_000,
    "deep": base64.urlsafe_b64encode(b"[" * 5000).decode(),
    "not JSON": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    "null": encoded(None),
    "too short": encoded(["newest", 1]),
    "another sort": encoded(["lowest", 1, 1]),
    "no sort": encoded(["loudest", 1, 1]),
    "a fraction": encoded(["newest", 1.5, 1]),
    "a text for a number": encoded(["newest", "1", 1]),
    "past 64 bits": encoded(["newest", 2**63, 1]),
    "far past 64 bits": encoded(["newest", 1, 10**400]),
    "below 64 bits": encoded(["newest", -(2**63) - 1, 1]),
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
async def test_a_cursor_that_was_not_given_for_this_list_is_a_fault(shop: OrderService, cursor: str) -> None:
    sentence = "^Cursor is not one that was given for this list$"
    with pytest.raises(ValidationFailed, match=sentence):
        await shop.queries.ask(SearchOrders(cursor=cursor))
    with pytest.raises(ValidationFailed, match=sentence):
        await shop.queries.ask(GetOrdersByCustomer("alice", cursor=cursor))


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(Sort, 2)))
async def test_a_cursor_of_another_order_is_a_fault(shop: OrderService, one: Sort, other: Sort) -> None:
    page = await shop.queries.ask(SearchOrders(sort=one, limit=1))
    with pytest.raises(ValidationFailed):
        await shop.queries.ask(SearchOrders(sort=other, limit=1, cursor=page.cursor))


@given(st.sampled_from(Sort), st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_cursor_says_where_the_page_ended(sort: Sort, value: int, position: int) -> None:
    cursor = cursor_of(sort, value, position)
    assert cursor.replace("-", "").replace("_", "").isalnum()  # it goes into a URL as it is
    place = place_of(cursor, sort)
    assert (place.sort, place.value, place.position) == (sort, value, position)


@given(st.text(st.characters(), max_size=40), st.sampled_from(Sort))
def test_any_text_as_a_cursor_is_a_place_or_a_fault(cursor: str, sort: Sort) -> None:
    try:
        place = place_of(cursor, sort)
    except ValidationFailed:
        return
    assert place.sort is sort


# --- indexes --------------------------------------------------------------------------------------------------------


async def plans(
    service: OrderService, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Awaitable[object]]
) -> list[str]:
    """How SQLite goes about each statement that is run to answer."""
    asked: list[Fetch] = []
    rows = service.store.rows

    async def noted(query: Fetch) -> list[Row]:
        asked.append(query)
        return await rows(query)

    with monkeypatch.context() as patched:
        patched.setattr(service.store, "rows", noted)
        await ask()
    return [
        " / ".join(row[3] for row in await rows(Fetch(f"EXPLAIN QUERY PLAN {query.sql}", query.parameters)))
        for query in asked
    ]


@on_sqlite
async def test_a_point_read_and_a_customers_page_go_through_an_index(
    service: OrderService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(service, *range(10))
    cursor = (await service.queries.ask(GetOrdersByCustomer("alice", limit=2))).cursor
    (read,) = await plans(service, monkeypatch, lambda: service.queries.ask(GetOrder("1")))
    assert "SEARCH order_details_v2 USING INDEX" in read
    assert "(key=?)" in read
    pages = [
        (GetOrdersByCustomer("alice", limit=2), "(customer_id=?)"),
        (GetOrdersByCustomer("alice", limit=2, page=3), "(customer_id=?)"),
        (GetOrdersByCustomer("alice", limit=2, cursor=cursor), "(customer_id=? AND first_position<?)"),
        (GetOrdersByCustomer("alice", Status.PENDING, limit=2), "(customer_id=? AND status=?)"),
        (
            GetOrdersByCustomer("alice", Status.PENDING, limit=2, cursor=cursor),
            "(customer_id=? AND status=? AND first_position<?)",
        ),
    ]
    for query, through in pages:
        total, page = await plans(service, monkeypatch, lambda query=query: service.queries.ask(query))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert through in page
        for plan in (total, page):
            assert "SEARCH" in plan
            assert "SCAN" not in plan
            assert "TEMP B-TREE" not in plan  # the index gives the order already


@on_sqlite
async def test_a_list_of_all_orders_comes_out_of_an_index(
    service: OrderService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(service, *range(10))

    async def scan(query: Fetch) -> list[Row]:
        return await service.store.rows(query)  # where `plans` looks

    monkeypatch.setattr(service.store, "scan", scan)
    for sort in Sort:
        cursor = (await service.queries.ask(SearchOrders(sort=sort, limit=2))).cursor
        for query in (SearchOrders(sort=sort), SearchOrders(sort=sort, cursor=cursor)):
            (plan,) = await plans(service, monkeypatch, lambda query=query: service.queries.ask(query))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            assert "INDEX order_details_v2_" in plan
            assert "TEMP B-TREE" not in plan


@on_sqlite
async def test_what_has_changed_of_a_customers_orders_is_found_through_an_index(service: OrderService) -> None:
    await place(service, *range(3))
    table = details.table
    changed = sa.select(table.c.key).where(table.c.customer_id == "alice", table.c.last_position > 1)
    sql, parameters = service.views.current.compile(changed.order_by(table.c.last_position)).fetch()
    assert await service.store.rows(Fetch(sql, parameters)) == [("1",), ("2",)]
    ((*_, plan),) = await service.store.rows(Fetch(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert "(customer_id=? AND last_position>?)" in plan


async def test_a_rebuild_is_not_seen_by_who_asks(shop: OrderService) -> None:
    before = await shop.queries.ask(SearchOrders(text="street", sort=Sort.LOWEST, limit=2))
    await rebuild(shop.views, "order_details", lambda _progress: None)
    assert await shop.queries.ask(SearchOrders(text="street", sort=Sort.LOWEST, limit=2)) == before
    rest = await shop.queries.ask(SearchOrders(text="street", sort=Sort.LOWEST, limit=2, cursor=before.cursor))
    assert ids(before.orders) + ids(rest.orders) == ["d4", "a1", "c3", "f6"]
