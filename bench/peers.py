"""The library's sides: eventsourcing 9.5, synchronous, so with a thread for each of those that write at once.

Its SQLite module turns the write-ahead log on and leaves `synchronous` at SQLite's own default, which is FULL: durable.
On PostgreSQL it takes a lock of the table for each append, which keeps its order; the function in the database that it
offers instead loses events to readers, so it is off, as it is by default. Given to make it fast: ids that rise in time,
psycopg's C extension, as few connections as are quickest, the cache of aggregates without a look for newer events (as
Twofold has it: the append tells), items as plain objects of JSON, appends of events that are encoded before.
"""
# The library is not installed everywhere: to mypy its classes and decorators are Any.
# mypy: allow-subclassing-any, allow-untyped-decorators

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from uuid_utils.compat import uuid7

from bench.comparing import Place
from bench.library import ADDRESS, CURRENCY, CUSTOMER, DATA, ITEMS, STATUSES

_domain: Any = importlib.import_module("eventsourcing.domain")
_persistence: Any = importlib.import_module("eventsourcing.persistence")
_projection: Any = importlib.import_module("eventsourcing.projection")
_psycopg: Any = importlib.import_module("psycopg.sql")
Aggregate: Any = _domain.Aggregate
Application: Any = importlib.import_module("eventsourcing.application").Application
PostgresTrackingRecorder: Any = importlib.import_module("eventsourcing.postgres").PostgresTrackingRecorder
Projection: Any = _projection.Projection
SQLiteTrackingRecorder: Any = importlib.import_module("eventsourcing.sqlite").SQLiteTrackingRecorder
event: Any = _domain.event

PAGE = 1_000  # notifications that are read at a time
LIMIT_SECONDS = 120.0
CONNECTIONS = 4  # of which those that append take turns: 64 writers are quicker on 4 than on 64

_ITEMS = [
    {"productId": product, "productName": name, "quantity": quantity, "price": price}
    for product, name, quantity, price in ITEMS
]


def _id() -> UUID:
    return UUID(int=uuid7().int)


class Order(Aggregate):
    """The same order as that of the order service: what happens to it, and its rules."""

    @staticmethod
    def create_id() -> UUID:
        """Ids that rise in time; by default they are random."""
        return _id()

    @event("Created")
    def __init__(self, customer_id: str, items: Sequence[Mapping[str, Any]], shipping_address: str, currency: str):
        self.status = STATUSES[0]

    def go_on(self, status: str) -> None:
        """Go on to the next status."""
        if STATUSES.index(status) != STATUSES.index(self.status) + 1:
            raise ValueError(f"an order cannot go from {self.status} to {status}")
        self.update(previous_status=self.status, new_status=status)

    @event("StatusUpdated")
    def update(self, previous_status: str, new_status: str, reason: str | None = None) -> None:
        """It went on."""
        self.status = new_status


class Orders(Application):
    """The application."""

    name = "orders"


def _environment(place: Place) -> Mapping[str, str]:
    if not place.postgres:
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(place.folder / "log.db")}
    url = urlsplit(place.postgres)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.path.removeprefix("/"),
        "POSTGRES_HOST": url.hostname or "",
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
        "POSTGRES_POOL_SIZE": str(CONNECTIONS),
    }


def _open(place: Place, **environment: str) -> Any:
    return closing(Orders({**_environment(place), **environment}))


def _create() -> Any:
    return Order(customer_id=CUSTOMER, items=_ITEMS, shipping_address=ADDRESS, currency=CURRENCY)


def _at_once(count: int, times: int, work: Callable[[], object]) -> float:
    """Do the work so many times, in so many threads at once; how often that was in a second."""

    def one(share: int) -> None:
        for _ in range(share):
            work()

    def all_of(share: int) -> None:
        for done in [pool.submit(one, share) for _ in range(count)]:
            done.result()

    with ThreadPoolExecutor(count) as pool:
        all_of(max(times // count // 10, 1))  # warms up
        began = time.perf_counter()
        all_of(times // count)
        return times // count * count / (time.perf_counter() - began)


def append(place: Place, *, writers: int, events: int) -> float:
    """Events a second, each an append of its own to a new stream, encoded before."""
    with _open(place) as application:
        recorder = application.recorder
        topic = "orders.domain:OrderCreated"

        def one() -> None:
            stored = _persistence.StoredEvent(originator_id=_id(), originator_version=1, topic=topic, state=DATA)
            recorder.insert_events([stored])

        return _at_once(writers, events, one)


def change(place: Place, *, at_once: int, orders: int) -> float:
    """Orders a second that are created, and then got from the repository and saved again three times."""
    with _open(place, AGGREGATE_CACHE_MAXSIZE="1000", AGGREGATE_CACHE_FASTFORWARD="n") as application:

        def one() -> None:
            order = _create()
            application.save(order)
            for status in STATUSES[1:]:
                order = application.repository.get(order.id)
                order.go_on(status)
                application.save(order)

        return _at_once(at_once, orders, one)


def rehydrate(place: Place, *, length: int, loads: int) -> float:
    """Events a second that are read, decoded and folded to one order, which has so many of them."""
    with _open(place) as application:
        order = _create()
        for number in range(length - 1):
            old, new = STATUSES[number % 3 : number % 3 + 2]
            order.update(old, new)
        application.save(order)
        application.repository.get(order.id)
        began = time.perf_counter()
        for _ in range(loads):
            application.repository.get(order.id)
        return length * loads / (time.perf_counter() - began)


def _fill(application: Any, orders: int) -> int:
    """So many orders, each with its four events; how many events that are."""
    for _ in range(orders // 10):
        batch = [_create() for _ in range(10)]
        for order in batch:
            for status in STATUSES[1:]:
                order.go_on(status)
        application.save(*batch)
    return orders // 10 * 10 * len(STATUSES)


def read_log(place: Place, *, orders: int, times: int) -> float:
    """Events a second that are read from the first to the last and decoded."""
    with _open(place) as application:
        count = _fill(application, orders)
        began = time.perf_counter()
        for _ in range(times):
            last = 0
            while page := application.recorder.select_notifications(last + 1, PAGE):
                for notification in page:
                    application.mapper.to_domain_event(notification)
                last = page[-1].id
            assert last == count
        return count * times / (time.perf_counter() - began)


# --- the view -------------------------------------------------------------------------------------------------------

_TABLE = (
    """create table if not exists overview (
        key text primary key, customer text not null, status text not null, total bigint not null,
        version bigint not null)""",
    "create index if not exists overview_customer on overview (customer)",
)
_INSERT = "insert into overview (key, customer, status, total, version) values (?, ?, ?, ?, ?)"
_UPDATE = "update overview set status = ?, version = ? where key = ?"


class SqliteOverview(SQLiteTrackingRecorder):
    """A row an order, and beside it how far it has come."""

    def construct_create_table_statements(self) -> list[str]:
        """Those of the tracking, and ours."""
        statements: Any = super()
        return [*statements.construct_create_table_statements(), *_TABLE]

    def write(self, statement: str, row: Sequence[object], tracking: Any) -> None:
        """Change a row and the tracking in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, row)


class PostgresOverview(PostgresTrackingRecorder):
    """The same in PostgreSQL."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        tracking: Any = super()
        tracking.__init__(*arguments, **options)
        self.sql_create_statements: list[Any]
        self.sql_create_statements += [_psycopg.SQL(statement) for statement in _TABLE]

    def write(self, statement: str, row: Sequence[object], tracking: Any) -> None:
        """Change a row and the tracking in one transaction."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement.replace("?", "%s"), row, prepare=True)


class Overview(Projection):
    """What each event does to the rows."""

    def process_event(self, domain_event: Any, tracking: Any) -> None:
        """One event, one transaction: that is how the library runs a projection."""
        key, version = domain_event.originator_id.hex, domain_event.originator_version
        if isinstance(domain_event, Order.Created):
            total = sum((item["price"] * item["quantity"] for item in domain_event.items), start=Decimal(0))
            row = (key, domain_event.customer_id, STATUSES[0], int(total * 100), version)
            self.view.write(_INSERT, row, tracking)
        else:
            self.view.write(_UPDATE, (domain_event.new_status, version, key), tracking)


def catch_up(place: Place, *, orders: int) -> float:
    """Events a second by which an empty view comes to the head of the log."""
    environment = _environment(place)
    with _open(place) as application:
        count = _fill(application, orders)
        began = time.perf_counter()
        if place.postgres:
            with _projection.ProjectionRunner(
                application_class=Orders, projection_class=Overview, view_class=PostgresOverview, env=environment
            ) as runner:
                runner.wait(count, timeout=LIMIT_SECONDS)
                return count / (time.perf_counter() - began)
        # Its runner needs a subscription, which its SQLite module does not have: the same loop, without its threads.
        projection = Overview(view=application.factory.tracking_recorder(SqliteOverview))
        last = 0
        while page := application.recorder.select_notifications(last + 1, PAGE):
            for notification in page:
                tracking = _persistence.Tracking(application.name, notification.id)
                projection.process_event(application.mapper.to_domain_event(notification), tracking)
            last = page[-1].id
        assert last == count
        return count / (time.perf_counter() - began)
