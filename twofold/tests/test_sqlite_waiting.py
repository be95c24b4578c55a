"""What waits in the SQLite store: for appends of other processes, and for a file to be opened."""

import asyncio
import threading
from pathlib import Path
from typing import Any, ClassVar

import apsw
import pytest

from twofold.errors import StoreClosed, StoreFailed
from twofold.sql import Fetch
from twofold.stores.sqlite import SqliteStore, bell
from twofold.stores.sqlite import moment as sqlite_moment
from twofold.stores.sqlite import store as sqlite_store
from twofold.stores.sqlite.checkpoints import head
from twofold.stores.sqlite.driver import Connection
from twofold.testing.contract_base import several


class Looks:
    """Counts how often the head of the log is looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(sqlite_store, "head", self._look)

    def _look(self, connection: Connection) -> int:
        self.count += 1
        return head(connection)


async def test_many_who_wait_look_as_often_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "POLL_SECONDS", 0.01)
    async with SqliteStore(tmp_path / "store.db") as store, SqliteStore(tmp_path / "store.db") as other:
        looks = Looks(monkeypatch)
        waiting = [asyncio.create_task(store.wait_appended(after=0)) for _ in range(500)]
        await asyncio.sleep(0)
        looks.count = 0
        await asyncio.sleep(0.2)
        assert 1 <= looks.count <= 21
        await other.append("order-1", several(1), expected=0)
        await asyncio.wait_for(asyncio.gather(*waiting), 10)


async def test_nobody_looks_when_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "POLL_SECONDS", 0.01)
    async with SqliteStore(tmp_path / "store.db") as store:
        looks = Looks(monkeypatch)
        for _ in range(2):  # it begins again, too
            waiting = asyncio.create_task(store.wait_appended(after=0))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait([waiting])
            assert looks.count > 2
            await asyncio.sleep(0.02)
            looks.count = 0
            await asyncio.sleep(0.05)
            assert looks.count == 0


async def test_who_waits_is_woken_for_its_own_position_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "POLL_SECONDS", 3600)  # it is the commits that wake
    async with SqliteStore(tmp_path / "store.db") as store:
        waiting = [asyncio.create_task(store.wait_appended(after=position)) for position in range(3)]
        await asyncio.sleep(0)
        for count in (1, 2, 3):
            await store.append("order-1", several(1), expected=None)
            await asyncio.wait_for(waiting[count - 1], 10)
            assert [task.done() for task in waiting] == [number < count for number in range(3)]


async def test_an_error_of_looking_reaches_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Connection) -> int:
        raise apsw.IOError("disk I/O error")

    async with SqliteStore(tmp_path / "store.db") as store:
        waiting = [asyncio.create_task(store.wait_appended(after=after)) for after in (0, 2**63)]
        await asyncio.sleep(0)
        monkeypatch.setattr(sqlite_store, "head", broken)
        for task in waiting:
            with pytest.raises(StoreFailed):
                await asyncio.wait_for(task, 10)


def test_a_store_that_is_opened_again_on_another_loop_hears_of_others(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")

    async def wait() -> None:
        async with store, SqliteStore(tmp_path / "store.db") as other:
            waiting = asyncio.create_task(store.wait_appended(after=await store.head()))
            await asyncio.sleep(0)
            await other.append("order-1", several(1), expected=None)
            await asyncio.wait_for(waiting, 10)
            doomed = asyncio.create_task(store.wait_appended(after=await store.head()))
            await asyncio.sleep(0)
        with pytest.raises(StoreClosed):
            await doomed

    for _ in range(2):
        asyncio.run(wait())


# --- moments ----------------------------------------------------------------------------------------------------------


class Slow(Connection):
    """Two are opened at once, when they are let, and it is known where each is opened and closed."""

    begun: ClassVar[threading.Barrier]
    may_open: ClassVar[threading.Event]
    opened: ClassVar[list[str]]
    closed: ClassVar[list[str]]

    @classmethod
    def open(cls, path: str, *, read_only: bool = False) -> Any:
        cls.opened.append(threading.current_thread().name)
        cls.begun.wait(10)
        assert cls.may_open.wait(10)
        return super().open(path, read_only=read_only)

    def close(self) -> None:
        self.closed.append(threading.current_thread().name)
        super().close()


async def test_a_moment_is_opened_and_closed_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Slow.begun, Slow.may_open = threading.Barrier(3), threading.Event()
    Slow.opened, Slow.closed = [], []
    async with SqliteStore(tmp_path / "store.db") as store:
        monkeypatch.setattr(sqlite_moment, "Connection", Slow)

        async def look() -> None:
            async with store.moment() as moment:
                assert await moment.scan(Fetch("select 1")) == [(1,)]

        looking = asyncio.create_task(look())
        cancelled = asyncio.create_task(look())
        await asyncio.to_thread(Slow.begun.wait, 10)
        cancelled.cancel()
        await asyncio.sleep(0.01)
        Slow.may_open.set()
        await asyncio.wait_for(looking, 10)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(cancelled, 10)
        assert len(Slow.closed) == 2  # also that of the cancelled one
        assert all(name.startswith("twofold-sqlite-moment") for name in (*Slow.opened, *Slow.closed))
