"""What a store is asked to find out how it is, and what is to be thought of the answers. Nothing is changed."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from twofold.cli.printing import counted, duration
from twofold.errors import EventCorrupt
from twofold.overview import State, Status, ahead_of_log, overview
from twofold.sql import Fetch
from twofold.store import Progress, Store
from twofold.views import Views

LEAST_FREE = 256 * 2**20  # bytes on the disk
LARGEST_WAL = 128 * 2**20  # bytes; a write-ahead log is cut to half of that where nobody reads for long
LONGEST_LAG = 60.0  # seconds
LONGEST_TRANSACTION = 60.0  # seconds
LARGEST_SKEW = 5.0  # seconds by which two clocks may differ
MOST_CONNECTIONS = 0.8  # of those that a server takes

SAFE = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply", "remote_write"}}


class Level(StrEnum):
    """What is to be thought of something."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"


class Finding(Struct, frozen=True):
    """One thing that was looked at, how it is, and what to do about it where it is not as it should be."""

    check: str
    level: Level
    found: str
    advice: str | None = None


async def findings(views: Views, file: str | None) -> AsyncIterator[Finding]:
    """All that can be found out in a moment. `file` is where a SQLite store is kept."""
    store = views.store
    head = await store.head()
    async for finding in _sqlite(store, file, head) if file is not None else _postgres(store, head):
        yield finding
    async for finding in _log(store, head):
        yield finding
    for finding in judged(await overview(store, views), await ahead_of_log(store)):
        yield finding


# --- the log and what is folded from it -----------------------------------------------------------------------------


async def _log(store: Store, head: int) -> AsyncIterator[Finding]:
    try:
        async for event in store.read_back(limit=1):
            ahead = event.recorded_at.timestamp() - time.time()
            found = f"the last event is at position {head}, recorded {event.recorded_at:%Y-%m-%d %H:%M:%S} UTC"
            if ahead > LARGEST_SKEW:
                advice = f"that is {duration(ahead)} from now: set the clock of this machine, or of the one that wrote"
                yield Finding("log", Level.WRONG, found, advice)
            else:
                yield Finding("log", Level.FINE, found)
            return
        yield Finding("log", Level.FINE, "it has no events")
    except EventCorrupt as error:
        yield Finding("log", Level.WRONG, str(error), "restore a backup beside it, and compare the two")


def judged(statuses: Iterable[Status], ahead: dict[str, int]) -> list[Finding]:
    """What is to be thought of projections that stand like this, and of those that are ahead of the log."""
    found = [_projection(status) for status in statuses if status.name not in ahead]
    return [
        *found,
        *(
            Finding(
                f"projection {name}",
                Level.WRONG,
                f"it has passed the end of the log: it is at {position}",
                "the log was restored from an older backup: empty it with `projections reset`, or rebuild it",
            )
            for name, position in ahead.items()
        ),
    ]


def _projection(status: Status) -> Finding:
    check = f"projection {status.name}"
    lag = f", {status.behind} behind for {duration(status.seconds)}" if status.behind else ""
    found = f"{status.state} at {status.position}{lag}"
    if status.reason is not None:
        found += f": {status.reason}"
    if status.state is State.AHEAD:
        return Finding(check, Level.WRONG, found, "`projections reset` it, or `rebuild` it")
    if status.state is State.FAILED:
        return Finding(check, Level.WRONG, found, "mend its code, then `projections resume`")
    if status.letters:
        parked = f"{found}; parked: {counted(status.letters, 'event')} of {counted(status.sequences, 'sequence')}"
        return Finding(check, Level.WRONG, parked, "see `parked`; mend what they fail on, then `parked retry`")
    match status.state:
        case State.NEW | State.DETACHED:
            return Finding(check, Level.NOTE, found, "start a process that runs it, if it is to follow")
        case State.PAUSED:
            return Finding(check, Level.NOTE, found, "`projections resume`, when the reason is gone")
        case _ if status.seconds > LONGEST_LAG:
            return Finding(check, Level.WRONG, found, "watch it with `projections --watch`: does it gain on the log?")
        case _:
            return Finding(check, Level.FINE, found)


async def integrity(store: Store, file: str | None, on_progress: Callable[[Progress], None]) -> AsyncIterator[Finding]:
    """Read all that is there: the database by itself, where it can, and each event against its checksum."""
    if file is not None:
        async with store.moment() as moment:  # whose reads may take as long as they do
            rows = await moment.scan(Fetch("pragma quick_check(3)"))
        said = "; ".join(str(row[0]) for row in rows)
        level = Level.FINE if said == "ok" else Level.WRONG
        advice = None if said == "ok" else "stop all writers, and restore a backup"
        yield Finding("file", level, f"quick_check: {said}", advice)
    head, reached, damaged = await store.head(), 0, list[EventCorrupt]()
    while True:
        try:
            async for event in store.read_all(after=reached):
                reached = event.position
                if reached % 1_000 == 0:
                    on_progress(Progress(reached, head))
        except EventCorrupt as error:
            reached = error.position
            damaged.append(error)
        else:
            break
    for event_at_fault in damaged[:3]:
        yield Finding("events", Level.WRONG, str(event_at_fault), "restore a backup beside it, and compare the two")
    if not damaged:
        yield Finding("events", Level.FINE, f"all up to position {reached} have their checksums")


# --- the database ---------------------------------------------------------------------------------------------------


async def _sqlite(store: Store, file: str, head: int) -> AsyncIterator[Finding]:
    version, journal, synchronous, schema, pages, size = [
        (await store.scan(Fetch(query)))[0][0]
        for query in (
            "select sqlite_version()",
            "pragma journal_mode",
            "pragma synchronous",
            "pragma user_version",
            "pragma page_count",
            "pragma page_size",
        )
    ]
    yield Finding("database", Level.FINE, f"SQLite {version}, schema {schema}, in {file}")
    safe = (journal, synchronous) == ("wal", 2)
    names = {0: "off", 1: "normal", 2: "full", 3: "extra"}
    found = f"journal_mode={journal} synchronous={names.get(synchronous, synchronous)}"
    yield Finding("durability", Level.FINE if safe else Level.WRONG, found, None if safe else "must be wal and full")
    for finding in disk(int(pages) * int(size), head, *_space(file)):
        yield finding


def _space(file: str) -> tuple[int, int]:
    """The bytes that are free on the disk of the file, and those of its write-ahead log."""
    wal = Path(f"{file}-wal")
    return shutil.disk_usage(Path(file).absolute().parent).free, wal.stat().st_size if wal.exists() else 0


def disk(size: int, head: int, free: int, wal: int) -> list[Finding]:
    """What is to be thought of a file of this size with so many events, on a disk with so much space."""
    each = size / head if head else 0
    found = f"{_bytes(size)} in the file" + (f", {each:,.0f} bytes an event with all views" if head else "")
    found += f"; {_bytes(free)} free" + (f", enough for {free / each:,.0f} more events" if each else "")
    short = free < LEAST_FREE
    space = Finding("disk", Level.WRONG if short else Level.FINE, found, "make space" if short else None)
    large = wal > LARGEST_WAL
    advice = "somebody reads for very long, so it cannot shrink: look for a transaction that is left open"
    held = Finding("write-ahead log", Level.NOTE if large else Level.FINE, _bytes(wal), advice if large else None)
    return [space, held]


_SETTINGS = "select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit')"
_SIZES = "select pg_total_relation_size('event'), pg_database_size(current_database())"
_LONG = """
    select pid, application_name, coalesce(state, ''), extract(epoch from now() - xact_start)::float8
    from pg_stat_activity
    where xact_start < now() - make_interval(secs => $1) and pid <> pg_backend_pid()
        and datname = current_database() and backend_type = 'client backend'
    order by xact_start
"""
_PREPARED = """
    select gid, extract(epoch from now() - prepared)::float8 from pg_prepared_xacts
    where database = current_database()
"""
_CONNECTIONS = """
    select count(*), current_setting('max_connections')::int from pg_stat_activity
    where backend_type = 'client backend'
"""


async def _postgres(store: Store, head: int) -> AsyncIterator[Finding]:
    ((version, schema, now),) = await store.scan(
        Fetch("select current_setting('server_version'), (select max(version) from twofold_schema), now()")
    )
    yield Finding("database", Level.FINE, f"PostgreSQL {version}, schema {schema}")
    skew = abs((datetime.now(UTC) - now).total_seconds())
    advice = "set both by NTP: events carry the times of those who write them" if skew > LARGEST_SKEW else None
    yield Finding("clock", Level.WRONG if advice else Level.FINE, f"the server's differs by {skew:.1f} s", advice)
    settings = dict[str, str]([(row[0], row[1]) for row in await store.scan(Fetch(_SETTINGS))])
    yield durability(settings)
    ((log, database),) = await store.scan(Fetch(_SIZES))
    each = f", {log / head:,.0f} bytes an event" if head else ""
    yield Finding("disk", Level.FINE, f"{_bytes(log)} for the log{each}; {_bytes(database)} for the database")
    long = await store.scan(Fetch(_LONG, (LONGEST_TRANSACTION,)))
    for pid, name, state, seconds in long:
        found = f"process {pid} ({name or 'without a name'}, {state}) has one open for {duration(seconds)}"
        advice = f"end it there, or with select pg_terminate_backend({pid}): what it may still see cannot be vacuumed"
        yield Finding("transactions", Level.WRONG, found, advice)
    for gid, seconds in await store.scan(Fetch(_PREPARED)):
        found = f"{gid} was prepared {duration(seconds)} ago and never ended"
        yield Finding("transactions", Level.WRONG, found, f"rollback prepared '{gid}', or commit it")
    if not long:
        yield Finding("transactions", Level.FINE, f"none is open for more than {LONGEST_TRANSACTION:.0f} s")
    ((used, most),) = await store.scan(Fetch(_CONNECTIONS))
    full = used > MOST_CONNECTIONS * most
    advice = "raise max_connections, or run fewer processes" if full else None
    yield Finding("connections", Level.NOTE if full else Level.FINE, f"{used} of {most}", advice)


def durability(settings: dict[str, str]) -> Finding:
    """What is to be thought of a server that is set like this."""
    said = " ".join(f"{name}={value}" for name, value in sorted(settings.items()))
    unsafe = sorted(name for name, value in settings.items() if value not in SAFE[name])
    if unsafe:
        advice = f"what was acknowledged can be lost: set {', '.join(unsafe)} to on"
        return Finding("durability", Level.WRONG, said, advice)
    return Finding("durability", Level.FINE, said)


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1_024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1_024
    return f"{size:,.1f} TiB"
