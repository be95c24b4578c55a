"""The sums of the shop: whatever happened, and in batches of whatever size, they are what plain sums over the log say.

The model here reads the stored JSON and adds up in dictionaries. It shares no code with `orders.sales`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from order_samples import DIGITS, STATUSES, Said, bring, create, creations, item, say
from orders.app import OrderService, open_service
from orders.domain import CancelOrder, OrderCommand, Status, UpdateOrderStatus
from orders.queries import Dashboard, GetDashboard
from orders.sales import by_customer, by_day, by_product
from twofold import Conflict, Metadata, ValidationFailed
from twofold.connect import connect
from twofold.rebuild import rebuild
from twofold.sql import Run, Work
from twofold.verify import Difference, verify

Sums = dict[tuple[str, str], tuple[Any, ...]]
STATUS_NAMES = ("pending", "confirmed", "shipped", "delivered", "cancelled")


class Tables(NamedTuple):
    """The sums of each kind, by currency and what they are by."""

    by_day: Sums
    by_customer: Sums
    by_product: Sums


# --- the model ------------------------------------------------------------------------------------------------------


class Model:
    """What plain sums over the log come to."""

    def __init__(self) -> None:
        self.tables = Tables({}, {}, {})
        self._orders: dict[str, dict[str, Any]] = {}

    @classmethod
    async def of(cls, service: OrderService) -> Model:
        """The model of all that is in the service's log."""
        model = cls()
        async for recorded in service.store.read_all():
            event = msgspec.json.decode(recorded.data)
            if recorded.type == "OrderCreated":
                day = recorded.metadata.at.astimezone(UTC).strftime("%Y-%m-%d")
                model.create(recorded.stream, {**event, "day": day, "status": "pending"})
            else:
                model.change(recorded.stream, event.get("newStatus", "cancelled"))
        return model

    def create(self, stream: str, order: dict[str, Any]) -> None:
        """Count a new order."""
        self._orders[stream] = order
        currency, total = order["currency"], self._total(order)
        self._count(order, 1)
        add(self.tables.by_customer, (currency, order["customerId"]), 1, total)
        for sold in order["items"]:
            key = (currency, sold["productId"])
            known = self.tables.by_product.get(key, ("Unknown Product", 0, 0))
            name = sold.get("productName") or known[0]
            units = self._units(order, Decimal(sold["price"])) * sold["quantity"]
            self.tables.by_product[key] = (name, known[1] + sold["quantity"], known[2] + units)

    def change(self, stream: str, status: str) -> None:
        """Move an order to another status; one that is cancelled earned nothing."""
        order = self._orders[stream]
        currency, total = order["currency"], self._total(order)
        self._count(order, -1)
        order["status"] = status
        self._count(order, 1)
        if status == "cancelled":
            add(self.tables.by_customer, (currency, order["customerId"]), 0, -total)
            for sold in order["items"]:
                key = (currency, sold["productId"])
                name, quantity, revenue = self.tables.by_product[key]
                units = self._units(order, Decimal(sold["price"])) * sold["quantity"]
                self.tables.by_product[key] = (name, quantity - sold["quantity"], revenue - units)

    def dashboard(self, currency: str) -> dict[str, Any]:
        """What the dashboard must show."""

        def of(sums: Sums) -> list[tuple[Any, ...]]:
            return [
                (key, *row[:-1], self._amount(currency, row[-1])) for (of, key), row in sums.items() if of == currency
            ]

        def kept(statuses: Mapping[str, tuple[int, Decimal]]) -> tuple[int, Decimal]:
            return (
                sum(orders for orders, _ in statuses.values()),
                sum((amount for status, (_, amount) in statuses.items() if status != "cancelled"), Decimal(0)),
            )

        days: dict[str, dict[str, tuple[int, Decimal]]] = {}
        for (of_currency, day), row in self.tables.by_day.items():
            if of_currency == currency:
                amounts = [self._amount(currency, units) for units in row[1::2]]
                days[day] = dict(zip(Status, zip(row[::2], amounts, strict=True), strict=True))
        statuses: dict[str, tuple[int, Decimal]] = {
            status.value: (
                sum(of_day[status][0] for of_day in days.values()),
                sum((of_day[status][1] for of_day in days.values()), Decimal(0)),
            )
            for status in Status
        }
        best = [sorted(of(sums), key=lambda row: (-row[-1], row[0])) for sums in self.tables[1:]]
        orders, revenue = kept(statuses)
        return {
            "orders": orders,
            "revenue": revenue,
            "statuses": [(status, *sums) for status, sums in statuses.items()],
            "days": [
                (day, *kept(of_day), [(status, *sums) for status, sums in of_day.items() if sums[0]])
                for day, of_day in sorted(days.items(), reverse=True)[:90]
            ],
            "customers": best[0][:10],
            "products": best[1][:10],
        }

    def _count(self, order: dict[str, Any], sign: int) -> None:
        """Add the order to its day, in the columns of its status, or take it out of them."""
        key = (order["currency"], order["day"])
        row = [*self.tables.by_day.get(key, (0,) * 10)]
        at = 2 * STATUS_NAMES.index(order["status"])
        row[at] += sign
        row[at + 1] += sign * self._total(order)
        self.tables.by_day[key] = tuple(row)

    def _total(self, order: dict[str, Any]) -> int:
        return sum(self._units(order, Decimal(sold["price"])) * sold["quantity"] for sold in order["items"])

    def _units(self, order: dict[str, Any], amount: Decimal) -> int:
        return int(amount * 10 ** DIGITS[order["currency"]])

    def _amount(self, currency: str, units: int) -> Decimal:
        return Decimal(units) / Decimal(10 ** DIGITS[currency])


def add(sums: Sums, key: tuple[str, str], orders: int, revenue: int) -> None:
    """Add to a sum, which begins at nothing."""
    known = sums.get(key, (0, 0))
    sums[key] = (known[0] + orders, known[1] + revenue)


# --- what is stored -------------------------------------------------------------------------------------------------


async def stored(service: OrderService) -> Tables:
    """The sums as the view holds them."""

    async def sums(table: sa.Table, of: str, *columns: str) -> Sums:
        rows = await service.views.rows(sa.select(table.c.currency, table.c[of], *(table.c[name] for name in columns)))
        return {(currency, key): tuple(values) for currency, key, *values in rows}

    return Tables(
        await sums(by_day, "day", *(f"{status}_{of}" for status in STATUS_NAMES for of in ("orders", "revenue"))),
        await sums(by_customer, "customer_id", "orders", "revenue"),
        await sums(by_product, "product_id", "name", "quantity", "revenue"),
    )


async def differences(service: OrderService) -> Sequence[Difference]:
    """What the verifier finds."""
    async with connect("memory:") as scratch:
        return await verify(service.views, service.store, scratch, lambda _progress: None)


def shown(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard in the words of the model."""
    return {
        "orders": dashboard.total_orders,
        "revenue": dashboard.total_revenue,
        "statuses": [(each.status.value, each.orders, each.revenue) for each in dashboard.by_status],
        "days": [
            (
                each.day,
                each.orders,
                each.revenue,
                [(one.status.value, one.orders, one.revenue) for one in each.by_status],
            )
            for each in dashboard.by_day
        ],
        "customers": [(each.customer_id, each.orders, each.revenue) for each in dashboard.best_customers],
        "products": [
            (each.product_id, each.product_name, each.quantity, each.revenue) for each in dashboard.best_products
        ],
    }


async def assert_agrees(service: OrderService) -> None:
    """The stored sums, the dashboards and the verifier agree with the model."""
    model = await Model.of(service)
    assert await stored(service) == model.tables
    for currency in DIGITS:
        assert shown(await service.queries.ask(GetDashboard(currency))) == model.dashboard(currency)
    assert await differences(service) == []


# --- the proofs -----------------------------------------------------------------------------------------------------

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])


def after_midnight(seconds: int, zone: tzinfo) -> datetime:
    """So many seconds after a midnight, as a clock in that zone says it."""
    return (MIDNIGHT + timedelta(seconds=seconds)).astimezone(zone)


AROUND_MIDNIGHT = st.builds(after_midnight, st.integers(-2, 2) | st.integers(-200_000, 200_000), ZONES)
NUMBERS = st.sampled_from(["1", "2", "3"])


@st.composite
def a_command(draw: st.DrawFn) -> Said:
    """A command to one of three orders, said around some midnight."""
    number = draw(NUMBERS)
    commands: st.SearchStrategy[OrderCommand] = st.one_of(
        creations(number),
        st.builds(UpdateOrderStatus, st.just(number), STATUSES),
        st.builds(CancelOrder, st.just(number)),
    )
    return Said(draw(commands), draw(AROUND_MIDNIGHT))


@st.composite
def a_history(draw: st.DrawFn) -> Sequence[Said]:
    """Three orders, and what is said to them: in any order, most of it allowed by chance only."""
    created = [Said(draw(creations(number)), draw(AROUND_MIDNIGHT)) for number in "123"]
    return draw(st.permutations([*created, *draw(st.lists(a_command(), max_size=15))]))


@settings(deadline=None, max_examples=40)
@given(a_history(), st.sampled_from([1, 2, 3, 7, 1000]))
def test_the_sums_are_those_of_a_naive_fold_in_batches_of_any_size(history: Sequence[Said], size: int) -> None:
    async def run() -> None:
        async with open_service("memory:") as service:
            for said in history:
                await say(service, said)  # inline: each event by itself
            await assert_agrees(service)
            with mock.patch("twofold.views.PAGE", size):
                await rebuild(service.views, "sales", lambda _progress: None)
            await assert_agrees(service)

    asyncio.run(run())


@settings(deadline=None, max_examples=15)
@given(a_history())
def test_the_sums_are_right_when_commands_are_committed_together(history: Sequence[Said]) -> None:
    async def run(url: str) -> None:
        async with open_service(url) as service:

            async def say_or_lose(said: Said) -> None:
                with suppress(Conflict):  # others were faster each time
                    await say(service, said)

            await asyncio.gather(*(say_or_lose(said) for said in history))
            await assert_agrees(service)

    with TemporaryDirectory() as folder:
        asyncio.run(run(f"sqlite:///{folder}/orders.db"))


async def test_an_empty_shop_has_sold_nothing(service: OrderService) -> None:
    dashboard = await service.queries.ask(GetDashboard())
    assert (dashboard.total_orders, dashboard.total_revenue) == (0, Decimal(0))
    assert [(each.status, each.orders, each.revenue) for each in dashboard.by_status] == [
        (status, 0, Decimal(0)) for status in Status
    ]
    assert (dashboard.by_day, dashboard.best_customers, dashboard.best_products) == ([], [], [])


async def test_a_cancelled_order_is_counted_and_earns_nothing(service: OrderService) -> None:
    for number, status in enumerate(Status):
        await service.commands.execute(create(f"{number}", items=[item(quantity=1, price=10**number)]))
        await bring(service, f"{number}", status)
    dashboard = await service.queries.ask(GetDashboard())
    assert (dashboard.total_orders, dashboard.total_revenue) == (5, Decimal(1111))
    assert [(each.status.value, each.orders, int(each.revenue)) for each in dashboard.by_status] == [
        ("pending", 1, 1),
        ("confirmed", 1, 10),
        ("shipped", 1, 100),
        ("delivered", 1, 1000),
        ("cancelled", 1, 10000),
    ]
    (customer,), (product,) = dashboard.best_customers, dashboard.best_products
    assert (customer.customer_id, customer.orders, customer.revenue) == ("alice", 5, Decimal(1111))
    assert (product.product_id, product.quantity, product.revenue) == ("p-1", 4, Decimal(1111))


async def test_a_day_ends_at_midnight_in_utc(service: OrderService) -> None:
    for number, seconds in enumerate((-1, 0)):
        said = (MIDNIGHT + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=9)))
        await service.commands.execute(create(f"{number}"), Metadata.new(at=said))
    dashboard = await service.queries.ask(GetDashboard())
    assert [(each.day, each.orders) for each in dashboard.by_day] == [("2026-03-01", 1), ("2026-02-28", 1)]


async def test_a_product_has_the_name_that_it_was_last_ordered_by(service: OrderService) -> None:
    async def name() -> str:
        return (await service.queries.ask(GetDashboard())).best_products[0].product_name

    for number, (sent, known) in enumerate(
        [(..., "Unknown Product"), ("Pot", "Pot"), ("Teapot", "Teapot"), (..., "Teapot")]
    ):
        await service.commands.execute(create(f"{number}", items=[item(productName=sent)]))
        assert await name() == known
    await service.commands.execute(CancelOrder("1"))  # the one that called it a pot
    assert await name() == "Teapot"


async def test_the_best_are_ten_and_equals_stand_in_the_order_of_their_ids(service: OrderService) -> None:
    for number in (7, 3, 11, 1, 9, 5, 2, 10, 4, 8, 6, 12):
        sold = [item(productId=f"p-{number:02}", quantity=1, price=1)]
        await service.commands.execute(create(f"{number}", customerId=f"c-{number:02}", items=sold))
    before = await service.queries.ask(GetDashboard())
    assert [each.customer_id for each in before.best_customers] == [f"c-{number:02}" for number in range(1, 11)]
    assert [each.product_id for each in before.best_products] == [f"p-{number:02}" for number in range(1, 11)]
    await rebuild(service.views, "sales", lambda _progress: None)
    assert await service.queries.ask(GetDashboard()) == before


async def test_a_request_that_is_refused_is_not_counted(service: OrderService) -> None:
    with pytest.raises(ValidationFailed):
        create("1", items=[item(), item(quantity=0)])
    await service.commands.execute(create("1"))
    await bring(service, "1", Status.SHIPPED)
    assert await say(service, Said(CancelOrder("1"))) is None
    assert await say(service, Said(create("1"))) is None
    await assert_agrees(service)


async def test_a_sum_that_someone_changed_by_hand_is_found_and_mended(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    table = service.views.current.physical("sales_by_customer")

    def spoil() -> Work[None]:
        yield Run(f"UPDATE {table} SET revenue = revenue + 1")  # noqa: S608 - the name of our own table

    await service.store.work(spoil)
    (difference,) = await differences(service)
    assert (difference.view, difference.table) == ("sales", "sales_by_customer")
    await rebuild(service.views, "sales", lambda _progress: None)
    await assert_agrees(service)
