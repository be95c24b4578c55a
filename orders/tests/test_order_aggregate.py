"""The class style: the same order as an object, on the same codec and the same store, agrees with the decider.

The class below is all that one writes: `when` says what an event changes, and methods check the rules.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_samples import REFUSALS, commands, create, creations
from orders.app import OrderService
from orders.domain import (
    CancelOrder,
    CreateOrder,
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
    codec,
    order,
    orders,
)
from orders.queries import GetOrder
from twofold import Aggregate, Conflict, Metadata, Repository
from twofold.connect import connect

NEXT: Mapping[Status, Sequence[Status]] = {
    Status.PENDING: (Status.CONFIRMED, Status.CANCELLED),
    Status.CONFIRMED: (Status.SHIPPED, Status.CANCELLED),
    Status.SHIPPED: (Status.DELIVERED,),
    Status.DELIVERED: (),
    Status.CANCELLED: (),
}


class OrderObject(Aggregate[OrderEvent]):
    """An order, in the class style."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.status: Status | None = None

    def create(self, command: CreateOrder) -> None:
        """Order these items."""
        if self.status is not None:
            raise OrderExists(self.id)
        self.apply(OrderCreated(command.customer_id, command.items, command.shipping_address, command.currency))

    def bring_to(self, status: Status, reason: str | None = None) -> None:
        """Bring the order to this status."""
        before = self.status
        if before is None:
            raise OrderNotFound(self.id)
        if status is before:
            return
        if status not in NEXT[before]:
            raise TransitionForbidden(before, status)
        cancelled = status is Status.CANCELLED
        self.apply(OrderCancelled(before, reason) if cancelled else OrderStatusUpdated(before, status, reason))

    def cancel(self, reason: str | None = None) -> None:
        """Call the order off."""
        self.bring_to(Status.CANCELLED, reason)

    def when(self, event: OrderEvent) -> None:
        """What an event changes."""
        match event:
            case OrderCreated():
                self.status = Status.PENDING
            case OrderStatusUpdated(new_status=status):
                self.status = status
            case OrderCancelled():
                self.status = Status.CANCELLED

    def obey(self, command: OrderCommand) -> None:
        """Do what the command says."""
        match command:
            case CreateOrder():
                self.create(command)
            case UpdateOrderStatus(status=status, reason=reason):
                self.bring_to(status, reason)
            case CancelOrder(reason=reason):
                self.cancel(reason)


order_objects: Repository[OrderObject, OrderEvent] = Repository("order", OrderObject, codec)

COMMANDS = st.tuples(creations("1") | commands("1"), st.lists(commands("1"), max_size=10)).map(
    lambda drawn: (drawn[0], *drawn[1])
)


def test_a_new_order_has_uncommitted_events_and_no_version() -> None:
    new = OrderObject("1")
    new.create(create("1"))
    new.bring_to(Status.CONFIRMED, "paid")
    assert [type(event) for event in new.uncommitted] == [OrderCreated, OrderStatusUpdated]
    assert (new.status, new.version) == (Status.CONFIRMED, 0)


def test_an_order_is_loaded_from_its_events() -> None:
    created = OrderObject("1")
    created.create(create("1"))
    loaded = OrderObject.from_events("1", [*created.uncommitted, OrderCancelled(Status.PENDING)])
    assert (loaded.status, loaded.version, loaded.uncommitted) == (Status.CANCELLED, 2, ())


@settings(deadline=None)
@given(COMMANDS)
def test_the_object_and_the_decider_agree_on_every_command(said: Sequence[OrderCommand]) -> None:
    thing, state, events = OrderObject("1"), order.initial, list[OrderEvent]()
    for command in said:
        try:
            decided = order.decide(command, state)
        except REFUSALS as refused:
            with pytest.raises(type(refused), match=f"^{re.escape(str(refused))}$"):
                thing.obey(command)
        else:
            thing.obey(command)
            events += decided
            state = order.fold(decided, state)
        assert list(thing.uncommitted) == events
        assert thing.status == state.status


@settings(deadline=None, max_examples=30)
@given(COMMANDS, st.lists(st.booleans(), min_size=11, max_size=11))
def test_objects_and_deciders_take_turns_on_one_stream(said: Sequence[OrderCommand], turns: Sequence[bool]) -> None:
    """Each command by either style, on a store: it ends where the decider alone would end."""

    async def run() -> None:
        state = order.initial
        async with connect("memory:") as store:
            for command, by_object in zip(said, turns, strict=False):
                try:
                    if by_object:
                        thing = await order_objects.load(store, "1") or OrderObject("1")
                        thing.obey(command)
                        await order_objects.save(store, thing, Metadata.new())
                        assert thing.uncommitted == ()
                    else:
                        await orders.transact(store, command, Metadata.new())
                except REFUSALS as refused:
                    with pytest.raises(type(refused)):
                        order.decide(command, state)
                else:
                    state = order.fold(order.decide(command, state), state)
                folded = await orders.load(store, "1")
                loaded = await order_objects.load(store, "1")
                assert folded.state == state
                assert (
                    (loaded.status, loaded.version) == (state.status, folded.version)
                    if loaded
                    else state.status is None
                )

    asyncio.run(run())


async def test_what_an_object_saves_is_seen_by_the_views(service: OrderService) -> None:
    new = OrderObject("1")
    new.create(create("1"))
    new.bring_to(Status.CONFIRMED)
    receipt = await order_objects.save(service.store, new, Metadata.new())
    assert receipt is not None
    assert (receipt.version, new.version, new.uncommitted) == (2, 2, ())
    assert await service.watermarks.wait(service.views.all, receipt.position, 10) == 0
    document = await service.queries.ask(GetOrder("1"))
    assert document is not None
    assert (document.view().status, document.version) == ("confirmed", 2)
    assert await order_objects.save(service.store, new, Metadata.new()) is None


async def test_of_two_objects_loaded_at_once_one_is_told_of_the_other(service: OrderService) -> None:
    await service.commands.execute(create("1"))
    one, other = [await order_objects.load(service.store, "1") for _ in range(2)]
    assert one is not None
    assert other is not None
    one.bring_to(Status.CONFIRMED)
    other.cancel()
    await order_objects.save(service.store, one, Metadata.new())
    with pytest.raises(Conflict) as conflict:
        await order_objects.save(service.store, other, Metadata.new())
    assert (conflict.value.expected, conflict.value.actual) == (1, 2)
    assert other.uncommitted  # nothing was stored, and nothing was forgotten


async def test_an_order_that_was_never_created_is_not_loaded(service: OrderService) -> None:
    assert await order_objects.load(service.store, "1") is None
