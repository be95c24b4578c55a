"""The orders that a log is filled with, and the filling.

Each order is made from its number alone, so that who measures knows all of them without asking. Of 20 orders 18 were
delivered and have four events, one was called off, one is pending. They lie evenly over a year. One customer has 2,000
of them, whatever the size; the others are spread over thousands of customers.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from itertools import pairwise
from uuid import UUID

from orders.app import open_service
from orders.domain import Item, OrderCancelled, OrderCreated, OrderEvent, OrderStatusUpdated, Status, codec, orders
from twofold import Metadata, Recorded
from twofold.connect import connect
from twofold.store import Progress
from twofold.views import PAGE, View

CYCLE, EVENTS_OF_CYCLE = 20, 75
LARGEST_CUSTOMER, LARGEST_HAS = "QUICK", 2_000
CUSTOMERS = 5_000
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
WINDOW = 256  # orders whose events lie between each other's
PRODUCTS = tuple(
    f"{kind} {what}"
    for kind in ("Chef", "Queso", "Tarte", "Rössle", "Gustaf", "Ravioli", "Sirop", "Vegie", "Outback", "Mishi")
    for what in ("Sauerkraut", "Cabrales", "Sucre", "Knäckebröd", "Angelo", "Spread", "Lager", "Niku")
)
STREETS = tuple(f"{name}straße" for name in ("Taucher", "Obere", "Berg", "Mehrheim", "Adenauer", "Heer", "Magazin"))
CITIES = ("Cunewalde", "Berlin", "Mannheim", "Köln", "Münster", "Stuttgart", "Leipzig", "Aachen", "Frankfurt")

_TO_DELIVERED = (Status.PENDING, Status.CONFIRMED, Status.SHIPPED, Status.DELIVERED)
_UPDATES = tuple(OrderStatusUpdated(old, new) for old, new in pairwise(_TO_DELIVERED))
_CANCELLED = OrderCancelled(Status.PENDING, "No longer needed")


@dataclass(frozen=True)
class Orders:
    """The orders of a log of so many events."""

    events: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.events * CYCLE // EVENTS_OF_CYCLE

    def id(self, number: int) -> str:
        """The id of an order: a uuid7 of the moment when it was ordered, since ids rise in time."""
        chance = int.from_bytes(_chances(number))
        milliseconds = int(self.at(number).timestamp() * 1000)
        random = chance & (1 << 62) - 1
        return str(UUID(int=milliseconds << 80 | 7 << 76 | (number & 0xFFF) << 64 | 0b10 << 62 | random))

    def at(self, number: int) -> datetime:
        """When it was ordered."""
        return BEGAN + YEAR * number / self.count

    def life(self, number: int) -> tuple[OrderEvent, ...]:
        """What happened to it."""
        match number % CYCLE:
            case 7:
                return (self.created(number), _CANCELLED)
            case 13:
                return (self.created(number),)
            case _:
                return (self.created(number), *_UPDATES)

    def recorded(self, numbers: range, head: int) -> list[Recorded[bytes]]:
        """The events of these orders behind the head of a log: first what happened first to each, then the second.

        So an order's events lie apart, as they do in a log that grew by itself.
        """
        lives = [(number, orders.stream(self.id(number)), self.life(number)) for number in numbers]
        events: list[Recorded[bytes]] = []
        for version in range(1, len(_TO_DELIVERED) + 1):
            for number, stream, life in lives:
                if version <= len(life):
                    metadata = Metadata.new(at=self.at(number) + timedelta(hours=7 * version))
                    new = codec.encode(life[version - 1], metadata)
                    events.append(
                        Recorded.of(
                            id=new.id,
                            stream=stream,
                            version=version,
                            position=head + len(events) + 1,
                            type=new.type,
                            schema=new.schema,
                            data=new.data,
                            metadata=metadata,
                            recorded_at=metadata.at,
                        )
                    )
        return events

    def created(self, number: int) -> OrderCreated:
        """Its first event: one to three items, for the largest customer or one of the others."""
        chances = _chances(number)
        of_largest = number * LARGEST_HAS % self.count < LARGEST_HAS
        customer = LARGEST_CUSTOMER if of_largest else customer_id(int.from_bytes(chances[:4]) % CUSTOMERS)
        items = tuple(_item(chances[n], chances[n + 3]) for n in range(4, 5 + chances[4] % 3))
        street, city = STREETS[chances[10] % len(STREETS)], CITIES[chances[11] % len(CITIES)]
        return OrderCreated(customer, items, f"{street} {chances[12]}, {city}", "USD")


def _chances(number: int) -> bytes:
    """What is left to chance in an order: 16 bytes, the same each time."""
    return blake2b(number.to_bytes(8), digest_size=16).digest()


def customer_id(number: int) -> str:
    """The id of a customer; a word that can be searched for."""
    return f"CUST{number:04}"


def _item(which: int, how_many: int) -> Item:
    product = which % len(PRODUCTS)
    return Item(f"nw-{product}", 1 + how_many % 40, Decimal(450 + 325 * product) / 100, PRODUCTS[product])


async def fill(url: str, size: int) -> float:
    """Fill an empty store, views included; how many events a second that were.

    The events are adopted, as those of another log, and the views then caught up: of all ways that a store has this
    is the quickest, and what lies on disk afterwards is the same.
    """
    began = time.perf_counter()
    generated, head = Orders(size), 0
    async with connect(url) as store:
        for first in range(0, generated.count, WINDOW):
            window = generated.recorded(range(first, min(first + WINDOW, generated.count)), head)
            await store.adopt(window)
            head += len(window)
            if first // WINDOW % 100 == 0:
                _tell("events stored", head, size, began)
    began_with: dict[str, float] = {}

    def tell(view: View, progress: Progress) -> None:
        view_began = began_with.setdefault(view.name, time.perf_counter())  # one view is caught up after the other
        if progress.position and progress.position // PAGE % 50 == 0:
            _tell(f"folded into {view.name}", progress.position, size, view_began)

    async with open_service(url, on_progress=tell):
        return head / (time.perf_counter() - began)


def _tell(what: str, done: int, size: int, began: float) -> None:
    rate = done / (time.perf_counter() - began)
    print(f"  {done:,} of {size:,} {what}, {rate:,.0f} a second", file=sys.stderr, flush=True)
