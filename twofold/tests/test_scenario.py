"""The shipped given/when/then: it passes what holds, and of what does not it says what came and what was expected."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
import pytest

from small_orders import (
    EVERYTHING,
    AddItem,
    Bought,
    BoughtProducts,
    CalledOff,
    CallOff,
    ItemAdded,
    NotOpen,
    Open,
    Opened,
    OpenOrder,
    OpenOrders,
    Order,
    OrderCommand,
    OrderEvent,
    decide,
    evolve,
    order,
)
from twofold import Decider, Projection, Recorded
from twofold.testing.history import BEGAN, History
from twofold.testing.scenario import ProcessScenario, ProjectionScenario, Scenario

OPENED = Opened("ALFKI")
CHAI = ItemAdded("Chai", Decimal("18.10"))
LATE = CalledOff("late")


# --- deciders -------------------------------------------------------------------------------------------------------


def test_a_command_leads_to_events() -> None:
    Scenario(order).given(OPENED, CHAI).when(CallOff("1", "late")).then(LATE)


def test_a_command_may_be_the_first_of_all() -> None:
    Scenario(order).when(Open("1", "ALFKI")).then(OPENED)


def test_a_command_said_twice_leads_to_nothing() -> None:
    Scenario(order).given(OPENED, LATE).when(CallOff("1", "late")).then_nothing()


def test_a_command_is_refused_with_an_error_that_can_be_asked_further() -> None:
    error = Scenario(order).given(OPENED, LATE).when(AddItem("1")).then_raises(NotOpen, called_off=True)
    assert str(error) == "the order is called off"


def test_a_scenario_goes_on_after_each_then() -> None:
    (
        Scenario(order)
        .when(Open("1", "ALFKI"))
        .then(OPENED)
        .then_state(Order(is_open=True))
        .when(CallOff("1", "late"))
        .then(LATE)
        .when(CallOff("1", "later"))
        .then_nothing()
        .then_state(Order(called_off=True))
    )


def test_given_adds_to_what_was_given_and_leaves_it_as_it_was() -> None:
    opened = Scenario(order).given(OPENED)
    opened.given(LATE).when(AddItem("1")).then_raises(NotOpen)
    opened.when(AddItem("1")).then(CHAI)


def test_another_event_fails_and_shows_both() -> None:
    with pytest.raises(AssertionError) as failure:
        Scenario(order).given(OPENED, CHAI).when(CallOff("1", "late")).then(CalledOff("early"))
    assert str(failure.value).splitlines() == [
        "",
        "given     Opened(customer='ALFKI')",
        "          ItemAdded(product='Chai', price=Decimal('18.10'), quantity=1)",
        "when      CallOff(order_id='1', reason='late')",
        "expected  CalledOff(reason='early')",
        "came      CalledOff(reason='late')",
    ]


def test_a_refusal_fails_where_events_were_expected_and_is_the_cause() -> None:
    with pytest.raises(AssertionError, match=r"came      NotOpen\(") as failure:
        Scenario(order).when(AddItem("1")).then(CHAI)
    assert isinstance(failure.value.__cause__, NotOpen)


def test_events_fail_where_nothing_or_a_refusal_was_expected() -> None:
    with pytest.raises(AssertionError, match=r"given     nothing\n(.|\n)*expected  nothing\ncame      Opened"):
        Scenario(order).when(Open("1")).then_nothing()
    with pytest.raises(AssertionError, match=r"expected  NotOpen\(called_off=True\)\ncame      Opened"):
        Scenario(order).when(Open("1")).then_raises(NotOpen, called_off=True)


def test_another_refusal_fails() -> None:
    with pytest.raises(
        AssertionError, match=r"expected  NotOpen\(called_off=True\)\ncame      NotOpen\(called_off=False"
    ):
        Scenario(order).when(AddItem("1")).then_raises(NotOpen, called_off=True)
    with pytest.raises(AssertionError, match=r"expected  NotOpen\(why=1\)\ncame      NotOpen\(why=missing\)"):
        Scenario(order).when(AddItem("1")).then_raises(NotOpen, why=1)
    with pytest.raises(AssertionError, match=r"expected  KeyError\(\)\ncame      NotOpen"):
        Scenario(order).when(AddItem("1")).then_raises(KeyError)


def test_another_state_fails() -> None:
    with pytest.raises(AssertionError, match=r"expected  Order\(is_open=False.*\ncame      Order\(is_open=True"):
        Scenario(order).given(OPENED).then_state(Order())


def test_a_decider_that_rolls_dice_is_found_out() -> None:
    dice = random.Random(1)

    def roll(command: OrderCommand, state: Order) -> Sequence[OrderEvent]:
        return [CalledOff(str(dice.random()))]

    with pytest.raises(AssertionError, match="the decider is not pure"):
        Scenario(Decider(roll, evolve, Order())).when(CallOff("1"))


def test_a_decider_whose_fold_cannot_take_its_own_events_is_found_out() -> None:
    def forgetful(state: Order, event: OrderEvent) -> Order:
        if isinstance(event, CalledOff):
            raise TypeError("what is this?")
        return evolve(state, event)

    with pytest.raises(TypeError, match="what is this"):
        Scenario(Decider(decide, forgetful, Order())).given(OPENED).when(CallOff("1", "late")).then(LATE)


# --- projections ----------------------------------------------------------------------------------------------------


def test_events_lead_to_a_row_and_to_none() -> None:
    row = OpenOrder("ALFKI", ("Chai",), Decimal("18.10"))
    (
        ProjectionScenario(OpenOrders())
        .given(OPENED, CHAI, stream="order-1")
        .then("1", row)
        .then("2", None)
        .given(LATE, stream="order-1")
        .then("1", None)
        .then_rows({})
    )


def test_streams_stand_beside_each_other() -> None:
    (
        ProjectionScenario(BoughtProducts())
        .given(OPENED, CHAI, stream="order-1")
        .given(OPENED, ItemAdded("Tofu", Decimal(1), 3), stream="order-2")
        .then_rows({"Chai": Bought(1, "order-1"), "Tofu": Bought(3, "order-2"), EVERYTHING: Bought(4, "order-2")})
    )


def test_another_row_fails_and_shows_both() -> None:
    with pytest.raises(AssertionError) as failure:
        ProjectionScenario(OpenOrders()).given(OPENED, stream="order-1").then("1", OpenOrder("BERGS"))
    assert str(failure.value).splitlines() == [
        "",
        "given     order-1 1: Opened(customer='ALFKI')",
        "expected  1: OpenOrder(customer='BERGS', products=(), total=Decimal('0'))",
        "came      1: OpenOrder(customer='ALFKI', products=(), total=Decimal('0'))",
    ]
    with pytest.raises(AssertionError, match="expected  no rows\ncame      1: OpenOrder"):
        ProjectionScenario(OpenOrders()).given(OPENED, stream="order-1").then_rows({})


class Tally(msgspec.Struct):
    number: int = 0


class Tallies(Projection[OrderEvent, Tally]):
    """A projection that goes wrong as it is told to."""

    name = "tallies"
    view = Tally

    def __init__(self) -> None:
        self.seen = 0

    def key(self, recorded: Recorded[OrderEvent], /) -> str:
        return recorded.stream


class Remembering(Tallies):
    def evolve(self, view: Tally | None, recorded: Recorded[OrderEvent], /) -> Tally | None:
        self.seen += 1
        return Tally(self.seen)


class LosingOnDisk(Tallies):
    """Its rows know something that is not written down."""

    hidden: dict[int, int]

    def evolve(self, view: Tally | None, recorded: Recorded[OrderEvent], /) -> Tally | None:
        if recorded.version == 1:
            self.hidden = {}
        number = self.hidden.get(id(view), 0) + 1
        made = Tally(number)
        self.hidden[id(made)] = number
        return made


@pytest.mark.parametrize("projection", [Remembering(), LosingOnDisk()])
def test_a_projection_that_is_no_pure_fold_is_found_out(projection: Tallies) -> None:
    scenario = ProjectionScenario(projection).given(OPENED, CHAI, LATE)
    with pytest.raises(AssertionError, match="the projection tallies is not a pure fold: folded"):
        scenario.rows()


def test_a_history_fills_in_what_a_store_would() -> None:
    history = History[OrderEvent]().then(OPENED, stream="order-1").then(OPENED, stream="order-2")
    history = history.then(LATE, stream="order-1", skipped=2)
    told = [(event.stream, event.version, event.position) for event in history.events]
    assert told == [("order-1", 1, 1), ("order-2", 1, 2), ("order-1", 2, 5)]
    assert (history.events[-1].recorded_at - BEGAN).total_seconds() == 5
    assert len({event.id for event in history.events}) == 3
    assert [event.type for event in history.events] == ["Opened", "Opened", "CalledOff"]


# --- processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    open: frozenset[str] = field(default_factory=frozenset[str])


def note(state: Waiting, event: OrderEvent) -> Waiting:
    return Waiting(state.open | {event.customer}) if isinstance(event, Opened) else state


def call_off_second_order(state: Waiting, event: OrderEvent) -> Sequence[OrderCommand]:
    return [CallOff("2", "one at a time")] if isinstance(event, Opened) and len(state.open) > 1 else []


process: ProcessScenario[Waiting, OrderEvent, OrderCommand] = ProcessScenario(Waiting(), note, call_off_second_order)


def test_an_event_leads_to_commands() -> None:
    process.when(Opened("ALFKI")).then_nothing().when(Opened("BERGS")).then(CallOff("2", "one at a time"))
    process.given(Opened("ALFKI")).when(CHAI).then_nothing()


def test_another_command_fails_and_shows_both() -> None:
    with pytest.raises(AssertionError, match=r"when      Opened\(.*\nexpected  nothing\ncame      CallOff\("):
        process.given(Opened("ALFKI")).when(Opened("BERGS")).then_nothing()
    with pytest.raises(AssertionError, match=r"expected  CallOff\(.*\ncame      nothing"):
        process.when(Opened("BERGS")).then(CallOff("2"))


def test_a_process_that_rolls_dice_is_found_out() -> None:
    dice = random.Random(1)

    def react(state: Waiting, event: OrderEvent) -> Sequence[OrderCommand]:
        return [CallOff(str(dice.random()))]

    with pytest.raises(AssertionError, match="the process is not pure"):
        ProcessScenario(Waiting(), note, react).when(OPENED)
