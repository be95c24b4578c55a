"""Statements of views and queries that are wrong, in each of the ways that SQLite has for it."""

from pathlib import Path

import pytest

from twofold.cli.diagnosis import Level, integrity
from twofold.errors import StatementFailed, StoreBusy
from twofold.sql import Fetch, Run, Work
from twofold.stores.memory import MemoryStore
from twofold.stores.sqlite import SqliteStore, driver
from twofold.stores.sqlite import store as sqlite_store
from twofold.testing.contract_base import several

WRONG = {
    "unknown table": Run("insert into nowhere values (1)"),
    "no SQL": Run("this is no SQL"),
    "not unique": Run("insert into kept values (?)", [(1,), (1,)]),
    "not of the type": Run("insert into kept values ('one')"),
    "too few parameters": Run("insert into kept values (?)", [()]),
    "too large a number": Run("insert into kept values (?)", [(2**63,)]),
    "half a surrogate pair": Run("insert into kept values (?)", [("\ud800",)]),
    "no value of SQL": Run("insert into kept values (?)", [(object(),)]),
    "too large a value": Run("insert into kept values (zeroblob(2000000000))"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_a_wrong_statement_is_told_as_one_and_the_store_goes_on(tmp_path: Path, kind: str, wrong: Run) -> None:
    async with MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "store.db") as store:

        def create() -> Work[None]:
            yield Run("create table kept (number integer primary key) strict")

        def work() -> Work[None]:
            yield Run("insert into kept values (7)")
            yield wrong

        await store.work(create)
        with pytest.raises(StatementFailed):
            await store.work(work)
        assert await store.rows(Fetch("select * from kept")) == []
        await store.check()
        await store.append("order-1", several(1), expected=0)


@pytest.mark.parametrize("parameters", [(), (1, 2), (2**63,), ("\ud800",), (Ellipsis,)], ids=repr)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_a_query_with_wrong_parameters_is_told_as_one(
    tmp_path: Path, kind: str, parameters: tuple[object, ...]
) -> None:
    async with MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "store.db") as store:
        query = Fetch("select ?", parameters)
        for ask in (store.rows, store.scan):
            with pytest.raises(StatementFailed):
                await ask(query)
        async with store.moment() as moment:
            with pytest.raises(StatementFailed):
                await moment.scan(query)


async def test_a_scan_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "SCAN_SECONDS", 0.05)
    endless = Fetch(
        "with recursive number (n) as (select 1 union all select n + 1 from number) select max(n) from number"
    )
    async with SqliteStore(tmp_path / "store.db") as store:
        with pytest.raises(StoreBusy):
            await store.scan(endless)
        monkeypatch.setattr(sqlite_store, "SCAN_SECONDS", 60.0)
        assert await store.scan(Fetch("select 1")) == [(1,)]


async def test_a_check_of_the_whole_file_takes_as_long_as_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "SCAN_SECONDS", -1.0)
    monkeypatch.setattr(driver, "STEPS", 1)
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store:
        await store.append("order-1", several(1), expected=0)
        with pytest.raises(StoreBusy):
            await store.scan(Fetch("pragma quick_check(3)"))
        findings = [finding async for finding in integrity(store, str(path), lambda _progress: None)]
        assert [finding.level for finding in findings] == [Level.FINE] * len(findings)
