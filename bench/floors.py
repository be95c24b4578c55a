"""What lies below: the drivers alone, which commit and so sync each event by itself, and the disk alone."""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from typing import Any
from uuid import UUID

import apsw
from uuid_utils.compat import uuid7

from bench.comparing import Place
from bench.library import DATA

PAGE_BYTES = 4_096
LOG_BYTES = 16 * 2**20
METADATA = (
    b'{"message_id":"01890a5d-ac96-774b-bcce-b302099a8057","correlation_id":"01890a5d-ac96-774b-bcce-b302099a8057"}'
)

SQLITE = """
create table event (
    position integer primary key, stream text not null, version integer not null, id blob not null, type text not null,
    schema integer not null, data blob not null, metadata blob not null, recorded_at integer not null,
    checksum integer not null
) strict;
create unique index event_stream on event (stream, version);
create unique index event_id on event (id);
"""
INTO_SQLITE = """
insert into event (stream, version, id, type, schema, data, metadata, recorded_at, checksum)
values (?, 1, ?, 'OrderCreated', 1, ?, ?, ?, 1)
"""

# Positions come from a sequence: quicker than ours, but then they do not rise in the order of the commits.
POSTGRES = """
create table event (
    position bigserial primary key, stream text collate "C" not null, version bigint not null, id uuid not null,
    type text collate "C" not null, schema bigint not null, data bytea not null, metadata bytea not null,
    recorded_at bigint not null, checksum bigint not null
);
create unique index event_stream on event (stream, version);
create unique index event_id on event (id);
"""
INTO_POSTGRES = """
insert into event (stream, version, id, type, schema, data, metadata, recorded_at, checksum)
values ($1, 1, $2, 'OrderCreated', 1, $3, $4, $5, 1)
"""


def syncs(place: Place, *, count: int) -> float:
    """Syncs a second, of one page each, in a file that has its length already, as a write-ahead log has."""
    file = os.open(place.folder / "log", os.O_CREAT | os.O_RDWR)
    os.write(file, bytes(LOG_BYTES))
    os.fsync(file)
    page = os.urandom(PAGE_BYTES)
    began = time.perf_counter()
    for number in range(count):
        os.pwrite(file, page, number * PAGE_BYTES % LOG_BYTES)
        os.fdatasync(file)
    seconds = time.perf_counter() - began
    os.close(file)
    return count / seconds


def sqlite_commits(place: Place, *, events: int) -> float:
    """Events a second by apsw. One connection, whatever the writers: SQLite lets one of them write at a time."""
    connection: Any = apsw.Connection(str(place.folder / "log.db"))  # Any: the stubs name types that Python 3.11 lacks
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -32_768)  # as the store has it
    connection.execute(SQLITE)

    def append(count: int) -> None:
        for _ in range(count):
            id = uuid7()
            connection.execute(INTO_SQLITE, (f"order-{id}", id.bytes, DATA, METADATA, time.time_ns() // 1_000))

    append(events // 10)  # the write-ahead log has its length then
    began = time.perf_counter()
    append(events)
    seconds = time.perf_counter() - began
    connection.close()
    return events / seconds


async def postgres_commits(place: Place, *, connections: int, events: int) -> float:
    """Events a second by asyncpg, from so many connections at once."""
    asyncpg: Any = importlib.import_module("asyncpg")
    opened: list[Any] = [await asyncpg.connect(place.postgres) for _ in range(connections)]
    await opened[0].execute(POSTGRES)
    statements = [await connection.prepare(INTO_POSTGRES) for connection in opened]

    async def write(statement: Any, count: int) -> None:
        for _ in range(count):
            id = UUID(int=uuid7().int)
            await statement.fetch(f"order-{id}", id, DATA, METADATA, time.time_ns() // 1_000)

    async def append(count: int) -> None:
        await asyncio.gather(*(write(statement, count // connections) for statement in statements))

    await append(events // 10)
    began = time.perf_counter()
    await append(events)
    seconds = time.perf_counter() - began
    for connection in opened:
        await connection.close()
    return events // connections * connections / seconds
