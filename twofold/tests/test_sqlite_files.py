"""The file of the SQLite store: how it is opened, which files are refused, and what a damaged one leads to."""

import asyncio
import os
import re
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from twofold.errors import EventCorrupt, EventUnreadable, StoreClosed, StoreFailed, StoreRefused
from twofold.messages import ids_of
from twofold.parked import Parked
from twofold.sql import Fetch, Work
from twofold.stores.rows import row_of
from twofold.stores.sqlite import SqliteStore, driver
from twofold.stores.sqlite.driver import APPLICATION_ID, SCHEMAS, Connection
from twofold.stores.sqlite.rows import LOOKING_BACK
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import Seen, events_of, happened, said, several, whole
from twofold.testing.contract_looking_back import found

FULL = 2
OLD_INSERT = """
    insert into event (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

OLD_PARK = """
    insert into parked (name, sequence, position, partition, attempts, error, parked_at, overtaken)
    values ('seen', ?, ?, 0, 1, 'why', 0, 0)
"""


async def opened_once(path: Path) -> None:
    async with SqliteStore(path):
        pass


async def test_every_connection_is_durable(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        for pragma, value in {"synchronous": FULL, "journal_mode": "wal"}.items():
            query = Fetch(f"pragma {pragma}")

            def work(query: Fetch = query) -> Work[object]:
                rows = yield query  # on the connection that writes
                return rows[0][0]

            assert await store.work(work) == value
            assert await store.rows(query) == await store.scan(query) == [(value,)]
            async with store.moment() as moment:
                assert await moment.scan(query) == [(value,)]


async def test_a_write_ahead_log_that_grew_shrinks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Fetch("pragma journal_size_limit")

    def work() -> Work[object]:
        rows = yield limit  # on the connection that writes
        return rows[0][0]

    async with SqliteStore(tmp_path / "store.db") as store:
        assert await store.work(work) == driver.JOURNAL_BYTES == 64 * 2**20
    monkeypatch.setattr(driver, "JOURNAL_BYTES", 100_000)
    path, journal = tmp_path / "small.db", tmp_path / "small.db-wal"
    async with SqliteStore(path) as store:
        async with store.moment():  # as long as it lasts the log only grows
            for _ in range(20):
                await store.append("order-1", [happened(bytes(500_000))], expected=None)
        assert journal.stat().st_size > 5_000_000
        for _ in range(3):
            await store.append("order-1", several(1), expected=None)
        assert journal.stat().st_size <= 100_000


async def test_a_store_that_is_open_cannot_be_opened_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    for _ in range(2):  # one after the other is fine
        async with store:
            threads = threading.active_count()
            with pytest.raises(StoreRefused, match="open already"):
                await store.__aenter__()
            assert threading.active_count() <= threads + 1  # one of asyncio's may have come
            await store.append("order-1", several(1), expected=None)
        with pytest.raises(StoreClosed):
            await store.head()
    outcomes = await asyncio.gather(*(store.__aenter__() for _ in range(3)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SqliteStore", "StoreRefused", "StoreRefused"]
    assert (await store.append("order-1", several(1), expected=2)).version == 3
    await store.__aexit__(None, None, None)


async def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    await opened_once(tmp_path / "store.db")
    file = Connection(str(tmp_path / "store.db"))
    assert (file.get("pragma application_id"), file.get("pragma user_version")) == (APPLICATION_ID, 4)
    file.close()


@pytest.mark.parametrize("statement", ["create table t (a)", "pragma user_version = 1", "pragma application_id = 7"])
async def test_the_file_of_another_application_is_refused_and_left_alone(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "theirs.db"
    file = Connection(str(path))
    file.run(statement)
    file.close()
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="another application"):
        await opened_once(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["theirs.db"]


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await opened_once(path)
    file = Connection(str(path))
    file.run("pragma user_version = 999")
    file.close()
    with pytest.raises(StoreRefused, match="has schema 999"):
        await opened_once(path)


async def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    events = [adoptable("order-1", version, version) for version in (1, 2, 3)]
    file = Connection(str(path))
    with file.transaction():
        file.run_script("schema.sql")
        file.run(f"pragma application_id = {APPLICATION_ID}")
        file.run("pragma user_version = 1")
        file.run_many(OLD_INSERT, [row_of(event)[:-1] for event in events])
        file.run("insert into checkpoint values ('seen', 3)")
    file.close()
    ids = set[UUID]()
    for number in range(2):
        async with SqliteStore(path) as store, SqliteStore(path) as other:
            ids |= {store.id, other.id}
            assert (await whole(store))[:3] == events
            assert await store.find(events[1].id) == events[1]
            assert await store.checkpoint("seen") == 3
            assert (await store.append("order-1", several(1), expected=3 + number)).position == 4 + number
            tables = "select count(*) from sqlite_schema where name in ('log', 'subscription', 'parked')"
            assert await store.rows(Fetch(tables)) == [(3,)]
    assert len(ids) == 1
    file = Connection(str(path))
    assert file.get("pragma user_version") == 4
    file.close()


async def test_old_events_are_found_by_their_correlation(tmp_path: Path) -> None:
    """Those that cannot be read do not keep the file from being opened."""
    path = tmp_path / "store.db"
    outer = said()
    metadata = (outer, outer.caused(), said(), outer.caused(), outer)
    ids = (next(ids_of(outer.message_id, "order-1")), *(uuid4() for _ in range(4)))
    events = [
        replace(adoptable("order-1", n, n, metadata=said), id_bytes=id.bytes)
        for n, (said, id) in enumerate(zip(metadata, ids, strict=True), start=1)
    ]
    file = Connection(str(path))
    with file.transaction():
        file.run_script("schema.sql")
        file.run_script("schema_2.sql")
        file.run(f"pragma application_id = {APPLICATION_ID}")
        file.run("pragma user_version = 2")
        file.run_many(OLD_INSERT, [row_of(event)[:-1] for event in events])
        file.run("update event set metadata = x'ff' where version = 4")
    file.close()
    async with SqliteStore(path) as store:
        assert await found(store.correlated(outer.correlation_id)) == [events[0], events[1], events[4]]
        kept = "select version from event where correlation is not null order by version"
        assert await store.rows(Fetch(kept)) == [(2,), (3,), (5,)]


async def test_running_processes_of_the_code_before_go_on_parking(tmp_path: Path) -> None:
    """What they park has no trace; what they hold open is brought up to date under them."""
    path = tmp_path / "store.db"
    old = Connection(str(path))
    old.run("pragma journal_mode = wal")
    with old.transaction():
        for script in SCHEMAS[:3]:
            old.run_script(script)
        old.run(f"pragma application_id = {APPLICATION_ID}")
        old.run("pragma user_version = 3")
    old.run(OLD_PARK, ("a", 1))
    async with SqliteStore(path) as store:
        old.run(OLD_PARK, ("b", 2))
        letters = await Parked(store).letters("seen")
        assert [(letter.position, letter.trace) for letter in letters] == [(1, None), (2, None)]
    old.close()


@pytest.mark.parametrize("statement", LOOKING_BACK, ids=LOOKING_BACK._fields)
async def test_looking_back_never_looks_at_the_whole_log(tmp_path: Path, statement: str) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        parameters = (None,) * (max((int(number) for number in re.findall(r"\?(\d)", statement)), default=2))
        plan = [row[3] for row in await store.rows(Fetch(f"explain query plan {statement}", parameters))]
    assert all("SEARCH" in step for step in plan if "event" in step or "later" in step), plan


async def test_what_is_no_sqlite_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 1000)
    with pytest.raises(StoreRefused, match="not a SQLite file"):
        await opened_once(path)
    assert path.read_text() == "Dear Ada, " * 1000


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "store.db", tmp_path):
        with pytest.raises(StoreRefused):
            await opened_once(path)
    for name in ("", ":memory:"):
        with pytest.raises(StoreRefused, match="lives in a file"):
            SqliteStore(name)


async def test_a_store_that_was_refused_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed = 0, 0
    initialise, close = Connection.__init__, Connection.close

    def count_opened(self: Connection, path: str) -> None:
        nonlocal opened
        initialise(self, path)
        opened += 1
        if opened == 3:
            self.close()  # the last of a store's connections is no good

    def count_closed(self: Connection) -> None:
        nonlocal closed
        close(self)
        closed += 1

    monkeypatch.setattr(Connection, "__init__", count_opened)
    monkeypatch.setattr(Connection, "close", count_closed)
    with pytest.raises(Exception, match="closed"):
        await opened_once(tmp_path / "store.db")
    assert closed >= opened == 3


# --- damage -----------------------------------------------------------------------------------------------------------

FLIPPED = [
    "update event set data = x'31' where version = 2",
    "update event set metadata = cast(replace(cast(metadata as text), 'Z', 'z') as blob) where version = 2",
    "update event set type = 'Happened ' where version = 2",
    "update event set schema = 2 where version = 2",
    "update event set id = x'00112233445566778899aabbccddeeff' where version = 2",
    "update event set checksum = checksum + 1 where version = 2",
]


@pytest.mark.parametrize("change", FLIPPED)
async def test_a_damaged_event_is_found_when_it_is_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        await store.append("order-1", several(3), expected=0)
        file = Connection(str(path))
        file.run(change)
        file.close()
        for reading in (store.read("order-1"), store.read_all()):
            assert (await anext(reading)).version == 1
            with pytest.raises(EventCorrupt) as caught:
                await anext(reading)
            assert (caught.value.stream, caught.value.version) == ("order-1", 2)
        assert [recorded.version async for recorded in store.read("order-1", after=2)] == [3]
        view = Seen(store)
        await store.reset("seen", view.create)
        with pytest.raises(EventCorrupt):
            await store.advance("seen", view.fold, limit=10)
        assert await view.positions(store) == []
        await store.append("order-1", several(1), expected=3)


@pytest.mark.parametrize("change", ["update event set stream = 'ordes-1'", "delete from event"])
async def test_a_hole_in_a_stream_is_found_when_it_is_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        await store.append("order-1", several(3), expected=0)
        file = Connection(str(path))
        file.run(f"{change} where version = 2")
        file.close()
        reading = store.read("order-1")
        assert (await anext(reading)).version == 1
        with pytest.raises(EventUnreadable) as caught:
            await anext(reading)
        assert (caught.value.stream, caught.value.version) == ("order-1", 2)


async def test_a_text_that_is_none_any_more_is_a_failure_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        await store.append("order-1", several(1), expected=0)
        file = Connection(str(path))
        file.run("update event set type = cast(x'ff00' as text)")
        file.close()
        with pytest.raises(StoreFailed):
            await events_of(store, "order-1")
        with pytest.raises(StoreFailed):
            await whole(store)


async def test_a_file_whose_pages_are_damaged_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        for _ in range(50):
            await store.append("order-1", several(20), expected=None)
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xaa" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises((StoreFailed, StoreRefused, EventCorrupt)):
        async with SqliteStore(path) as store:
            await whole(store)
