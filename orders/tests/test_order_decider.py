"""What an order decides, over the whole table of statuses: the rules of the shop, without a store."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_samples import PATHS, REFUSALS, commands, creations
from orders.domain import (
    CancelOrder,
    CreateOrder,
    Item,
    Order,
    OrderCancelled,
    OrderCommand,
    OrderCreated,
    OrderEvent,
    OrderExists,
    OrderNotFound,
    OrderStatusUpdated,
    Status,
    TransitionForbidden,
    UpdateOrderStatus,
    order,
)
from twofold.testing.scenario import Scenario
from twofold.testing.strategies import histories

# Written as in the issue, and not derived from the code: from each status, those that may follow.
FOLLOWS = {
    "pending": ["confirmed", "cancelled"],
    "confirmed": ["shipped", "cancelled"],
    "shipped": ["delivered"],
    "delivered": [],
    "cancelled": [],
}
ITEMS = (Item("p-1", 2, Decimal("9.80"), "Blue Teapot"), Item("p-2", 1, Decimal("0.05")))
CREATE = CreateOrder("1", "alice", ITEMS, "1 Main Street", "USD")
CREATED = OrderCreated("alice", ITEMS, "1 Main Street", "USD")

each_status = pytest.mark.parametrize("status", Status)


def stands_at(status: Status) -> Scenario[OrderCommand, Order, OrderEvent]:
    """An order that went the shortest way to this status."""
    scenario = Scenario(order).given(CREATED)
    before = Status.PENDING
    for after in PATHS[status]:
        if after is Status.CANCELLED:
            scenario = scenario.given(OrderCancelled(before))
        else:
            scenario = scenario.given(OrderStatusUpdated(before, after))
        before = after
    return scenario.then_state(Order(status))


def test_an_order_that_is_new_is_created_as_it_was_ordered() -> None:
    Scenario(order).when(CREATE).then(CREATED).then_state(Order(Status.PENDING))


@each_status
def test_an_order_is_created_once(status: Status) -> None:
    stands_at(status).when(CREATE).then_raises(OrderExists, order_id="1")


@pytest.mark.parametrize("after", Status)
@pytest.mark.parametrize("before", Status)
def test_every_pair_of_statuses(before: Status, after: Status) -> None:
    decision = stands_at(before).when(UpdateOrderStatus("1", after, "as asked"))
    if after is before:
        decision.then_nothing()
    elif after.value not in FOLLOWS[before.value]:
        refusal = decision.then_raises(TransitionForbidden, previous=before, new=after)
        assert str(refusal) == f"Order cannot go from {before.value} to {after.value}"
    elif after is Status.CANCELLED:
        decision.then(OrderCancelled(before, "as asked")).then_state(Order(after))
    else:
        decision.then(OrderStatusUpdated(before, after, "as asked")).then_state(Order(after))


@each_status
@pytest.mark.parametrize("reason", [None, "too late"])
def test_to_update_to_cancelled_is_to_cancel(status: Status, reason: str | None) -> None:
    cancelled = stands_at(status).when(CancelOrder("1", reason)).outcome
    updated = stands_at(status).when(UpdateOrderStatus("1", Status.CANCELLED, reason)).outcome
    if isinstance(cancelled, Exception):
        assert isinstance(updated, TransitionForbidden)
        assert str(updated) == str(cancelled)
    else:
        assert updated == cancelled


@each_status
def test_an_order_is_cancelled_before_it_is_shipped_and_not_after(status: Status) -> None:
    decision = stands_at(status).when(CancelOrder("1", "too late"))
    if status in (Status.PENDING, Status.CONFIRMED):
        decision.then(OrderCancelled(status, "too late"))
    elif status is Status.CANCELLED:
        decision.then_nothing()
    else:
        decision.then_raises(TransitionForbidden, previous=status, new=Status.CANCELLED)


@pytest.mark.parametrize(
    "command", [*(UpdateOrderStatus("1", status) for status in Status), CancelOrder("1"), CancelOrder("1", "why")]
)
def test_an_order_that_was_never_created_is_not_found(command: OrderCommand) -> None:
    refusal = Scenario(order).when(command).then_raises(OrderNotFound, order_id="1")
    assert str(refusal) == "Order not found"


@settings(deadline=None)
@given(histories(order, commands("1"), refusals=REFUSALS))
def test_whatever_is_said_an_order_goes_only_where_it_may(events: Sequence[OrderEvent]) -> None:
    walked = [_status_after(event) for event in events]
    assert walked[:1] in ([], ["pending"])
    for before, after in pairwise(walked):
        assert after in FOLLOWS[before]
    said = [event.previous_status.value for event in events if not isinstance(event, OrderCreated)]
    assert said == walked[:-1]  # each event says where it came from


@settings(deadline=None)
@given(creations("1"), st.lists(commands("1"), max_size=8), commands("1"))
def test_a_command_that_was_obeyed_is_obeyed_again_by_doing_nothing(
    first: CreateOrder, more: Sequence[OrderCommand], last: OrderCommand
) -> None:
    state = order.initial
    for command in (first, *more, last):
        try:
            state = order.fold(order.decide(command, state), state)
        except REFUSALS:
            continue
        if not isinstance(command, CreateOrder):
            assert order.decide(command, state) == []


def _status_after(event: OrderEvent) -> str:
    if isinstance(event, OrderCreated):
        return "pending"
    return "cancelled" if isinstance(event, OrderCancelled) else event.new_status.value
