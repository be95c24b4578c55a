"""Orders to test with: a body that is valid, commands of every kind, and how a request's JSON is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from orders import requests
from orders.app import OrderService
from orders.domain import (
    CancelOrder,
    CreateOrder,
    Item,
    OrderCommand,
    OrderExists,
    OrderNotFound,
    Status,
    TransitionForbidden,
    UpdateOrderStatus,
)
from twofold import Metadata, Receipt, Recorded

D = TypeVar("D")

REFUSALS = (OrderNotFound, OrderExists, TransitionForbidden)

DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}
"""Currencies of each kind, and how many digits follow the point in them (ISO 4217)."""

read_json = msgspec.json.Decoder(float_hook=Decimal).decode
"""Reads JSON as the service does: a number with a point or an exponent is a decimal, never a float."""


def body(**changes: object) -> dict[str, Any]:
    """The body of a new order, valid but for the changes. A field that is changed to `...` is left out."""
    fields: dict[str, Any] = {
        "customerId": "alice",
        "items": [item(), item(productId="p-2", productName=..., quantity=1, price="0.05")],
        "shippingAddress": {"street": "1 Main Street", "city": "Springfield"},
    }
    return _changed(fields, changes)


def item(**changes: object) -> dict[str, Any]:
    """An item of the body of a new order, valid but for the changes."""
    fields = {"productId": "p-1", "productName": "Blue Teapot", "quantity": 2, "price": Decimal("9.80")}
    return _changed(fields, changes)


def _changed(fields: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not ...}


def create(order_id: str, **changes: object) -> CreateOrder:
    """The command to create an order in dollars, from `body`."""
    return requests.create_order(order_id, body(**changes), "USD")


PATHS: Mapping[Status, Sequence[Status]] = {
    Status.PENDING: (),
    Status.CONFIRMED: (Status.CONFIRMED,),
    Status.SHIPPED: (Status.CONFIRMED, Status.SHIPPED),
    Status.DELIVERED: (Status.CONFIRMED, Status.SHIPPED, Status.DELIVERED),
    Status.CANCELLED: (Status.CANCELLED,),
}
"""The shortest way of a new order to each status."""


async def bring(service: OrderService, order_id: str, status: Status) -> Receipt | None:
    """Bring a new order to this status; the receipt of the last step."""
    receipt = None
    for step in PATHS[status]:
        receipt = await service.commands.execute(UpdateOrderStatus(order_id, step))
    return receipt


# --- what Hypothesis draws ------------------------------------------------------------------------------------------

STATUSES = st.sampled_from(Status)
REASONS = st.none() | st.sampled_from(["", "as asked", "Zürich ☂"])


def prices(currency: str) -> st.SearchStrategy[Decimal]:
    """Prices that a currency can have, some of them the smallest and the largest."""
    units = st.sampled_from([1, 10 ** DIGITS[currency]]) | st.integers(1, 99_999)
    return units.map(lambda number: Decimal(number).scaleb(-DIGITS[currency]))


def items(currency: str) -> st.SearchStrategy[Item]:
    """Items of few products, so that one order often has a product twice."""
    names = st.none() | st.sampled_from(["Tea", "Teapot"])
    return st.builds(Item, st.sampled_from(["p-1", "p-2", "p-3"]), st.integers(1, 5), prices(currency), names)


def creations(order_id: str) -> st.SearchStrategy[CreateOrder]:
    """Commands to create this order, of few customers in several currencies."""

    def of(currency: str) -> st.SearchStrategy[CreateOrder]:
        return st.builds(
            CreateOrder,
            st.just(order_id),
            st.sampled_from(["alice", "bob", "carol"]),
            st.lists(items(currency), min_size=1, max_size=4).map(tuple),
            st.just("1 Main Street") | st.just({"city": "Zürich"}),
            st.just(currency),
        )

    return st.sampled_from(list(DIGITS)).flatmap(of)


def commands(order_id: str) -> st.SearchStrategy[OrderCommand]:
    """Any command to one order, most often one that changes its status."""
    return (
        st.builds(UpdateOrderStatus, st.just(order_id), STATUSES, REASONS)
        | st.builds(UpdateOrderStatus, st.just(order_id), STATUSES, REASONS)
        | st.builds(CancelOrder, st.just(order_id), REASONS)
        | creations(order_id)
    )


@dataclass(frozen=True)
class Said:
    """A command, and when it was said."""

    command: OrderCommand
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


def recorded(name: str, schema: int, data: D, version: int = 1) -> Recorded[D]:
    """What a log of one order holds: an event of this name, encoded or not."""
    metadata = Metadata.new()
    return Recorded.of(
        id=metadata.message_id,
        stream="order-1",
        version=version,
        position=version,
        type=name,
        schema=schema,
        data=data,
        metadata=metadata,
        recorded_at=metadata.at,
    )


async def say(service: OrderService, said: Said) -> Receipt | None:
    """Send the command; None where the domain refuses it."""
    try:
        return await service.commands.execute(said.command, Metadata.new(at=said.at))
    except REFUSALS:
        return None
