"""The shipped strategies draw what can have happened, and all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import find, given

from small_orders import (
    AddItem,
    CalledOff,
    CallOff,
    NotOpen,
    Opened,
    OpenOrders,
    Order,
    OrderCommand,
    OrderEvent,
    commands,
    evolve,
    order,
    order_histories,
)
from twofold import Decider
from twofold.projection import fold
from twofold.testing.history import History
from twofold.testing.strategies import histories, logs, recorded_histories


@given(order_histories)
def test_a_history_is_one_that_the_decider_lets_happen(events: Sequence[OrderEvent]) -> None:
    state = Order()
    for event in events:
        assert state.is_open != isinstance(event, Opened)
        state = evolve(state, event)
    assert state == order.fold(events)


@pytest.mark.parametrize("kind", [Opened, CalledOff])
def test_histories_get_far(kind: type[OrderEvent]) -> None:
    find(order_histories, lambda events: sum(isinstance(event, kind) for event in events) >= 2)


def test_an_error_that_is_no_refusal_escapes() -> None:
    def broken(command: OrderCommand, state: Order) -> Sequence[OrderEvent]:
        if isinstance(command, AddItem):
            raise ZeroDivisionError
        raise NotOpen(called_off=False)

    faulty = histories(Decider(broken, evolve, Order()), commands, refusals=NotOpen)
    with pytest.raises(ZeroDivisionError):
        find(faulty, bool)


@given(recorded_histories(order_histories, stream="order-1"))
def test_a_recorded_history_is_numbered_as_a_store_numbers(history: History[OrderEvent]) -> None:
    assert [event.version for event in history.events] == list(range(1, len(history.events) + 1))
    assert {event.stream for event in history.events} <= {"order-1"}


@given(logs({"order-1": order_histories, "order-2": order_histories}))
def test_a_log_keeps_the_order_of_each_stream_and_its_positions_rise(history: History[OrderEvent]) -> None:
    positions = [event.position for event in history.events]
    assert positions == sorted(set(positions))
    for stream in ("order-1", "order-2"):
        mine = [event for event in history.events if event.stream == stream]
        assert [event.version for event in mine] == list(range(1, len(mine) + 1))
        assert order.fold([event.data for event in mine]) is not None


def test_logs_interleave_and_have_holes() -> None:
    both = logs({"order-1": order_histories, "order-2": order_histories})
    mixed = ["order-1", "order-2", "order-1", "order-2"]
    find(both, lambda history: [event.stream for event in history.events] == mixed)
    find(both, lambda history: bool(history.events) and history.events[-1].position > len(history.events))
    whole = logs({"order-1": order_histories}, holes=False)
    assert find(whole, lambda history: len(history.events) == 3).events[-1].position == 3


@given(logs({"order-1": order_histories, "order-2": order_histories}))
def test_a_projection_over_two_streams_is_the_two_beside_each_other(history: History[OrderEvent]) -> None:
    apart = [[event for event in history.events if event.stream == stream] for stream in ("order-1", "order-2")]
    assert fold(OpenOrders(), history.events) == {**fold(OpenOrders(), apart[0]), **fold(OpenOrders(), apart[1])}


def test_a_refused_command_is_passed_over() -> None:
    def only_call_off(command: OrderCommand, state: Order) -> Sequence[OrderEvent]:
        if not isinstance(command, CallOff):
            raise NotOpen(called_off=False)
        return [CalledOff(command.reason)]

    drawn = histories(Decider(only_call_off, evolve, Order()), commands, refusals=NotOpen)
    events = find(drawn, lambda events: len(events) == 2)
    assert events == [CalledOff("late"), CalledOff("late")]
