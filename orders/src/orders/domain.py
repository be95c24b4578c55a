"""The order: what can happen to it, what it remembers, what it decides.

Events, fold and decisions stand here in this order, and nothing else: no I/O, no clock, no random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeAlias, assert_never

import msgspec

from orders import validation
from twofold import Category, Codec, Command, Decider, Fault, Receipt, TwofoldError

# --- events ---------------------------------------------------------------------------------------------------------


class Status(StrEnum):
    """Where an order stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


ShippingAddress: TypeAlias = str | Mapping[str, str]
"""One text, or named lines as the sender's country has them (`street`, `city`, `postalCode`, ...), kept as sent."""

_PERSONAL = msgspec.Meta(extra={"personal": True})  # masked for operators who may not see it
PersonalText: TypeAlias = Annotated[str, _PERSONAL]
PersonalAddress: TypeAlias = Annotated[ShippingAddress, _PERSONAL]


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """So many of a product at a price each, in the currency of the order."""

    product_id: str
    quantity: int
    price: Decimal
    product_name: str | None = None

    @property
    def subtotal(self) -> Decimal:
        """Price times quantity, exactly."""
        return self.price * self.quantity


class OrderCreated(msgspec.Struct, frozen=True, rename="camel"):
    """A customer ordered these items."""

    customer_id: PersonalText
    items: tuple[Item, ...]
    shipping_address: PersonalAddress
    currency: str


class OrderStatusUpdated(msgspec.Struct, frozen=True, rename="camel"):
    """The order went on to its next status."""

    previous_status: Status
    new_status: Status
    reason: str | None = None


class OrderCancelled(msgspec.Struct, frozen=True, rename="camel"):
    """The order was called off."""

    previous_status: Status
    reason: str | None = None


OrderEvent: TypeAlias = OrderCreated | OrderStatusUpdated | OrderCancelled

codec: Codec[OrderEvent] = Codec(
    {
        "OrderCreated": OrderCreated,
        "OrderStatusUpdated": OrderStatusUpdated,
        "OrderCancelled": OrderCancelled,
    }
)

# --- the fold -------------------------------------------------------------------------------------------------------

NEXT: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.CONFIRMED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset({Status.SHIPPED, Status.CANCELLED}),
    Status.SHIPPED: frozenset({Status.DELIVERED}),
    Status.DELIVERED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""Where an order can go on to."""


class Order(msgspec.Struct, frozen=True):
    """What an order remembers in order to decide. No status: there is no such order yet."""

    status: Status | None = None


def evolve(order: Order, event: OrderEvent) -> Order:
    """The order after the event."""
    match event:
        case OrderCreated():
            return Order(Status.PENDING)
        case OrderStatusUpdated(new_status=status):
            return Order(status)
        case OrderCancelled():
            return Order(Status.CANCELLED)
        case _:
            assert_never(event)


# --- decisions ------------------------------------------------------------------------------------------------------


class CreateOrder(msgspec.Struct, Command[Receipt], frozen=True):
    """Order these items. The id is new, made by whoever sends the command."""

    order_id: str
    customer_id: PersonalText
    items: tuple[Item, ...]
    shipping_address: PersonalAddress
    currency: str = "USD"

    def faults(self) -> Sequence[Fault]:
        """What is wrong with the command in itself."""
        if validation.is_plain_order(
            self.customer_id, self.items, self.shipping_address, self.currency
        ) and validation.is_plain_text(self.order_id, validation.MAX_ID):
            return []
        items = [
            {"productId": i.product_id, "productName": i.product_name, "quantity": i.quantity, "price": i.price}
            for i in self.items
        ]
        body = {"customerId": self.customer_id, "items": items, "shippingAddress": self.shipping_address}
        return [*validation.create_order(body, self.currency), *validation.order(self.order_id)]


class UpdateOrderStatus(msgspec.Struct, Command[Receipt], frozen=True):
    """Bring the order to this status; only if it is at `if_version`, where that is given."""

    order_id: str
    status: Status
    reason: str | None = None
    if_version: int | None = None

    def faults(self) -> Sequence[Fault]:
        """What is wrong with the command in itself."""
        if (
            self.reason is None
            and type(self.status) is Status
            and validation.is_plain_text(self.order_id, validation.MAX_ID)
        ):
            return []
        body = {"status": self.status, "reason": self.reason}
        return validation.update_status(self.order_id, body, tuple(Status))


class CancelOrder(msgspec.Struct, Command[Receipt], frozen=True):
    """Call the order off; only if it is at `if_version`, where that is given."""

    order_id: str
    reason: str | None = None
    if_version: int | None = None

    def faults(self) -> Sequence[Fault]:
        """What is wrong with the command in itself."""
        return validation.cancel_order(self.order_id, {"reason": self.reason})


OrderCommand: TypeAlias = CreateOrder | UpdateOrderStatus | CancelOrder


class OrderNotFound(TwofoldError):
    """There is no order with this id."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__("Order not found")


class OrderExists(TwofoldError):
    """There is an order with this id already."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__("Order exists already")


class TransitionForbidden(TwofoldError):
    """An order cannot go from the one status to the other."""

    def __init__(self, previous: Status, new: Status) -> None:
        self.previous = previous
        self.new = new
        super().__init__(f"Order cannot go from {previous} to {new}")


def decide(command: OrderCommand, order: Order) -> Sequence[OrderEvent]:
    """What the command leads to: no events where it has taken effect already.

    Raises OrderNotFound, OrderExists, TransitionForbidden.
    """
    match command:
        case CreateOrder():
            if order.status is not None:
                raise OrderExists(command.order_id)
            return [OrderCreated(command.customer_id, command.items, command.shipping_address, command.currency)]
        case UpdateOrderStatus(status=status):
            return _go_on(command.order_id, order, status, command.reason)
        case CancelOrder():
            return _go_on(command.order_id, order, Status.CANCELLED, command.reason)
        case _:
            assert_never(command)


def _go_on(order_id: str, order: Order, status: Status, reason: str | None) -> Sequence[OrderEvent]:
    if order.status is None:
        raise OrderNotFound(order_id)
    if order.status is status:
        return []  # said twice, done once
    if status not in NEXT[order.status]:
        raise TransitionForbidden(order.status, status)
    if status is Status.CANCELLED:
        return [OrderCancelled(order.status, reason)]
    return [OrderStatusUpdated(order.status, status, reason)]


order: Decider[OrderCommand, Order, OrderEvent] = Decider(decide, evolve, initial=Order())
# Cached: some 300 bytes a state. Most changes come within days of the order, and then read nothing.
orders: Category[OrderCommand, Order, OrderEvent] = Category(
    "order", order, codec, lambda command: command.order_id, cached=50_000
)
