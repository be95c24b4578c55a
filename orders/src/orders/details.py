"""The view of a single order: all that is known of it, as a client is sent it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar, assert_never

import msgspec

from orders import money
from orders.domain import (
    Item,
    OrderCancelled,
    OrderCreated,
    OrderEvent,
    OrderStatusUpdated,
    PersonalAddress,
    PersonalText,
    Status,
    codec,
    orders,
)
from twofold import Column, Projection, Recorded, Source
from twofold.views import TableView

UNKNOWN_PRODUCT = "Unknown Product"
_MICROSECOND = timedelta(microseconds=1)


class ItemView(msgspec.Struct, frozen=True, rename="camel"):
    """An item of an order."""

    product_id: str
    product_name: str
    quantity: int
    price: Decimal
    subtotal: Decimal


class StatusChange(msgspec.Struct, frozen=True, rename="camel"):
    """When and why an order came to a status."""

    status: Status
    timestamp: datetime
    reason: str


class OrderView(msgspec.Struct, frozen=True, rename="camel"):
    """An order: `itemCount` counts its items, not their quantities; `version` is what its ETag says."""

    order_id: str
    customer_id: PersonalText
    items: tuple[ItemView, ...]
    item_count: int
    shipping_address: PersonalAddress
    total_amount: Decimal
    currency: str
    status: Status
    status_history: tuple[StatusChange, ...]
    created_at: datetime
    updated_at: datetime
    version: int


class OrderDetails(Projection[OrderEvent, OrderView]):
    """One row an order. Found by customer, status, total and time of creation, and by the words in it."""

    name = "order_details"
    version = 2
    view = OrderView
    columns = (
        Column[OrderView]("version", int, lambda order: order.version),
        Column[OrderView]("customer_id", str, lambda order: order.customer_id),
        Column[OrderView]("status", str, lambda order: order.status.value),
        Column[OrderView]("currency", str, lambda order: order.currency),
        Column[OrderView]("total", int, lambda order: money.minor_units(order.total_amount, order.currency)),
        Column[OrderView]("created", int, lambda order: microseconds(order.created_at)),
    )
    # The order of creation is that of `first_position`: no two orders share one, and `row` is no order where several
    # processes write at once. By `last_position` those of a customer's orders are found that have changed since.
    indexes: ClassVar = (
        ("first_position",),
        ("customer_id", "first_position"),
        ("customer_id", "status", "first_position"),
        ("customer_id", "last_position"),
        ("status", "first_position"),
        ("total", "first_position"),
        ("created", "first_position"),
    )
    searchable = True

    def key(self, recorded: Recorded[OrderEvent], /) -> str:
        """The order's id."""
        return orders.id_in(recorded.stream)

    def evolve(self, view: OrderView | None, recorded: Recorded[OrderEvent], /) -> OrderView | None:
        """The order after the event."""
        event, at = recorded.data, recorded.metadata.at.astimezone(UTC)
        match event:
            case OrderCreated():
                return _created(self.key(recorded), event, at, recorded.version)
            case OrderStatusUpdated(new_status=status, reason=reason):
                change = StatusChange(status, at, reason or "Status updated")
            case OrderCancelled(reason=reason):
                change = StatusChange(Status.CANCELLED, at, reason or "Order cancelled")
            case _:
                assert_never(event)
        if view is None:
            raise ValueError(f"{recorded.stream} has no OrderCreated before version {recorded.version}")
        return msgspec.structs.replace(
            view,
            status=change.status,
            status_history=(*view.status_history, change),
            updated_at=at,
            version=recorded.version,
        )

    def text(self, view: OrderView, /) -> str:
        """Ids, names of products, and the address."""
        address = view.shipping_address
        texts = [view.order_id, view.customer_id]
        texts += (address,) if isinstance(address, str) else address.values()
        for item in view.items:
            texts += item.product_id, item.product_name
        return "\n".join(texts)


def _created(order_id: str, event: OrderCreated, at: datetime, version: int) -> OrderView:
    items = tuple(_item(item) for item in event.items)
    return OrderView(
        order_id=order_id,
        customer_id=event.customer_id,
        items=items,
        item_count=len(items),
        shipping_address=event.shipping_address,
        total_amount=sum((item.subtotal for item in items), start=Decimal(0)),
        currency=event.currency,
        status=Status.PENDING,
        status_history=(StatusChange(Status.PENDING, at, "Order created"),),
        created_at=at,
        updated_at=at,
        version=version,
    )


def _item(item: Item) -> ItemView:
    return ItemView(item.product_id, item.product_name or UNKNOWN_PRODUCT, item.quantity, item.price, item.subtotal)


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, UTC: exact and in order, as a column wants it."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND


source = Source(frozenset({orders.name}), codec)
details = TableView(OrderDetails(), source)
