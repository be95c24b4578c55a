"""Ways to give events their places in one log on PostgreSQL, and the torture that tells the right ones from the wrong.

Transactions commit in another order than they take numbers. So a reader that goes by numbers alone passes by events
that become visible later, and one that goes by transaction ids sees a stream's events in the wrong order. Each method
here is a table, a way to append, and a way to read on; writers hold transactions open, roll back, and touch other rows
first, while readers tail the log. What the readers saw is then held against the log.

`python twofold/tests/postgres_ordering.py [EVENTS]` prints what each method lost, and the rates of the right ones. The
store is not in it: this compares what a store could do. Decision 0011 has the figures.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twofold.testing.postgres import start_postgres

WRITERS = 12
READERS = 3
STREAMS = 8
PAGE = 500

# Any connection or pool of asyncpg, which has no types.
Connection = Any


class Seen(NamedTuple):
    """An event, as a reader saw it."""

    position: int
    transaction: int
    stream: str
    version: int


@dataclass(frozen=True)
class Method:
    """A way to order events: what appends, once the stream's row is locked, and what reads on.

    `reading` is given the transaction ($1, 0 where it does not count) and position ($2) of the last event seen, and how
    many events to read at most ($3).
    """

    name: str
    appending: str
    reading: str
    schema: str = ""


# What all methods share. The row of a stream is locked until the end of the transaction, in every method alike.
SCHEMA = """
create table event (position bigint primary key, xid xid8 not null default pg_current_xact_id(),
                    stream text not null, version bigint not null, unique (stream, version));
create index on event (xid, position);
create table stream (name text primary key, version bigint not null);
create table elsewhere (id int primary key, touched int not null);
create sequence number minvalue 0;
select nextval('number');
create table counter (position bigint not null);
insert into counter values (0);
insert into elsewhere select n, 0 from generate_series(0, 99) n;
"""

FUNCTION = """
create function append(stream_ text, count int) returns void language plpgsql as $$
declare at bigint; head bigint;
begin
  insert into stream values (stream_, count)
    on conflict (name) do update set version = stream.version + count returning version - count into at;
  {appending}
end $$;
"""
# As it is where views are kept in the transaction of the append: their checkpoint is a row that each append changes.
INLINE = """
create table checkpoint (position bigint not null);
insert into checkpoint values (0);
create function append_inline(stream_ text, count int) returns void language plpgsql as $$
begin
  perform append(stream_, count);
  update checkpoint set position = position + count;
end $$;
"""
APPEND = "select append($1, $2)"
APPEND_INLINE = "select append_inline($1, $2)"
TOUCH = "update elsewhere set touched = touched + 1 where id = $1"
LOG = "select position, xid::text::bigint, stream, version from event order by position"

BY_SEQUENCE = """
  insert into event (position, stream, version)
    select nextval('number'), stream_, at + n from generate_series(1, count) n;
"""

READ = "select position, 0::bigint, stream, version from event where position > $2 and $1 >= 0"

NAIVE = Method(
    "position above checkpoint",
    appending=BY_SEQUENCE,
    reading=f"{READ} order by position limit $3",
)
BELOW_XMIN = Method(
    "below xmin, by position",
    appending=BY_SEQUENCE,
    reading=f"{READ} and xid < pg_snapshot_xmin(pg_current_snapshot()) order by position limit $3",
)
BY_XID = Method(
    "below xmin, by (xid, position)",
    appending=BY_SEQUENCE,
    reading="""select position, xid::text::bigint, stream, version from event
      where (xid, position) > ($1::bigint::text::xid8, $2) and xid < pg_snapshot_xmin(pg_current_snapshot())
      order by event.xid, position limit $3""",
)
# The lock is taken last: whoever holds it waits for nothing but the disk. What is read in a later statement than the
# lock is read after it was got, so the last position is the last.
LOCK = Method(
    "advisory lock, last position",
    appending="""
  perform pg_advisory_xact_lock(1);
  select coalesce(max(position), 0) into head from event;
  insert into event (position, stream, version) select head + n, stream_, at + n from generate_series(1, count) n;
""",
    reading=f"{READ} order by position limit $3",
)
COUNTER = Method(
    "advisory lock, counter",
    appending="""
  perform pg_advisory_xact_lock(1);
  update counter set position = position + count returning position - count into head;
  insert into event (position, stream, version) select head + n, stream_, at + n from generate_series(1, count) n;
""",
    reading=f"{READ} order by position limit $3",
)
HORIZON = Method(
    "horizon of appends in flight",
    # The lock says: the numbers that I shall take are above this one. It is taken before them, and held to the end.
    appending="""
  select last_value into head from number;
  perform pg_advisory_xact_lock_shared(head);
  insert into event (position, stream, version)
    select nextval('number'), stream_, at + n from generate_series(1, count) n;
""",
    # First the last number given, then who is in flight, then the rows. Whoever took a number up to that and is not in
    # flight any more has committed before, and the third statement sees it. In one statement, it would not.
    schema="""
create function read_on(after bigint, page bigint) returns setof event language plpgsql as $$
declare given bigint; flying bigint;
begin
  select last_value into given from number;
  select min((classid::bigint << 32) | objid::bigint) into flying from pg_locks
    where locktype = 'advisory' and objsubid = 1
      and database = (select oid from pg_database where datname = current_database());
  return query select * from event where position > after and position <= least(given, flying)
    order by position limit page;
end $$;
""",
    reading="select position, 0::bigint, stream, version from read_on($2, $3) where $1 >= 0",
)

WRONG = (NAIVE, BELOW_XMIN, BY_XID)
RIGHT = (LOCK, COUNTER, HORIZON)
METHODS = (*WRONG, *RIGHT)


class Verdict(NamedTuple):
    """What readers made of a log of so many events: how many they passed by, how many came after a later version."""

    events: int
    skipped: int
    disordered: int

    @property
    def caught(self) -> bool:
        """Whether the readers did not see each event once, each stream in its order."""
        return self.skipped > 0 or self.disordered > 0


def judge(log: Sequence[Seen], readers: Sequence[Sequence[Seen]]) -> Verdict:
    """Hold what readers saw against the log."""
    skipped = disordered = 0
    for seen in readers:
        skipped += len({event.position for event in log} - {event.position for event in seen})
        versions: dict[str, int] = {}
        for event in seen:
            disordered += event.version <= versions.get(event.stream, 0)
            versions[event.stream] = max(event.version, versions.get(event.stream, 0))
    return Verdict(len(log), skipped, disordered)


class Reader:
    """Reads on from where it came to, by one method."""

    def __init__(self, connection: Connection, method: Method) -> None:
        self.seen: list[Seen] = []
        self._connection = connection
        self._method = method

    async def read(self) -> bool:
        """Read what there is, up to a page; whether there was anything."""
        last = self.seen[-1] if self.seen else Seen(0, 0, "", 0)
        rows = await self._connection.fetch(self._method.reading, last.transaction, last.position, PAGE)
        self.seen += [Seen(*row) for row in rows]
        return bool(rows)

    async def tail(self, written: asyncio.Event) -> None:
        """Read until all is written and read."""
        while True:
            is_last = written.is_set()
            while await self.read():
                pass
            if is_last:
                return
            await asyncio.sleep(0.001)


# --- the torture ----------------------------------------------------------------------------------------------------


async def prepared(url: str, method: Method, connections: int) -> list[Connection]:
    """An empty log of this method, and connections to it. Whatever was in the database is gone."""
    driver: Any = importlib.import_module("asyncpg")
    opened = [await driver.connect(url) for _ in range(connections)]
    await opened[0].execute("drop schema public cascade; create schema public")
    await opened[0].execute(SCHEMA + FUNCTION.format(appending=method.appending) + INLINE + method.schema)
    return opened


async def judged(connections: Sequence[Connection], readers: Sequence[Reader]) -> Verdict:
    """The verdict, once all is written and read. The connections are closed."""
    log = [Seen(*row) for row in await connections[0].fetch(LOG)]
    for connection in connections:
        await connection.close()
    return judge(log, [reader.seen for reader in readers])


async def provoke(url: str, method: Method) -> Verdict:
    """Two writers in just those orders that a wrong method cannot bear. A right one may make one wait for the other."""
    connections = one, other, reading, watching = await prepared(url, method, 4)
    reader = Reader(reading, method)

    # The one is an older transaction, the other takes an earlier number and is held open before its commit.
    first, second = one.transaction(), other.transaction()
    await first.start()
    await one.execute(TOUCH, 1)
    await second.start()
    await other.execute(APPEND, "stream-1", 1)
    appending = asyncio.create_task(_append_and_commit(one, first, "stream-2"))
    await _done_or_blocked(appending, one, watching)
    await reader.read()
    await second.commit()
    await appending

    # The one is an older transaction again, and appends to a stream after the other did.
    first = one.transaction()
    await first.start()
    await one.execute(TOUCH, 1)
    await other.execute(APPEND, "stream-1", 1)
    await reader.read()
    await _append_and_commit(one, first, "stream-1")

    await _wait_for_the_oldest(watching)
    while await reader.read():
        pass
    return await judged(connections, [reader])


async def _append_and_commit(connection: Connection, transaction: Any, stream: str) -> None:
    await connection.execute(APPEND, stream, 1)
    await transaction.commit()


async def _done_or_blocked(task: asyncio.Task[None], connection: Connection, watching: Connection) -> None:
    blocked, pid = "select pg_blocking_pids($1) <> '{}'", connection.get_server_pid()
    while not task.done() and not await watching.fetchval(blocked, pid):  # noqa: ASYNC110 - a server tells of no change
        await asyncio.sleep(0.001)


async def _wait_for_the_oldest(connection: Connection) -> None:
    """Until no transaction of the cluster hides the end of the log from those who read below xmin."""
    hidden = "select exists (select from event where xid >= pg_snapshot_xmin(pg_current_snapshot()))"
    while await connection.fetchval(hidden):  # noqa: ASYNC110 - a server is asked, and tells of no change by itself
        await asyncio.sleep(0.01)


async def torture(url: str, method: Method, *, events: int, seed: int) -> Verdict:
    """Many writers at random and some tailing readers, until there are so many events."""
    connections = await prepared(url, method, WRITERS + READERS)
    readers = [Reader(connection, method) for connection in connections[WRITERS:]]
    written = asyncio.Event()
    following = [asyncio.create_task(reader.tail(written)) for reader in readers]
    writing = [
        _write(connection, random.Random(f"{seed} {number}"), events // WRITERS + 1)
        for number, connection in enumerate(connections[:WRITERS])
    ]
    await asyncio.gather(*writing)
    await _wait_for_the_oldest(connections[0])
    written.set()
    await asyncio.gather(*following)
    return await judged(connections, readers)


async def _write(connection: Connection, chance: random.Random, events: int) -> None:
    """Append so many events, a few a transaction."""
    while events > 0:
        count = chance.randint(1, 4)
        transaction = connection.transaction()
        await transaction.start()
        if chance.random() < 0.3:  # another row first: an old transaction with late numbers
            await connection.execute(TOUCH, chance.randrange(100))
            await asyncio.sleep(chance.random() * 0.004)
        await connection.execute(APPEND, f"stream-{chance.randrange(STREAMS)}", count)
        if chance.random() < 0.1:  # held open before its commit
            await asyncio.sleep(chance.random() * 0.002)
        if chance.random() < 0.15:
            await transaction.rollback()
        else:
            await transaction.commit()
            events -= count


# --- how fast they are ----------------------------------------------------------------------------------------------


class Load(NamedTuple):
    """So many writers, so many events a commit, each to a new stream, with one reader that tails the log.

    `inline`: each append changes the checkpoint of a view, too. `forgotten`: a transaction elsewhere in the database
    stays open, so that no old version of a row can be removed.
    """

    writers: int
    size: int = 1
    seconds: float = 2.0
    inline: bool = False
    forgotten: bool = False


async def rate(url: str, method: Method, load: Load) -> float:
    """Events a second."""
    connections = await prepared(url, method, load.writers + 2)
    if load.forgotten:
        await connections[-1].execute("begin isolation level repeatable read; select 1")
    reader = Reader(connections[load.writers], method)
    written = asyncio.Event()
    following = asyncio.create_task(reader.tail(written))
    append = APPEND_INLINE if load.inline else APPEND
    began = time.perf_counter()

    async def write(connection: Connection, number: int) -> int:
        appended = 0
        while time.perf_counter() - began < load.seconds:
            await connection.execute(append, f"stream-{number}-{appended}", load.size)
            appended += load.size
        return appended

    counts = await asyncio.gather(*(write(each, number) for number, each in enumerate(connections[: load.writers])))
    taken = time.perf_counter() - began
    written.set()
    await following
    verdict = await judged(connections, [reader])
    assert not (method in RIGHT and verdict.caught), f"{method.name}: {verdict}"
    return sum(counts) / taken


LOADS = (
    *(Load(1), Load(8), Load(64), Load(8, size=100)),
    *(Load(8, inline=True), Load(8, size=100, inline=True)),
    Load(8, seconds=20, forgotten=True),
)


async def compare(url: str, events: int) -> AsyncGenerator[str]:
    """What became of each method, and the rates of the right ones, measured in turn; a line at a time."""
    yield f"{WRITERS} writers, {READERS} readers, about {events:,} events"
    for method in METHODS:
        began = time.perf_counter()
        verdict = await torture(url, method, events=events, seed=random.randrange(2**32))
        seconds = time.perf_counter() - began
        yield f"{method.name:32}{verdict.skipped:8,} skipped{verdict.disordered:8,} out of order{seconds:8.1f} s"
    for load in LOADS:
        rates: dict[str, list[float]] = {method.name: [] for method in RIGHT}
        for _ in range(3 if load.forgotten else 5):
            for method in RIGHT:
                rates[method.name].append(await rate(url, method, load))
        yield f"{load}: events a second, median (lowest to highest)"
        for name, kept in rates.items():
            yield f"    {name:32}{statistics.median(kept):10,.0f} ({min(kept):,.0f} to {max(kept):,.0f})"


async def _print(url: str, events: int) -> None:
    async for line in compare(url, events):
        print(line, flush=True)  # noqa: T201 - for who runs this file


if __name__ == "__main__":
    with start_postgres() as server, server.database() as database:
        asyncio.run(_print(database, int(sys.argv[1]) if sys.argv[1:] else 20_000))
