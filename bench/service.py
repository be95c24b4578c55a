"""What the order service is measured at: HTTP, beside an in-memory Express app as guides to CQRS build it.

The promises differ, and not to our advantage: ours has synced each change to disk before it answers, keeps a log that
can be read and searched, and writes an access log; Express forgets all of it with its process. So Express is given what
makes it fast: production mode, no log, no database, no middleware but the parser of JSON bodies.
"""

from __future__ import annotations

from bench.comparing import Comparison, Side

ASKED = {"post": "POST /orders", "patch": "PATCH an order's status", "get": "GET an order"}
TARGETS = {"post": 3, "patch": 3, "get": 6}  # with 64 connections
PAGE_TARGETS = {20: 5, 2_000: 150}  # by the number of the customer's orders


def _compared(
    name: str,
    work: str,
    target: float,
    *,
    connections: int = 64,
    orders: int = 0,
    postgres: bool = False,
    processes: int = 1,
) -> Comparison:
    common = {"work": work, "connections": connections, "orders": orders}
    ours = Side("orders", "bench.service_run:ours", {**common, "processes": processes}, postgres)
    theirs = Side("express", "bench.service_run:express", common)
    p99 = work == "post_p99"
    return Comparison(name, ours, theirs, target, unit=" ms" if p99 else "/s", less_is_better=p99)


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


COMPARISONS = [
    *(_compared(f"{asked}, 64 connections", work, TARGETS[work]) for work, asked in ASKED.items()),
    *(
        _compared(f"GET a page of 20 of a customer's {orders:,} orders", "page", target, orders=orders)
        for orders, target in PAGE_TARGETS.items()
    ),
    _compared("POST /orders, 64 connections, 99th percentile", "post_p99", 0.5),
    # The rest has no target of its own: it says where the service stands.
    *(
        _compared(f"{asked}, {_connections(count)}", work, 1, connections=count)
        for count in (1, 16)
        for work, asked in ASKED.items()
    ),
    *(
        _compared(
            f"{asked}, 64 connections, PostgreSQL, {'1 process' if processes == 1 else f'{processes} processes'}",
            *(work, 1),
            postgres=True,
            processes=processes,
        )
        for processes in (1, 2)
        for work, asked in ASKED.items()
    ),
]
