"""`python -m bench.drivers`: asyncpg beside psycopg 3 at the work of the PostgreSQL store, for decision 0010.

Both run on uvloop, in one process, against one server, in turn. The rates are medians of the rounds, the ratio is the
median of each round's. psycopg is given what makes it fast: its C extension, binary format, prepared statements. The
server is a temporary one of our own, with fsync on. psycopg is no dependency of the project: install it for this.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast
from uuid import UUID

from uuid_utils.compat import uuid7

from twofold.testing.postgres import start_postgres

ROUNDS = 7
DATA = b'{"customerId":"QUICK","items":[{"productId":"nw-38","quantity":20,"price":"263.50"}],"currency":"USD"}'
NEEDED = 'uv pip install "psycopg[binary]" psycopg-pool'

SCHEMA = """
create table counter (position bigint not null);
insert into counter values (0);
create table event (position bigint primary key, stream text, version bigint, id uuid unique, type text, data bytea,
                    unique (stream, version));
create table view (key text primary key, number bigint, body bytea);
insert into view select 'key-' || n, n, repeat('x', 400)::bytea from generate_series(1, 10000) n;
create function append(stream_ text, ids uuid[], types text[], bodies bytea[]) returns bigint language plpgsql as $$
declare head bigint; at bigint;
begin
  perform pg_advisory_xact_lock(1);
  select coalesce(max(version), 0) into at from event where stream = stream_;
  update counter set position = position + cardinality(ids) returning position - cardinality(ids) into head;
  insert into event select head + n, stream_, at + n, id, type, body
    from unnest(ids, types, bodies) with ordinality as new (id, type, body, n);
  return head + cardinality(ids);
end $$;
"""
APPEND = "select append($1, $2, $3, $4)"
PAGE = "select position, stream, version, id, type, data from event where position > $1 order by position limit 1000"
POINT = "select body from view where key = $1"
ONE = """insert into view values ($1, $2, $3)
  on conflict (key) do update set number = excluded.number, body = excluded.body"""
MANY = """insert into view select * from unnest($1::text[], $2::bigint[], $3::bytea[])
  on conflict (key) do update set number = excluded.number, body = excluded.body"""

Rows = Sequence[Sequence[Any]]


class Driver(Protocol):
    """One connection and a pool of 8, and the few things that a store does with them."""

    name: str

    async def open(self, url: str) -> None: ...
    async def close(self) -> None: ...
    async def rows(self, sql: str, *values: object) -> Rows: ...
    async def pooled(self, sql: str, *values: object) -> Rows: ...
    async def many(self, sql: str, values: Rows) -> None: ...


class Asyncpg:
    """asyncpg prepares and caches each statement by itself, and speaks binary only."""

    name = "asyncpg"

    def __init__(self) -> None:
        self._driver: Any = importlib.import_module("asyncpg")

    async def open(self, url: str) -> None:
        async def keep(_: object) -> None:
            """Reset nothing between two uses, as psycopg's pool does: it would be one more round trip."""

        self._connection = await self._driver.connect(url)
        self._pool = await self._driver.create_pool(url, min_size=8, max_size=8, reset=keep)

    async def close(self) -> None:
        await self._connection.close()
        await self._pool.close()

    async def rows(self, sql: str, *values: object) -> Rows:
        return cast(Rows, await self._connection.fetch(sql, *values))

    async def pooled(self, sql: str, *values: object) -> Rows:
        return cast(Rows, await self._pool.fetch(sql, *values))

    async def many(self, sql: str, values: Rows) -> None:
        async with self._connection.transaction():
            await self._connection.executemany(sql, values)


class Psycopg:
    """psycopg 3. Its own cursor rewrites %s; the raw one takes $1, so both drivers run the same statements."""

    name = "psycopg"

    def __init__(self) -> None:
        self._driver: Any = importlib.import_module("psycopg")
        self._pools: Any = importlib.import_module("psycopg_pool")

    async def open(self, url: str) -> None:
        options = {"autocommit": True, "prepare_threshold": 0, "cursor_factory": self._driver.AsyncRawCursor}
        self._connection = await self._driver.AsyncConnection.connect(url, **options)
        self._pool = self._pools.AsyncConnectionPool(url, min_size=8, max_size=8, kwargs=options, open=False)
        await self._pool.open(wait=True)

    async def close(self) -> None:
        await self._connection.close()
        await self._pool.close()

    async def rows(self, sql: str, *values: object) -> Rows:
        return await self._run(self._connection, sql, values)

    async def pooled(self, sql: str, *values: object) -> Rows:
        async with self._pool.connection() as connection:
            return await self._run(connection, sql, values)

    async def many(self, sql: str, values: Rows) -> None:
        async with self._connection.transaction(), self._connection.cursor(binary=True) as cursor:
            await cursor.executemany(sql, values)

    async def _run(self, connection: Any, sql: str, values: Sequence[object]) -> Rows:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(sql, values)
            return cast(Rows, await cursor.fetchall()) if cursor.description else []


# --- the work; each answers how many things it did --------------------------------------------------------------------


def appends(size: int, times: int) -> Callable[[Driver], Awaitable[int]]:
    """Appends of so many events, each a round trip and a commit."""

    async def work(driver: Driver) -> int:
        for _ in range(times):
            ids = [UUID(int=uuid7().int) for _ in range(size)]
            await driver.rows(APPEND, f"order-{ids[0]}", ids, ["OrderCreated"] * size, [DATA] * size)
        return size * times

    return work


async def pages(driver: Driver) -> int:
    """The first 20,000 events in pages of 1,000, all fields taken."""
    position = read = 0
    while read < 20_000 and (rows := await driver.rows(PAGE, position)):
        for number, *_ in rows:
            position = number
        read += len(rows)
    return read


async def points(driver: Driver) -> int:
    """One row by its key, 32 readers on a pool of 8."""

    async def reader(first: int) -> None:
        for number in range(first, first + 150):
            [(_body,)] = await driver.pooled(POINT, f"key-{number % 10_000 + 1}")

    await asyncio.gather(*(reader(index * 300) for index in range(32)))
    return 32 * 150


def _view_rows() -> list[tuple[str, int, bytes]]:
    return [(f"key-{number}", number, DATA) for number in range(1, 501)]


async def upserts(driver: Driver) -> int:
    """500 upserts by executemany in one transaction, four times."""
    for _ in range(4):
        await driver.many(ONE, _view_rows())
    return 2_000


async def unnested(driver: Driver) -> int:
    """The same as one statement over arrays."""
    for _ in range(4):
        await driver.rows(MANY, *map(list, zip(*_view_rows(), strict=True)))
    return 2_000


WORK: dict[str, Callable[[Driver], Awaitable[int]]] = {
    "append 1": appends(1, 500),
    "append 100": appends(100, 30),
    "pages of 1,000": pages,
    "point reads, pool": points,
    "upserts, executemany": upserts,
    "upserts, unnest": unnested,
}


async def prepare(url: str) -> None:
    """The tables, and the function that appends."""
    asyncpg: Any = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(url)
    await connection.execute(SCHEMA)
    await connection.close()


async def measure(url: str, drivers: Sequence[Driver]) -> None:
    """All work by all drivers in turn; the first round is thrown away."""
    await prepare(url)
    for driver in drivers:
        await driver.open(url)
    await appends(1_000, 20)(drivers[0])
    print(f"{'a second':24}" + "".join(f"{driver.name:>12} {'±':>5}" for driver in drivers) + f"{'ratio':>8}")
    for name, work in WORK.items():
        rates: list[list[float]] = [[] for _ in drivers]
        for number in range(ROUNDS + 1):
            # In turn, and the other first in every second round: neither always finds the server warm.
            for driver, kept in list(zip(drivers, rates, strict=True))[:: 1 if number % 2 else -1]:
                began = time.perf_counter()
                done = await work(driver)
                kept.append(done / (time.perf_counter() - began))
        medians = [statistics.median(kept[1:]) for kept in rates]
        spreads = [(max(kept[1:]) - min(kept[1:])) / median for kept, median in zip(rates, medians, strict=True)]
        columns = "".join(f"{median:12,.0f} {spread:5.0%}" for median, spread in zip(medians, spreads, strict=True))
        ratio = statistics.median(ours / its for ours, its in zip(*(kept[1:] for kept in rates), strict=True))
        print(f"{name:24}{columns}{ratio:8.2f}", flush=True)
    for driver in drivers:
        await driver.close()


def main() -> None:
    """Measure on a server of our own."""
    try:
        drivers: list[Driver] = [Asyncpg(), Psycopg()]
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed, and the project does not need it. For this: {NEEDED}")
    with start_postgres() as server, server.database() as url:
        [(version,)] = server.execute("show server_version", url=url)
        print(f"PostgreSQL {version}, Python {sys.version.split()[0]}, {ROUNDS} rounds")
        uvloop: Any = importlib.import_module("uvloop")
        uvloop.run(measure(url, drivers))


if __name__ == "__main__":
    main()
