"""Group commit in the SQLite store: what waits together is committed together, and each stands or falls alone."""

import asyncio
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from twofold.errors import (
    Conflict,
    EventIdTaken,
    ProjectionFailed,
    StoreBusy,
    TwofoldError,
)
from twofold.events import Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Run, Work
from twofold.stores.sqlite import SqliteStore, inline, writer
from twofold.testing.contract_base import attached, happened, seen_by, several, whole
from twofold.testing.contract_history import check_log


class Held:
    """Holds the writer in a transaction of its own, so that whatever is asked meanwhile becomes one group."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._begun, self._go_on = Event(), Event()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._store.work(self._hold))
        assert await asyncio.to_thread(self._begun.wait, 10)

    async def __aexit__(self, *_: object) -> None:
        self._go_on.set()
        await self._task

    def _hold(self) -> Work[None]:
        self._begun.set()
        self._go_on.wait(10)
        yield Fetch("select 1")


async def test_appends_that_wait_are_committed_together(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        batches: list[int] = []

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            batches.append(len(events))
            yield from ()

        await attached(store, "batches", fold)
        async with Held(store):
            appends = [asyncio.create_task(store.append(f"order-{n}", several(2), expected=0)) for n in range(50)]
            await asyncio.sleep(0)
        await asyncio.gather(*appends)
        assert batches == [100]


async def test_each_of_a_group_stands_or_falls_alone(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        view = await seen_by(store)
        taken = happened()
        await store.append("taken", [taken], expected=0)

        def fail() -> Work[None]:
            yield from view.write(1000)
            raise LookupError("no more")

        async with Held(store):
            good = [asyncio.create_task(store.append(f"good-{n}", several(2), expected=0)) for n in range(3)]
            half = asyncio.create_task(store.append("half", [happened(), taken], expected=0))
            good.append(asyncio.create_task(store.append("good-3", several(2), expected=0)))
            poison = asyncio.create_task(store.append("poison", [happened(), happened(type="Poison")], expected=0))
            broken = asyncio.create_task(store.work(fail))
            good.append(asyncio.create_task(store.append("good-4", several(2), expected=0)))
            refusal = asyncio.create_task(store.refuse(Idempotency("key", "request"), b"no"))
            await asyncio.sleep(0)
        assert all(isinstance(receipt, Receipt) for receipt in await asyncio.gather(*good))
        with pytest.raises(EventIdTaken):
            await half
        with pytest.raises(ProjectionFailed):
            await poison
        with pytest.raises(LookupError):
            await broken
        assert await store.recall("key") == await refusal
        log = await whole(store)
        check_log(log)
        assert {recorded.stream for recorded in log} == {"taken", *(f"good-{n}" for n in range(5))}
        assert [recorded.position for recorded in log] == list(range(1, 12))
        assert await view.positions(store) == list(range(1, 12))


async def test_appends_of_one_turn_of_the_loop_are_one_group(tmp_path: Path) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the writer's thread runs as soon as it has something to do
    try:
        async with SqliteStore(tmp_path / "store.db") as store:
            await asyncio.gather(*(store.append(f"order-{n}", several(1), expected=0) for n in range(50)))
            groups = store.statistics.read().groups
    finally:
        sys.setswitchinterval(usual)
    assert (groups.count, groups.sum) == (1, 50)


async def test_more_than_a_group_holds_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_LIMIT", 20)
    async with SqliteStore(tmp_path / "store.db") as store:
        await asyncio.gather(*(store.append(f"order-{n}", several(1), expected=0) for n in range(50)))
        assert store.statistics.read().groups.count == 3
        assert len(await whole(store)) == 50


async def test_appends_that_were_given_up_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_LIMIT", 6)  # with the one that holds the writer
    async with SqliteStore(tmp_path / "store.db") as store:
        appends: list[asyncio.Task[Receipt]] = []
        for given_up in (True, False):
            async with Held(store):
                appends = [asyncio.create_task(store.append(f"order-{n}", several(1), expected=0)) for n in range(5)]
                await asyncio.sleep(0)
                if given_up:
                    for append in appends:
                        append.cancel()
                    await asyncio.wait(appends)
        assert len(await asyncio.gather(*appends)) == len(await whole(store)) == 5


async def test_what_is_submitted_in_the_turn_of_the_close_is_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    async with store:
        append = asyncio.ensure_future(store.append("order-1", several(1), expected=0))
        await asyncio.sleep(0)  # it is submitted, and not yet handed over
    assert (await append).version == 1


async def test_a_view_that_is_promoted_among_appends_misses_nothing(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        view = await seen_by(store)
        async with Held(store):
            tasks = [asyncio.create_task(store.append("order-1", several(2), expected=None)) for _ in range(2)]
            reached = asyncio.create_task(store.advance("seen", view.fold, limit=100))
            tasks += [asyncio.create_task(store.append("order-1", several(2), expected=None)) for _ in range(2)]
            last = asyncio.create_task(store.advance("seen", view.fold, limit=100))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert ((await reached).position, (await last).position) == (4, 8)
        assert await view.positions(store) == list(range(1, 9))


async def test_too_many_that_wait_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_LIMIT", 6)  # with the one that holds the writer
    async with SqliteStore(tmp_path / "store.db") as store:
        async with Held(store):
            appends = [asyncio.create_task(store.append(f"order-{n}", several(1), expected=0)) for n in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(StoreBusy):
                await store.append("order-5", several(1), expected=0)
        assert len(await asyncio.gather(*appends)) == len(await whole(store)) == 5


async def test_a_statement_that_is_wrong_harms_no_other(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:

        def wrong() -> Work[None]:
            yield Fetch("select * from nowhere")

        async with Held(store):
            failing = asyncio.create_task(store.work(wrong))
            append = asyncio.create_task(store.append("order-1", several(1), expected=0))
            await asyncio.sleep(0)
        with pytest.raises(TwofoldError):
            await failing
        assert (await append).version == 1
        with pytest.raises(TwofoldError):
            await store.rows(Fetch("select * from nowhere"))


async def test_a_work_that_stops_an_iteration_hangs_nobody(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:

        def stopped() -> Work[None]:
            raise StopIteration

        async with Held(store):
            failing = asyncio.create_task(store.work(stopped))
            append = asyncio.create_task(store.append("order-1", several(1), expected=0))
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(failing, 5)
        assert (await asyncio.wait_for(append, 5)).version == 1


async def test_a_fold_far_behind_is_caught_up_in_short_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "CATCH_UP", 10)
    async with SqliteStore(tmp_path / "store.db") as without, SqliteStore(tmp_path / "store.db") as store:
        batches: list[list[int]] = []

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            batches.append([recorded.position for recorded in events])
            yield from ()

        await attached(store, "batches", fold)
        for number in range(35):
            await without.append(f"other-{number}", several(1), expected=0)
        await store.append("order-1", several(2), expected=0)
        assert [position for batch in batches for position in batch] == list(range(1, 38))
        assert max(len(batch) for batch in batches) == 10
        assert await store.checkpoint("batches") == 37


async def test_a_fold_whose_checkpoint_is_gone_is_told_by_the_check(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        view = await seen_by(store)
        await store.append("order-1", several(1), expected=0)
        await store.work(partial(forgotten, "seen"))
        with pytest.raises(ProjectionFailed, match="no checkpoint"):
            await store.append("order-1", several(1), expected=1)
        with pytest.raises(ProjectionFailed):
            await store.check()
        await store.reset("seen", view.create)
        await store.append("order-1", several(1), expected=1)
        await store.check()
        assert await view.positions(store) == [1, 2]


def forgotten(name: str) -> Work[None]:
    yield Run("delete from checkpoint where name = ?", [(name,)])


@pytest.mark.parametrize("catch_up", [1, 1000])
async def test_a_fold_that_cannot_pass_an_event_of_another_process_is_told_by_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catch_up: int
) -> None:
    monkeypatch.setattr(inline, "CATCH_UP", catch_up)
    async with SqliteStore(tmp_path / "store.db") as without, SqliteStore(tmp_path / "store.db") as store:
        known = 0

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            if known < len(events):
                raise ValueError("an event of tomorrow")
            yield from ()

        await attached(store, "picky", fold)
        await without.append("other-1", several(3), expected=0)
        await store.check()
        with pytest.raises(ProjectionFailed):
            await store.append("order-1", several(1), expected=0)
        lengths = [len(list(traceback.walk_tb((await refused(store)).__traceback__))) for _ in range(3)]
        assert lengths[0] == lengths[2], "each who asks leaves his traces in the error"
        known = 4
        await store.append("order-1", several(1), expected=0)
        await store.check()


async def refused(store: SqliteStore) -> ProjectionFailed:
    with pytest.raises(ProjectionFailed) as caught:
        await store.check()
    return caught.value


async def test_a_fold_that_refuses_an_append_behind_events_of_another_process_is_not_stuck(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as without, SqliteStore(tmp_path / "store.db") as store:
        view = await seen_by(store)
        await without.append("other-1", several(2), expected=0)
        with pytest.raises(ProjectionFailed):
            await store.append("order-1", [happened(type="Poison")], expected=0)
        await store.check()
        await store.append("order-1", several(1), expected=0)
        assert await view.positions(store) == [1, 2, 3]


async def test_what_is_remembered_of_streams_is_given_up_where_another_process_appends(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as store, SqliteStore(path) as other:
        await store.append("a", several(1), expected=0)
        await other.append("a", several(1), expected=1)
        await other.append("b", several(1), expected=0)
        for stream, expected, actual in (("a", 1, 2), ("b", 0, 1)):
            with pytest.raises(Conflict) as conflict:
                await store.append(stream, several(1), expected=expected)
            assert conflict.value.actual == actual
        assert await store.append("b", several(2), expected=None) == Receipt("b", 3, 5)
        assert await other.append("b", several(1), expected=3) == Receipt("b", 4, 6)
        check_log(await whole(store))


async def test_a_stream_that_is_wrongly_taken_for_new_disturbs_nobody(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        first = several(2)
        await store.append("old", first, expected=0)
    async with SqliteStore(tmp_path / "store.db") as store:  # it remembers nothing of it
        async with Held(store):
            good = [asyncio.create_task(store.append(f"good-{n}", several(2), expected=0)) for n in range(3)]
            again = asyncio.create_task(store.append("old", several(1), expected=0))
            repeated = asyncio.create_task(store.append("old", first, expected=0))
            behind = asyncio.create_task(store.append("good-1", several(1), expected=2))
            await asyncio.sleep(0)
        assert [(await task).position for task in good] == [4, 6, 8]
        with pytest.raises(Conflict):
            await again
        assert await repeated == Receipt("old", 2, 2, repeated=True)
        assert await behind == Receipt("good-1", 3, 9)
        check_log(await whole(store))


async def test_nothing_is_remembered_of_what_was_rolled_back(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        await seen_by(store)
        await store.append("order-1", several(1), expected=0)
        with pytest.raises(ProjectionFailed):
            await store.append("order-1", [happened(type="Poison")], expected=1)
        assert await store.append("order-1", several(1), expected=1) == Receipt("order-1", 2, 2)
