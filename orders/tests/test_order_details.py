"""The view of one order: each field as the issue says, and at every version what a naive fold of the log comes to."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_samples import Said, commands, creations, read_json, say
from orders.app import open_service
from orders.details import ItemView, OrderView, StatusChange, details
from orders.domain import (
    CreateOrder,
    Item,
    OrderCancelled,
    OrderCommand,
    OrderCreated,
    OrderStatusUpdated,
    ShippingAddress,
    Status,
)
from orders.queries import GetOrder
from twofold import Metadata, Recorded
from twofold.testing.scenario import ProjectionScenario

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = (Item("p-1", 2, Decimal("9.80"), "Blue Teapot"), Item("p-2", 3, Decimal("0.05")))
ADDRESS = {"street": "1 Main Street", "city": "Springfield"}
CREATED = OrderCreated("alice", ITEMS, ADDRESS, "USD")
CONFIRMED = OrderStatusUpdated(Status.PENDING, Status.CONFIRMED)

NEW = OrderView(
    order_id="1",
    customer_id="alice",
    items=(
        ItemView("p-1", "Blue Teapot", 2, Decimal("9.80"), Decimal("19.60")),
        ItemView("p-2", "Unknown Product", 3, Decimal("0.05"), Decimal("0.15")),
    ),
    item_count=2,
    shipping_address=ADDRESS,
    total_amount=Decimal("19.75"),
    currency="USD",
    status=Status.PENDING,
    status_history=(StatusChange(Status.PENDING, NOON, "Order created"),),
    created_at=NOON,
    updated_at=NOON,
    version=1,
)


def at(hours: int) -> Metadata:
    """What was said so many hours after noon."""
    return Metadata.new(at=NOON + timedelta(hours=hours))


def created() -> ProjectionScenario[Any, OrderView]:
    """An order, just created at noon."""
    return ProjectionScenario(details.projection).given(CREATED, stream="order-1", metadata=at(0))


def test_a_new_order_shows_all_that_was_ordered() -> None:
    created().then_rows({"1": NEW})


def test_a_change_of_status_is_added_to_the_history_and_changes_nothing_else() -> None:
    scenario = created().given(CONFIRMED, stream="order-1", metadata=at(1))
    confirmed = StatusChange(Status.CONFIRMED, NOON + timedelta(hours=1), "Status updated")
    after = msgspec.structs.replace(
        NEW,
        status=Status.CONFIRMED,
        status_history=(*NEW.status_history, confirmed),
        updated_at=NOON + timedelta(hours=1),
        version=2,
    )
    scenario.then_rows({"1": after})


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (CONFIRMED, "Status updated"),
        (OrderStatusUpdated(Status.PENDING, Status.CONFIRMED, "paid"), "paid"),
        (OrderStatusUpdated(Status.PENDING, Status.CONFIRMED, ""), "Status updated"),
        (OrderCancelled(Status.PENDING), "Order cancelled"),
        (OrderCancelled(Status.PENDING, "too late"), "too late"),
    ],
)
def test_a_change_has_its_reason_or_a_default(event: OrderStatusUpdated | OrderCancelled, reason: str) -> None:
    (view,) = created().given(event, stream="order-1", metadata=at(1)).rows().values()
    assert [change.reason for change in view.status_history] == ["Order created", reason]


@pytest.mark.parametrize("name", [None, ""])
def test_a_product_without_a_name_is_an_unknown_product(name: str | None) -> None:
    event = OrderCreated("alice", (Item("p-1", 1, Decimal("1.00"), name),), "1 Main Street", "USD")
    (view,) = ProjectionScenario(details.projection).given(event, stream="order-1").rows().values()
    assert view.items[0].product_name == "Unknown Product"


def test_an_item_counts_once_whatever_its_quantity() -> None:
    (view,) = created().rows().values()
    assert (view.item_count, sum(item.quantity for item in view.items)) == (2, 5)


def test_times_are_told_in_utc() -> None:
    tokyo = datetime(2026, 3, 1, 21, tzinfo=timezone(timedelta(hours=9)))
    scenario = ProjectionScenario(details.projection)
    scenario = scenario.given(CREATED, stream="order-1", metadata=Metadata.new(at=tokyo)).then_rows({"1": NEW})
    (view,) = scenario.rows().values()
    assert details.encode(view) == details.encode(NEW)  # equal moments of two zones would be equal values


def test_each_order_has_its_own_row() -> None:
    other = OrderCreated("bob", ITEMS[:1], "2 Side Street", "USD")
    rows = created().given(other, stream="order-with-dashes").given(CONFIRMED, stream="order-1").rows()
    assert {key: (view.customer_id, view.status) for key, view in rows.items()} == {
        "1": ("alice", "confirmed"),
        "with-dashes": ("bob", "pending"),
    }


def test_a_change_of_an_order_that_was_never_created_is_refused() -> None:
    with pytest.raises(ValueError, match="no OrderCreated before version 1"):
        ProjectionScenario(details.projection).given(CONFIRMED, stream="order-1").rows()


def test_the_body_is_json_in_camel_case_with_numbers_for_amounts() -> None:
    assert read_json(details.encode(NEW)) == {
        "orderId": "1",
        "customerId": "alice",
        "items": [
            {
                "productId": "p-1",
                "productName": "Blue Teapot",
                "quantity": 2,
                "price": Decimal("9.80"),
                "subtotal": Decimal("19.60"),
            },
            {
                "productId": "p-2",
                "productName": "Unknown Product",
                "quantity": 3,
                "price": Decimal("0.05"),
                "subtotal": Decimal("0.15"),
            },
        ],
        "itemCount": 2,
        "shippingAddress": {"street": "1 Main Street", "city": "Springfield"},
        "totalAmount": Decimal("19.75"),
        "currency": "USD",
        "status": "pending",
        "statusHistory": [{"status": "pending", "timestamp": "2026-03-01T12:00:00Z", "reason": "Order created"}],
        "createdAt": "2026-03-01T12:00:00Z",
        "updatedAt": "2026-03-01T12:00:00Z",
        "version": 1,
    }


# --- against a naive fold of the stored text, which shares no code with the view --------------------------------------


def naive(stored: Sequence[Recorded[bytes]]) -> dict[str, Any]:
    """The order as its stored events say, read as plain JSON."""
    order: dict[str, Any] = {}
    for recorded in stored:
        event = msgspec.json.decode(recorded.data)
        time = recorded.metadata.at.astimezone(UTC)
        if recorded.type == "OrderCreated":
            order = {
                "customer": event["customerId"],
                "address": event["shippingAddress"],
                "names": [item.get("productName") or "Unknown Product" for item in event["items"]],
                "total": sum(Decimal(item["price"]) * item["quantity"] for item in event["items"]),
                "count": len(event["items"]),
                "created": time,
                "history": [("pending", time, "Order created")],
            }
        elif recorded.type == "OrderCancelled":
            order["history"] = [*order["history"], ("cancelled", time, event.get("reason") or "Order cancelled")]
        else:
            order["history"] = [*order["history"], (event["newStatus"], time, event.get("reason") or "Status updated")]
    return {**order, "status": order["history"][-1][0], "updated": order["history"][-1][1], "version": len(stored)}


def shown(view: OrderView) -> dict[str, Any]:
    """The same of a view."""
    address: ShippingAddress = view.shipping_address
    return {
        "customer": view.customer_id,
        "address": address,
        "names": [item.product_name for item in view.items],
        "total": view.total_amount,
        "count": view.item_count,
        "created": view.created_at,
        "history": [(change.status.value, change.timestamp, change.reason) for change in view.status_history],
        "status": view.status.value,
        "updated": view.updated_at,
        "version": view.version,
    }


@settings(deadline=None, max_examples=40)
@given(creations("1"), st.lists(commands("1"), max_size=8))
def test_an_order_at_each_of_its_versions_is_what_a_naive_fold_says(
    first: CreateOrder, more: Sequence[OrderCommand]
) -> None:
    async def run() -> None:
        async with open_service("memory:") as service:
            for number, command in enumerate((first, *more)):
                await say(service, Said(command, NOON + timedelta(minutes=number)))
            stored = [recorded async for recorded in service.store.read("order-1")]
            for version in range(1, len(stored) + 1):
                document = await service.queries.ask(GetOrder("1", version))
                assert document is not None
                assert document.version == version
                assert shown(document.view()) == naive(stored[:version])
            now = await service.queries.ask(GetOrder("1"))
            then = await service.queries.ask(GetOrder("1", len(stored)))
            assert now == then  # the stored row is, to the byte, what folding the stream makes

    asyncio.run(run())
