"""What the library is measured at: Twofold beside another library, another store, the drivers alone, the disk alone.

Both sides are given the same orders, and a promise that is kept by both: what is acknowledged has been synced. Each
works for a second or more, so their numbers of events differ; what counts is how many of them a second.
"""

from __future__ import annotations

from decimal import Decimal

from bench.comparing import Comparison, Side

# --- what both sides store ------------------------------------------------------------------------------------------

CUSTOMER = "QUICK"
ADDRESS = "Taucherstraße 10, 01307 Cunewalde"
CURRENCY = "USD"
ITEMS = (("nw-38", "Côte de Blaye", 20, Decimal("263.50")), ("nw-71", "Fløtemysost", 6, Decimal("21.50")))
STATUSES = ("pending", "confirmed", "shipped", "delivered")  # in this order an order goes through them
DATA = (
    b'{"customerId":"QUICK","items":[{"productId":"nw-38","quantity":20,"price":"263.50","productName":"Cote de Blaye"}'
    b',{"productId":"nw-71","quantity":6,"price":"21.50","productName":"Flotemysost"}],'
    b'"shippingAddress":"Taucherstrasse 10, 01307 Cunewalde","currency":"USD"}'
)

# --- what is compared -----------------------------------------------------------------------------------------------

LIBRARY = "eventsourcing"
DRIVER = "apsw alone"


def _ours(function: str, *, postgres: bool = False, **options: object) -> Side:
    return Side("twofold", f"bench.ours:{function}", options, postgres)


def _library(function: str, *, postgres: bool = False, **options: object) -> Side:
    return Side(LIBRARY, f"bench.peers:{function}", options, postgres)


def _writers(count: int) -> str:
    return "1 writer" if count == 1 else f"{count} writers"


_APPENDED = {1: 3_000, 8: 15_000, 64: 30_000}  # events, by writers
_BY_LIBRARY = 2_000
_ON_POSTGRES = 25_000

COMPARISONS = [
    *(
        Comparison(
            f"append, {_writers(count)}, SQLite",
            _ours("append", writers=count, events=events),
            _library("append", writers=count, events=_BY_LIBRARY),
            target=20 if count == 64 else 1,
        )
        for count, events in _APPENDED.items()
    ),
    Comparison(
        "append, 64 writers, SQLite, to UmaDB",
        _ours("append", writers=64, events=_APPENDED[64]),
        Side("umadb", "bench.umadb_side:append", {"writers": 64, "events": 20_000}),
        target=4,
    ),
    Comparison(
        "append, 1 writer, SQLite, to a sync of the disk",
        _ours("append", writers=1, events=_APPENDED[1]),
        Side("fdatasync", "bench.floors:syncs", {"count": 3_000}),
        target=0.8,
    ),
    *(
        Comparison(
            f"append, {_writers(count)}, SQLite, to its driver",
            _ours("append", writers=count, events=events),
            Side(DRIVER, "bench.floors:sqlite_commits", {"events": 3_000}),
            target=1,
        )
        for count, events in _APPENDED.items()
    ),
    *(
        Comparison(
            f"create an order and change it 3 times, {count} at once, SQLite",
            _ours("change", at_once=count, orders=orders),
            _library("change", at_once=count, orders=600),
            target=target,
        )
        for count, orders, target in ((8, 3_000, 8), (64, 5_000, 20))
    ),
    Comparison(
        "rehydrate a stream of 1,000 events, SQLite",
        _ours("rehydrate", length=1_000, loads=200),
        _library("rehydrate", length=1_000, loads=30),
        target=12,
    ),
    Comparison(
        "catch up a SQL view, SQLite",
        _ours("catch_up", orders=15_000),
        _library("catch_up", orders=750),
        target=25,
    ),
    Comparison(
        "read the whole log, SQLite",
        _ours("read_log", orders=20_000, times=3),
        _library("read_log", orders=10_000, times=2),
        target=6,
    ),
    Comparison(
        "append, 64 writers, PostgreSQL",
        _ours("append", postgres=True, writers=64, events=_ON_POSTGRES),
        _library("append", postgres=True, writers=64, events=2_000),
        target=30,
    ),
    Comparison(
        "catch up a SQL view, PostgreSQL",
        _ours("catch_up", postgres=True, orders=10_000),
        _library("catch_up", postgres=True, orders=500),
        target=25,
    ),
    Comparison(
        "append, 64 writers, PostgreSQL, to its driver",
        _ours("append", postgres=True, writers=64, events=_ON_POSTGRES),
        Side("asyncpg alone", "bench.floors:postgres_commits", {"connections": 32, "events": 25_000}, postgres=True),
        target=3,
    ),
]
