"""An order as its page shows it: what it is, what happened to it, and where it can go on to. Folded from its stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, assert_never

from orders.details import OrderView, details
from orders.domain import NEXT, OrderCancelled, OrderCreated, OrderEvent, OrderStatusUpdated, Status, codec, orders
from twofold import Recorded
from twofold.store import EventStore


class Action(NamedTuple):
    """A status to bring an order to, and what the button says."""

    status: Status
    title: str


class Step(NamedTuple):
    """What happened to an order: when, by whose word, and why, where that was said."""

    version: int
    at: datetime
    status: Status
    title: str
    reason: str | None
    actor: str | None


class Shown(NamedTuple):
    """An order and its steps, oldest first."""

    order: OrderView
    timeline: Sequence[Step]


_TITLES: Mapping[Status, str] = {
    Status.CONFIRMED: "Confirm",
    Status.SHIPPED: "Mark as shipped",
    Status.DELIVERED: "Mark as delivered",
    Status.CANCELLED: "Cancel the order",
}

ACTIONS: Mapping[Status, Sequence[Action]] = {
    status: [Action(one, title) for one, title in _TITLES.items() if one in following]
    for status, following in NEXT.items()
}
"""Where an order of each status can go on to, in the order of its life; to cancel it comes last."""


async def shown(store: EventStore, order_id: str) -> Shown | None:
    """The order with this id as it is now; None if there is none."""
    order: OrderView | None = None
    timeline: list[Step] = []
    async for stored in store.read(orders.stream(order_id)):
        recorded = codec.decode(stored)
        order = details.projection.evolve(order, recorded)
        timeline.append(_step(recorded))
    return None if order is None else Shown(order, timeline)


def _step(recorded: Recorded[OrderEvent]) -> Step:
    match recorded.data:
        case OrderCreated():
            status, reason = Status.PENDING, None
        case OrderStatusUpdated(new_status=status, reason=reason):
            pass
        case OrderCancelled(reason=reason):
            status = Status.CANCELLED
        case _:
            assert_never(recorded.data)
    title = "Created" if recorded.version == 1 else status.capitalize()
    metadata = recorded.metadata
    return Step(recorded.version, metadata.at, status, title, reason, metadata.actor)
