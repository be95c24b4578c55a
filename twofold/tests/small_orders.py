"""A small domain for the tests of the framework: an order is opened, filled, called off, and may be opened again.

The same rules stand here as a decider and as an aggregate. The real order service has its domain, and tests, elsewhere.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar, TypeAlias, assert_never

import msgspec
import sqlalchemy as sa
from hypothesis import strategies as st

from twofold import Aggregate, Category, Codec, Column, Command, Decider, Projection, Receipt, Recorded, Source
from twofold.sql import Row
from twofold.tables import SCHEMA
from twofold.testing.strategies import histories
from twofold.views import SqlProjection, SqlView, Step, TableView

# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    customer: str


@dataclass(frozen=True)
class ItemAdded:
    product: str
    price: Decimal
    quantity: int = 1


@dataclass(frozen=True)
class CalledOff:
    reason: str


OrderEvent: TypeAlias = Opened | ItemAdded | CalledOff

codec: Codec[OrderEvent] = Codec({"Opened": Opened, "ItemAdded": ItemAdded, "CalledOff": CalledOff})

# --- the decider ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Open(Command[Receipt]):
    order_id: str
    customer: str = "ALFKI"


@dataclass(frozen=True)
class AddItem(Command[Receipt]):
    order_id: str
    product: str = "Chai"
    price: Decimal = Decimal("18.10")
    quantity: int = 1


@dataclass(frozen=True)
class CallOff(Command[Receipt]):
    order_id: str
    reason: str = "late"


OrderCommand: TypeAlias = Open | AddItem | CallOff


class NotOpen(Exception):
    """The order was never opened, or is called off."""

    def __init__(self, called_off: bool) -> None:
        self.called_off = called_off
        super().__init__("the order is called off" if called_off else "the order was never opened")


class Order(msgspec.Struct, frozen=True):
    """What an order must remember. Not open and not called off: it never was."""

    is_open: bool = False
    called_off: bool = False
    items: int = 0
    total: Decimal = Decimal(0)


def decide(command: OrderCommand, order: Order) -> Sequence[OrderEvent]:
    match command:
        case Open(customer=customer):
            return [] if order.is_open else [Opened(customer)]
        case AddItem(product=product, price=price, quantity=quantity):
            if not order.is_open:
                raise NotOpen(order.called_off)
            return [ItemAdded(product, price, quantity)]
        case CallOff(reason=reason):
            if order.called_off:
                return []
            if not order.is_open:
                raise NotOpen(order.called_off)
            return [CalledOff(reason)]
        case _:
            assert_never(command)


def evolve(order: Order, event: OrderEvent) -> Order:
    match event:
        case Opened():
            return Order(is_open=True)
        case ItemAdded(price=price, quantity=quantity):
            return msgspec.structs.replace(order, items=order.items + quantity, total=order.total + price * quantity)
        case CalledOff():
            return Order(called_off=True)
        case _:
            assert_never(event)


order: Decider[OrderCommand, Order, OrderEvent] = Decider(decide, evolve, Order())


def id_of(command: OrderCommand) -> str:
    return command.order_id


def category() -> Category[OrderCommand, Order, OrderEvent]:
    """A category with an empty cache: what another process would have."""
    return Category("order", order, codec, id_of)


# --- the same rules, class style ------------------------------------------------------------------------------------


class OrderObject(Aggregate[OrderEvent]):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.state = Order()

    def open(self, customer: str) -> None:
        if not self.state.is_open:
            self.apply(Opened(customer))

    def add_item(self, product: str, price: Decimal, quantity: int) -> None:
        if not self.state.is_open:
            raise NotOpen(self.state.called_off)
        self.apply(ItemAdded(product, price, quantity))

    def call_off(self, reason: str) -> None:
        if not self.state.is_open and not self.state.called_off:
            raise NotOpen(self.state.called_off)
        if not self.state.called_off:
            self.apply(CalledOff(reason))

    def when(self, event: OrderEvent) -> None:
        match event:
            case Opened():
                self.state = Order(is_open=True)
            case ItemAdded():
                items, total = self.state.items + event.quantity, self.state.total + event.price * event.quantity
                self.state = Order(is_open=True, items=items, total=total)
            case CalledOff():
                self.state = Order(called_off=True)


# --- views ----------------------------------------------------------------------------------------------------------


class OpenOrder(msgspec.Struct, frozen=True):
    customer: str
    products: tuple[str, ...] = ()
    total: Decimal = Decimal(0)


class OpenOrders(Projection[OrderEvent, OpenOrder]):
    """One row for each order that is open: it goes when the order is called off, and may come again."""

    name = "open_orders"
    view = OpenOrder
    columns = (
        Column[OpenOrder]("customer", str, lambda view: view.customer),
        Column[OpenOrder]("cents", int, lambda view: int(view.total * 100)),
    )
    indexes: ClassVar = (("customer", "row"), ("cents",))
    searchable = True

    def key(self, recorded: Recorded[OrderEvent], /) -> str:
        return recorded.stream.removeprefix("order-")

    def evolve(self, view: OpenOrder | None, recorded: Recorded[OrderEvent], /) -> OpenOrder | None:
        match recorded.data:
            case Opened(customer=customer):
                return OpenOrder(customer)
            case ItemAdded(product=product, price=price, quantity=quantity) if view is not None:
                products = (*view.products, product)
                return msgspec.structs.replace(view, products=products, total=view.total + price * quantity)
            case _:
                return None

    def text(self, view: OpenOrder, /) -> str:
        return " ".join((view.customer, *view.products))


class Bought(msgspec.Struct, frozen=True):
    quantity: int
    last: str


EVERYTHING = "everything"


class BoughtProducts(Projection[OrderEvent, Bought]):
    """One row a product and one for all of them: an event has two keys, or none."""

    name = "bought"
    view = Bought
    columns = (Column[Bought]("quantity", int, lambda view: view.quantity),)

    def key(self, recorded: Recorded[OrderEvent], /) -> Sequence[str] | None:
        event = recorded.data
        return (event.product, EVERYTHING) if isinstance(event, ItemAdded) else None

    def evolve(self, view: Bought | None, recorded: Recorded[OrderEvent], /) -> Bought | None:
        event = recorded.data
        if not isinstance(event, ItemAdded):
            return view
        return Bought((view.quantity if view else 0) + event.quantity, recorded.stream)


counts = sa.Table(
    "counts",
    sa.MetaData(schema=SCHEMA),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)
_COUNT = sa.select(counts.c.number).where(counts.c.event == sa.bindparam("of"))
_FIRST = sa.insert(counts)
_MORE = sa.update(counts).where(counts.c.event == sa.bindparam("of")).values(number=sa.bindparam("number"))


class Counts(SqlProjection[OrderEvent]):
    """How often each kind of event happened, in a table of its own."""

    name = "counts"
    tables: ClassVar = (counts,)

    def apply(self, events: Sequence[Recorded[OrderEvent]], /) -> Generator[Step, list[Row], None]:
        for recorded in events:
            rows = yield Step(_COUNT, [{"of": recorded.type}])
            if rows:
                yield Step(_MORE, [{"of": recorded.type, "number": rows[0][0] + 1}])
            else:
                yield Step(_FIRST, [{"event": recorded.type, "number": 1}])


source = Source(frozenset({"order"}), codec)


def open_orders() -> TableView[OrderEvent, OpenOrder]:
    return TableView(OpenOrders(), source)


def bought() -> TableView[OrderEvent, Bought]:
    return TableView(BoughtProducts(), source)


def event_counts() -> SqlView[OrderEvent]:
    return SqlView(Counts(), source)


# --- what can happen ------------------------------------------------------------------------------------------------

prices = st.decimals("0.01", "9999.99", places=2)
products = st.sampled_from(["Chai", "Café", "Tofu"])
commands: st.SearchStrategy[OrderCommand] = st.one_of(
    st.builds(Open, st.just("1"), st.sampled_from(["ALFKI", "BERGS"])),
    st.builds(AddItem, st.just("1"), products, prices, st.integers(1, 9)),
    st.builds(CallOff, st.just("1")),
)
order_histories = histories(order, commands, refusals=NotOpen, max_commands=12)


def for_order(id: str, command: OrderCommand) -> OrderCommand:
    """The same command for another order."""
    return replace(command, order_id=id)
