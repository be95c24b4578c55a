"""A second opinion on a store: the log checked and folded by plain code that shares nothing with the framework.

Reads with the standard library's sqlite3, or with asyncpg, folds into dicts, and says what is wrong in sentences.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

asyncpg: Any = import_module("asyncpg")  # it has no type hints


@dataclass
class NaiveLog:
    """What a file holds: events in the order of the log, and the stored views."""

    events: list[dict[str, Any]]
    views: dict[str, dict[str, Any]]
    sums: dict[str, dict[tuple[str, ...], tuple[int, ...]]]
    faults: list[str] = field(default_factory=list[str])


EVENTS = "select position, stream, version, id, type, data, metadata from event order by position"
VIEWS = "select key, body from order_details_v2"
SUMS = {
    "day": " union all ".join(
        f"select day || ' {status}', {status}_orders, {status}_revenue from sales_by_day_v2"  # noqa: S608 - words of ours
        for status in ("pending", "confirmed", "shipped", "delivered", "cancelled")
    ),
    "customer": "select customer_id, orders, revenue from sales_by_customer_v2",
    "product": "select product_id, quantity, revenue from sales_by_product_v2",
}


def read(path: Path) -> NaiveLog:
    """Read the file as it is, beside a service that may be running on it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("begin")  # one moment for the log and the views
        return _log(
            connection.execute(EVENTS).fetchall(),
            connection.execute(VIEWS).fetchall(),
            {kind: connection.execute(sql).fetchall() for kind, sql in SUMS.items()},
        )


async def read_postgres(url: str) -> NaiveLog:
    """Read the database as it is, beside services that may be running on it."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read"):  # one moment for the log and the views
            return _log(
                await connection.fetch(EVENTS),
                await connection.fetch(VIEWS),
                {kind: await connection.fetch(sql) for kind, sql in SUMS.items()},
            )
    finally:
        await connection.close()


def _log(events: Sequence[Any], views: Sequence[Any], sums: dict[str, Sequence[Any]]) -> NaiveLog:
    return NaiveLog(
        [
            {"position": p, "stream": s, "version": v, "id": _bytes(i), "type": t, "data": _json(d)}
            | {"at": _json(m)["at"]}
            for p, s, v, i, t, d, m in events
        ],
        {key: _json(body) for key, body in views},
        {kind: {(row[0],): (int(row[1] or 0), int(row[2] or 0)) for row in rows} for kind, rows in sums.items()},
    )


def faults(log: NaiveLog) -> list[str]:
    """Everything that is wrong with the log in itself, and with the views beside it; none is as it should be."""
    return [*_log_faults(log), *_view_faults(log), *_sum_faults(log)]


def _log_faults(log: NaiveLog) -> list[str]:
    found: list[str] = []
    versions: dict[str, int] = defaultdict(int)
    positions = [event["position"] for event in log.events]
    if positions != sorted(set(positions)):
        found.append("positions are not rising")
    if len({event["id"] for event in log.events}) < len(log.events):
        found.append("an event is in the log twice")
    for event in log.events:
        versions[event["stream"]] += 1
        if event["version"] != versions[event["stream"]]:
            found.append(f"{event['stream']}: version {event['version']} where {versions[event['stream']]} was due")
    return found


def orders_of(log: NaiveLog) -> dict[str, dict[str, Any]]:
    """The orders that the log tells of, by id: customer, day, status, version, total and items."""
    orders: dict[str, dict[str, Any]] = {}
    for event in log.events:
        order_id = event["stream"].removeprefix("order-")
        data = event["data"]
        if event["type"] == "OrderCreated":
            items = [(i["productId"], i["quantity"], Decimal(i["price"]) * i["quantity"]) for i in data["items"]]
            day = datetime.fromisoformat(event["at"]).astimezone(UTC).strftime("%Y-%m-%d")
            order = {"customer": data["customerId"], "day": day, "status": "pending", "items": items, "version": 1}
            orders[order_id] = order
        else:
            order = orders[order_id]
            order["version"] += 1
            order["status"] = "cancelled" if event["type"] == "OrderCancelled" else data["newStatus"]
    for order in orders.values():
        order["total"] = sum((subtotal for _, _, subtotal in order["items"]), start=Decimal(0))
    return orders


def _view_faults(log: NaiveLog) -> list[str]:
    orders = orders_of(log)
    found = [f"order {key} has no view" for key in orders.keys() - log.views.keys()]
    found += [f"view {key} has no order" for key in log.views.keys() - orders.keys()]
    for key in orders.keys() & log.views.keys():
        order, view = orders[key], log.views[key]
        expected = (order["customer"], order["status"], order["version"], order["total"], len(order["items"]))
        stored = (view["customerId"], view["status"], view["version"], view["totalAmount"], view["itemCount"])
        if expected != stored or len(view["statusHistory"]) != order["version"]:
            found.append(f"view {key} says {stored}, the log says {expected}")
    return found


def _sum_faults(log: NaiveLog) -> list[str]:
    expected: dict[str, dict[tuple[str, ...], list[int]]] = {
        kind: defaultdict(lambda: [0, 0]) for kind in ("day", "customer", "product")
    }
    for order in orders_of(log).values():
        units = int(order["total"] * 100)
        kept = 0 if order["status"] == "cancelled" else 1
        for kind, key, count, revenue in (
            ("day", f"{order['day']} {order['status']}", 1, units),
            ("customer", order["customer"], 1, units * kept),
            *(("product", id, quantity * kept, int(sub * 100) * kept) for id, quantity, sub in order["items"]),
        ):
            expected[kind][(key,)][0] += count
            expected[kind][(key,)][1] += revenue
    found: list[str] = []
    for kind, sums in expected.items():
        made = {key: tuple(values) for key, values in sums.items() if any(values)}
        stored = {key: values for key, values in log.sums[kind].items() if any(values)}
        found += [
            f"{kind} {key}: stored {stored.get(key)}, the log says {made.get(key)}"
            for key in made.keys() | stored.keys()
            if made.get(key) != stored.get(key)
        ]
    return found


def _json(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


def _bytes(id: Any) -> bytes:
    return id.bytes if isinstance(id, UUID) else bytes(id)
