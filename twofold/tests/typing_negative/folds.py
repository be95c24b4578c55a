"""What deciders, codecs and projections must not be made of. Read by checkers, never run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_type

import msgspec

from twofold import Category, Codec, Column, Decider, Metadata, Projection, Recorded, Repository, Schema, Source, Store
from twofold.projection import fold
from twofold.testing.scenario import ProjectionScenario, Scenario

from small_orders import (
    AddItem,
    CallOff,
    CalledOff,
    ItemAdded,
    OpenOrder,
    OpenOrders,
    Opened,
    Order,
    OrderCommand,
    OrderEvent,
    OrderObject,
    codec,
    decide,
    evolve,
    id_of,
    order,
)


@dataclass(frozen=True)
class Paid:
    amount: int


# --- deciders -------------------------------------------------------------------------------------------------------


def decide_payment(command: OrderCommand, state: Order) -> Sequence[Paid]:
    return [Paid(1)]


def evolve_payment(state: Order, event: Paid) -> Order:
    return state


right: Decider[OrderCommand, Order, OrderEvent] = Decider(decide, evolve, Order())
wrong_event: Decider[OrderCommand, Order, OrderEvent] = Decider(decide_payment, evolve, Order())  # refused: Paid
wrong_fold: Decider[OrderCommand, Order, OrderEvent] = Decider(decide, evolve_payment, Order())  # refused: Paid
wrong_state: Decider[OrderCommand, Order, OrderEvent] = Decider(decide, evolve, "open")  # refused: Order

payments: Codec[Paid] = Codec({"Paid": Paid})
wrong_codec: Category[OrderCommand, Order, OrderEvent] = Category("order", order, payments, id_of)  # refused: Paid
repository: Repository[OrderObject, OrderEvent] = Repository("order", OrderObject, codec)


async def load(store: Store) -> None:
    orders = Category("order", order, codec, id_of)
    assert_type((await orders.load(store, "1")).state, Order)
    assert_type(await repository.load(store, "1"), OrderObject | None)
    await orders.transact(store, CallOff("1"), Metadata.new())
    await orders.transact(store, Paid(1), Metadata.new())  # refused: Paid


# --- codecs ---------------------------------------------------------------------------------------------------------

table: Codec[OrderEvent] = Codec({"Opened": Opened, "ItemAdded": Schema(ItemAdded, {1: lambda old: old})})
foreign: Codec[OrderEvent] = Codec({"Opened": Opened, "Paid": Paid})  # refused: Paid
foreign_schema: Codec[OrderEvent] = Codec({"Opened": Opened, "Paid": Schema(Paid)})  # refused: Paid


def encode() -> None:
    codec.encode(Opened("ALFKI"), Metadata.new())
    codec.encode(Paid(1), Metadata.new())  # refused: Paid


# --- projections ----------------------------------------------------------------------------------------------------


class OtherView(msgspec.Struct, frozen=True):
    name: str


class WrongView(Projection[OrderEvent, OpenOrder]):
    name = "wrong"
    view = OtherView  # refused: OpenOrder


class WrongAnswer(Projection[OrderEvent, OpenOrder]):
    name = "wrong"
    view = OpenOrder

    def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OtherView | None:  # refused: evolve
        return None


class WrongColumn(Projection[OrderEvent, OpenOrder]):
    name = "wrong"
    view = OpenOrder
    columns = (Column[OpenOrder]("total", int, lambda view: view.total),)  # refused: Decimal


class WrongKey(Projection[OrderEvent, OpenOrder]):
    name = "wrong"
    view = OpenOrder

    def key(self, recorded: Recorded[OrderEvent], /) -> int:  # refused: key
        return 1


def rows(events: Sequence[Recorded[OrderEvent]], paid: Sequence[Recorded[Paid]]) -> None:
    assert_type(fold(OpenOrders(), events), dict[str, OpenOrder])
    fold(OpenOrders(), paid)  # refused: fold


source: Source[OrderEvent] = Source(frozenset({"payment"}), payments)  # refused: Paid

# --- scenarios ------------------------------------------------------------------------------------------------------


def scenarios() -> None:
    Scenario(order).given(Opened("ALFKI")).when(AddItem("1")).then(CalledOff("late"))
    Scenario(order).given(AddItem("1"))  # refused: AddItem
    Scenario(order).when(Opened("ALFKI"))  # refused: Opened
    Scenario(order).when(CallOff("1")).then(Paid(1))  # refused: Paid
    Scenario(order).when(CallOff("1")).then_raises(str)  # refused: str
    ProjectionScenario(OpenOrders()).given(Opened("ALFKI")).then("1", None)
    ProjectionScenario(OpenOrders()).given(Opened("ALFKI")).then("1", OtherView("x"))  # refused: OtherView
    ProjectionScenario(OpenOrders()).given(Paid(1))  # refused: Paid
