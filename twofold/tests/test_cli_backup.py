"""`twofold backup` and `restore`: while others write, from store to store, and where something is in the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from terminals import Terminal
from test_cli_copy import damage, log_of
from test_cli_twofold import append, command, started
from twofold import Metadata, NewEvent
from twofold.connect import connect
from twofold.messages import Idempotency
from twofold.sql import Fetch, Run, Work
from twofold.store import Store
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import whole

WRITERS = 8


def do(sql: str) -> Work[None]:
    yield Run(sql, ((),))


def files_in(folder: Path) -> list[str]:
    """What is in a folder, by name."""
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A store with three events in two streams, and a view that has folded them."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    await append(url, "counter-a", b'{"amount": 0.10}', b'{"amount": 12345678901234567890.5}')
    await append(url, "counter-b", b"{}")
    async with connect(url) as store:
        await store.refuse(Idempotency("key", "request"), b"no")
        await store.work(lambda: do("create table counts (stream text primary key)"))
        await store.work(lambda: do("insert into counts values ('counter-a')"))
        await store.reset("counts", lambda: do("insert into checkpoint values ('other', 3)"))
    return url


async def test_a_file_is_kept_whole_and_restored_as_another_log(
    source: str, terminal: Terminal, tmp_path: Path
) -> None:
    code, printed, complained = await terminal("backup", source, "kept.db")
    assert (code, complained) == (0, "")
    assert printed == "kept in kept.db: 3 events up to position 3, all checked\n"
    code, printed, _ = await terminal("restore", "kept.db", "sqlite:///new.db", "--json")
    assert (code, json.loads(printed)) == (0, {"events": 3, "position": 3, "ahead": {}})
    assert files_in(tmp_path) == ["kept.db", "new.db", "store.db"]
    restored = f"sqlite:///{tmp_path / 'new.db'}"
    assert await log_of(restored) == await log_of(source)
    async with connect(source) as old, connect(restored) as new, connect(f"sqlite:///{tmp_path / 'kept.db'}") as kept:
        assert kept.id == old.id != new.id
        for store in (old, new):
            assert await store.rows(Fetch("select stream from counts")) == [("counter-a",)]
            remembered = await store.recall("key")
            assert remembered is not None
            assert remembered.refusal == b"no"


async def test_a_backup_under_load_is_of_one_moment(tmp_path: Path) -> None:
    """Eight writers append, each to its stream, pairs of events that only go together."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with connect(url) as store:
        for first in range(1, 20_001, 2_000):
            await store.adopt([adoptable(f"old-{number}", 1, number) for number in range(first, first + 2_000)])
        stopping = asyncio.Event()
        writers = [asyncio.create_task(write(store, f"counter-{number}", stopping)) for number in range(WRITERS)]
        heads: list[int] = []
        for name in ("first.db", "second.db"):
            heads.append(await store.head())
            code, printed, complained = await asyncio.to_thread(command, "backup", url, name, "--json", cwd=tmp_path)
            assert (code, complained) == (0, "")
            assert json.loads(printed)["position"] >= heads[-1]
        stopping.set()
        counts = await asyncio.gather(*writers)
        assert min(counts) > 1
        log = await whole(store)
    assert heads[1] > heads[0]
    for name, head in zip(("first.db", "second.db"), heads, strict=True):
        kept = await log_of(f"sqlite:///{tmp_path / name}")
        assert kept == log[: len(kept)]
        assert len(kept) >= head
        assert kept[-1].version % 2 == 0  # no pair was torn


async def write(store: Store, stream: str, stopping: asyncio.Event) -> int:
    """Append pairs until told to stop: how many."""
    count = 0
    while not stopping.is_set():
        metadata = Metadata.new()
        pair = [
            NewEvent(id=id, type="Counted", schema=1, data=b"{}", metadata=metadata)
            for id in (metadata.message_id, Metadata.new().message_id)
        ]
        await store.append(stream, pair, expected=2 * count)
        count += 1
        await asyncio.sleep(0.001)
    return count


async def test_a_store_goes_to_postgres_by_way_of_a_file(
    source: str, postgres_url: str, terminal: Terminal, tmp_path: Path
) -> None:
    assert (await terminal("backup", source, "kept.db"))[0] == 0
    assert (await terminal("restore", "kept.db", postgres_url))[0] == 0
    assert await log_of(postgres_url) == await log_of(source)
    assert (await terminal("restore", "kept.db", postgres_url))[0] == 0  # nothing is left to do
    await append(postgres_url, "counter-b", b"{}")
    code, printed, _ = await terminal("backup", postgres_url, "again.db", "--json")
    assert (code, json.loads(printed)["events"]) == (0, 4)
    assert await log_of(f"sqlite:///{tmp_path / 'again.db'}") == await log_of(postgres_url)
    await append(f"sqlite:///{tmp_path / 'kept.db'}", "other-1", b"{}")
    code, _, complained = await terminal("restore", "kept.db", postgres_url, "--force")
    assert code == 2
    assert "has events that are not in the other" in complained


async def test_what_is_ahead_of_a_restored_log_is_told(
    source: str, postgres_url: str, terminal: Terminal, tmp_path: Path
) -> None:
    assert (await terminal("backup", source, "kept.db"))[0] == 0
    async with connect(postgres_url) as store:  # its log was lost, and what was folded from it was not
        await store.work(lambda: do("insert into checkpoint (name, position) values ('sales_v1', 9)"))
    code, printed, _ = await terminal("restore", "kept.db", postgres_url)
    assert code == 0
    assert "Ahead of the log, which ends at 3: sales_v1 (at 9)." in printed
    code, printed, _ = await terminal("restore", "kept.db", postgres_url, "--json")
    assert json.loads(printed)["ahead"] == {"sales_v1": 9}


async def test_nothing_is_overwritten_unless_it_is_said(source: str, terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "kept.db").write_text("mine")
    code, _, complained = await terminal("backup", source, "kept.db")
    assert (code, "kept.db is there already" in complained) == (2, True)
    code, _, complained = await terminal("backup", source, "kept.db", "--force")
    assert (code, complained) == (2, "error: kept.db is not a SQLite file\n")
    assert (tmp_path / "kept.db").read_text() == "mine"
    (tmp_path / "kept.db").unlink()
    assert (await terminal("backup", source, "kept.db"))[0] == 0
    await append(source, "counter-b", b"{}")
    code, _, complained = await terminal("restore", "kept.db", source)
    assert (code, "is there already" in complained) == (2, True)
    async with connect(source) as store:
        code, _, complained = await terminal("restore", "kept.db", source, "--force")
        assert (code, "store.db open: stop it first" in complained) == (2, True)
        assert await store.head() == 4
    assert (await terminal("restore", "kept.db", source, "--force"))[0] == 0
    assert len(await log_of(source)) == 3
    assert (await terminal("backup", source, "store.db", "--force"))[0] == 2
    assert files_in(tmp_path) == ["kept.db", "store.db"]


async def test_what_is_damaged_is_neither_kept_nor_restored(source: str, terminal: Terminal, tmp_path: Path) -> None:
    assert (await terminal("backup", source, "kept.db"))[0] == 0
    damage(tmp_path / "store.db", "update event set data = x'31' where position = 2")
    code, _, complained = await terminal("backup", source, "other.db")
    assert (code, "event 2 of counter-a" in complained) == (1, True)
    damage(tmp_path / "kept.db", "update event set data = x'31' where position = 3")
    code, _, complained = await terminal("restore", "kept.db", "sqlite:///new.db")
    assert (code, "event 1 of counter-b" in complained) == (1, True)
    size = (tmp_path / "kept.db").stat().st_size
    with (tmp_path / "kept.db").open("r+b") as file:
        file.seek(size - 4096)
        file.write(b"\xff" * 4096)
    code, _, complained = await terminal("restore", "kept.db", "sqlite:///new.db")
    assert (code, printed_once(complained)) == (1, True)
    assert files_in(tmp_path) == ["kept.db", "store.db"]


def printed_once(complained: str) -> bool:
    return complained.startswith("error: ") and complained.count("\n") == 1


async def test_a_backup_that_was_killed_leaves_nothing_that_looks_whole(
    source: str, terminal: Terminal, tmp_path: Path
) -> None:
    async with connect(source) as store:
        for first in range(4, 20_000, 2_000):
            await store.adopt([adoptable(f"old-{number}", 1, number) for number in range(first, first + 2_000)])
    with started("backup", source, str(tmp_path / "kept.db")) as process:
        while not (tmp_path / "kept.db.partial").exists():
            assert process.poll() is None
            await asyncio.sleep(0.002)
        process.kill()
        process.wait()
    assert not (tmp_path / "kept.db").exists()
    assert (await terminal("backup", source, "kept.db"))[0] == 0
    assert len(await log_of(f"sqlite:///{tmp_path / 'kept.db'}")) == len(await log_of(source))
