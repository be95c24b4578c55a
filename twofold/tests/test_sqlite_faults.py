"""The SQLite store when the disk, another process or a fold does not do as it should."""

import asyncio
import os
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import apsw
import pytest

from twofold.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreFailed,
    StoreFull,
)
from twofold.sql import Fetch, Work
from twofold.stores.sqlite import SqliteStore, driver
from twofold.stores.sqlite.driver import Connection
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import happened, seen_by, several, whole
from twofold.testing.contract_history import check_log


@contextmanager
def commits_that_fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Generator[None]:
    """Every commit raises this error."""
    run = Connection.run

    def failing(self: Connection, sql: str, parameters: Sequence[object] = ()) -> None:
        if sql == "commit":
            raise error
        run(self, sql, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "run", failing)
        yield


# --- the disk ---------------------------------------------------------------------------------------------------------


async def test_a_commit_that_fails_is_unknown_and_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    events, other = several(2), several(1)
    async with SqliteStore(path) as store:
        first = await store.append("order-1", several(1), expected=0)
        with commits_that_fail(monkeypatch, apsw.IOError("disk I/O error")):
            appends = [store.append("order-1", events, expected=1), store.append("order-2", other, expected=0)]
            for outcome in await asyncio.gather(*appends, return_exceptions=True):
                # The first may have been committed alone, and then the second met a store that had stopped.
                assert isinstance(outcome, OutcomeUnknown | StoreFailed)
                if isinstance(outcome, OutcomeUnknown):
                    asked = events if outcome.stream == "order-1" else other
                    assert outcome.message_id == asked[0].metadata.message_id
                    assert str(outcome.message_id) in str(outcome)
        with pytest.raises(StoreFailed):
            await store.append("order-1", events, expected=1)
        assert [recorded.position for recorded in await whole(store)] == [first.position]
    async with SqliteStore(path) as store:
        assert (await store.append("order-1", events, expected=1)).version == 3  # so it is settled


async def test_what_is_no_append_is_unknown_without_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        with commits_that_fail(monkeypatch, apsw.IOError("disk I/O error")):
            with pytest.raises(OutcomeUnknown) as caught:
                await store.adopt([adoptable("order-1", 1, 7)])
            assert caught.value.message_id is None


async def test_a_disk_that_fails_before_the_commit_stored_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:

        def failing(self: Connection, sql: str, rows: object) -> None:
            raise apsw.IOError("disk I/O error")

        monkeypatch.setattr(Connection, "run_many", failing)
        for _ in range(2):
            with pytest.raises(StoreFailed):
                await store.append("order-1", several(1), expected=0)
        assert await whole(store) == []


async def test_a_full_file_is_a_definite_error_and_heals(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        view = await seen_by(store)
        (size,) = (await store.rows(Fetch("pragma page_count")))[0]
        await store.work(lambda: limited(size + 40))
        await fill(store)
        await store.work(lambda: limited(1_000_000))
        await works_again(store)
        assert await view.positions(store) == [recorded.position for recorded in await whole(store)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, unmount = which("mount"), which("umount")
    if os.geteuid() != 0 or mount is None or unmount is None:
        pytest.skip("a small disk needs root and mount")
    options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    mounted = subprocess.run([mount, *options], check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run([unmount, "-l", disk], check=True)


async def test_a_full_disk_is_a_definite_error_and_heals(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    async with SqliteStore(small_disk / "store.db") as store:
        await fill(store)
        ballast.unlink()
        await works_again(store)
        await fill(store)
        log = await whole(store)
    async with SqliteStore(small_disk / "store.db") as store:  # opens on a full disk, too
        assert await whole(store) == log


def limited(pages: int) -> Work[None]:
    yield Fetch(f"pragma max_page_count = {pages}")


async def fill(store: SqliteStore) -> None:
    """Append until there is no space, and then some more: each is stored whole, or told that there is no space."""
    stored, full = len(await whole(store)), 0
    while full < 5:
        events = [happened(os.urandom(20_000)) for _ in range(3)]
        try:
            await store.append("order-1", events, expected=stored)
        except StoreFull:
            full += 1
        else:
            stored += 3
        assert len(await whole(store)) == stored


async def works_again(store: SqliteStore) -> None:
    stored = len(await whole(store))
    assert (await store.append("order-1", several(2), expected=stored)).version == stored + 2
    check_log(await whole(store))


# --- others -----------------------------------------------------------------------------------------------------------


async def test_a_file_that_another_holds_too_long_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BUSY_MILLISECONDS", 50)
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        other = Connection(str(path))
        other.run("begin immediate")
        with pytest.raises(StoreBusy):
            await store.append("order-1", several(1), expected=0)
        assert await whole(store) == []  # readers do not wait
        other.run("rollback")
        assert (await store.append("order-1", several(1), expected=0)).version == 1
        other.close()


async def test_a_moment_can_be_left_in_the_midst_of_a_scan(tmp_path: Path) -> None:
    numbers = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 500000) select max(i) from n"
    async with SqliteStore(tmp_path / "store.db") as store:

        async def look() -> None:
            async with store.moment() as moment:
                await moment.scan(Fetch(numbers))

        looking = asyncio.create_task(look())
        await asyncio.sleep(0.03)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        await store.append("order-1", several(1), expected=0)
