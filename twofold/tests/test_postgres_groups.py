"""Group commit in the PostgreSQL store: what waits together is committed together, and each stands or falls alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from postgres_others import ask, held
from twofold.errors import Conflict, EventIdTaken, ProjectionFailed, RequestRefused, StatementFailed, StoreBusy
from twofold.events import Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Row, Run, Work
from twofold.stores.postgres import PostgresStore, driver, writer
from twofold.testing.contract_base import attached, happened, seen_by, several, whole
from twofold.testing.contract_history import check_log


class Batches:
    """A fold that notes how its events came."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def fold(self, events: Sequence[Recorded[bytes]]) -> Work[None]:
        self.seen.append([recorded.position for recorded in events])
        yield from ()


async def test_appends_that_wait_are_committed_together(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        batches = Batches()
        await attached(store, "batches", batches.fold)
        async with held(postgres_url):
            appends = [asyncio.create_task(store.append(f"order-{n}", several(2), expected=0)) for n in range(50)]
            await asyncio.sleep(0.05)
        await asyncio.gather(*appends)
        assert [len(batch) for batch in batches.seen] == [100]


async def test_appends_without_a_fold_that_wait_are_one_transaction(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        async with held(postgres_url):
            appends = [asyncio.create_task(store.append(f"order-{n}", several(2), expected=0)) for n in range(50)]
            await asyncio.sleep(0.05)
        await asyncio.gather(*appends)
        assert await ask(postgres_url, "select count(distinct xmin::text) from event") == [(1,)]


@pytest.mark.parametrize("inline", [False, True])
async def test_each_of_a_group_stands_or_falls_alone(postgres_url: str, inline: bool) -> None:
    async with PostgresStore(postgres_url) as store:
        view = await seen_by(store) if inline else None
        taken, asked, refused = happened(), Idempotency("asked", "request"), Idempotency("refused", "request")
        first = await store.append("taken", [taken], expected=0, idempotency=asked)
        await store.refuse(refused, b"no")
        async with held(postgres_url):
            calls = [
                *(store.append(f"good-{n}", several(2), expected=0) for n in range(3)),
                store.append("half", [happened(), taken], expected=0),
                store.append("good-3", several(2), expected=None),
                store.append("late", several(1), expected=7),
                store.append("again", several(1), expected=0, idempotency=asked),
                store.append("never", several(1), expected=0, idempotency=refused),
                store.append("twice", [taken, taken], expected=0),
                store.append("taken", [], expected=1, idempotency=Idempotency("nothing", "request")),
                store.append("good-4", several(2), expected=0, idempotency=Idempotency("new", "request")),
            ]
            tasks = [asyncio.create_task(call) for call in calls]
            await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        good = [Receipt] * 3
        assert kinds == [
            *good,
            EventIdTaken,
            Receipt,
            Conflict,
            Receipt,
            RequestRefused,
            EventIdTaken,
            Receipt,
            Receipt,
        ]
        assert outcomes[6] == Receipt("taken", 1, first.position, repeated=True)
        assert outcomes[9] == Receipt("taken", 1, first.position)
        log = await whole(store)
        check_log(log)
        assert {recorded.stream for recorded in log} == {"taken", *(f"good-{n}" for n in range(5))}
        assert [recorded.position for recorded in log] == list(range(1, 12))
        if view is not None:
            assert await view.positions(store) == list(range(1, 12))


async def test_those_that_share_something_come_one_after_the_other_in_order(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        async with held(postgres_url):
            tasks = [
                asyncio.create_task(store.append(f"order-{n % 3}", several(1), expected=n // 3)) for n in range(12)
            ]
            await asyncio.sleep(0.05)
        assert [(await task).version for task in tasks] == [n // 3 + 1 for n in range(12)]


async def test_too_many_that_wait_are_refused_at_once(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_LIMIT", 5)
    async with PostgresStore(postgres_url) as store:
        async with held(postgres_url):
            first = asyncio.create_task(store.append("first", several(1), expected=0))
            await asyncio.sleep(0.05)
            appends = [asyncio.create_task(store.append(f"order-{n}", several(1), expected=0)) for n in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(StoreBusy):
                await store.append("order-5", several(1), expected=0)
        assert len(await asyncio.gather(first, *appends)) == len(await whole(store)) == 6


async def test_only_the_append_that_cannot_be_stored_fails(postgres_url: str) -> None:
    """A name that no index takes: the group is halved until it stands alone."""
    name = "".join(chr(0x4E00 + 7919 * n % 20_000) for n in range(4_000))
    async with PostgresStore(postgres_url) as store:
        async with held(postgres_url):
            tasks = [asyncio.create_task(store.append(f"order-{n}", several(1), expected=0)) for n in range(9)]
            tasks.insert(4, asyncio.create_task(store.append(name, several(1), expected=0)))
            await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes.pop(4), StatementFailed)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)


async def test_a_work_that_stops_an_iteration_says_so(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:

        def stopped() -> Work[None]:
            raise StopIteration

        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(store.work(stopped), 5)


async def test_a_fold_that_fails_is_told_to_end(postgres_url: str) -> None:
    """What it has opened itself must not wait for the garbage collector."""
    async with PostgresStore(postgres_url) as store:
        ended = False

        def wrong() -> Work[None]:
            nonlocal ended
            try:
                yield Run("this is no SQL")
            finally:
                ended = True

        with pytest.raises(StatementFailed):
            await store.work(wrong)
        assert ended


async def test_a_fold_far_behind_is_caught_up_in_short_transactions(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CATCH_UP", 10)
    async with PostgresStore(postgres_url) as without, PostgresStore(postgres_url) as store:
        batches = Batches()
        await attached(store, "batches", batches.fold)
        for number in range(35):
            await without.append(f"other-{number}", several(1), expected=0)
        await store.append("order-1", several(2), expected=0)
        assert [position for batch in batches.seen for position in batch] == list(range(1, 38))
        assert max(len(batch) for batch in batches.seen) == 10
        assert await store.checkpoint("batches") == 37


@pytest.mark.parametrize("catch_up", [1, 1000])
async def test_a_fold_that_cannot_pass_an_event_of_another_process_is_told_by_the_check(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, catch_up: int
) -> None:
    monkeypatch.setattr(writer, "CATCH_UP", catch_up)
    async with PostgresStore(postgres_url) as without, PostgresStore(postgres_url) as store:
        known = 0

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            if known < len(events):
                raise ValueError("an event of tomorrow")
            yield from ()

        await attached(store, "picky", fold)
        await without.append("other-1", several(3), expected=0)
        await store.check()
        outcomes = await asyncio.gather(
            *(store.append(f"order-{n}", several(1), expected=0) for n in range(9)), return_exceptions=True
        )
        assert all(isinstance(outcome, ProjectionFailed) for outcome in outcomes)
        with pytest.raises(ProjectionFailed):
            await store.check()
        known = 4
        await store.append("order-1", several(1), expected=0)
        await store.check()


async def test_a_view_that_is_promoted_among_appends_misses_nothing(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        view = await seen_by(store)
        for opening in (store, other):
            opening.attach("seen", view.fold)
        new = Batches()
        done = asyncio.Event()

        async def append(opening: PostgresStore, name: str) -> None:
            version = 0
            while not done.is_set():
                version = (await opening.append(name, several(2), expected=version)).version

        def nothing() -> Work[None]:
            yield from ()

        writing = asyncio.gather(append(store, "one"), append(other, "two"))
        for number in range(5):
            await asyncio.sleep(0.02)
            name = f"new-{number}"
            await store.reset(name, nothing)
            progress = await store.promote(name, new.fold, to=f"to-{number}", swap=nothing, limit=5)
            while progress.position < progress.head:
                progress = await store.promote(name, new.fold, to=f"to-{number}", swap=nothing, limit=1000)
        done.set()
        await writing
        log = await whole(store)
        assert await view.positions(store) == [recorded.position for recorded in log]
        seen = [position for batch in new.seen for position in batch]
        assert seen[: seen.index(1, 1)] == list(range(1, seen.index(1, 1) + 1))


async def test_a_fold_that_is_attached_in_the_middle_of_an_append_misses_nothing(postgres_url: str) -> None:
    async with PostgresStore(postgres_url) as store:
        second = Batches()
        await store.reset("second", iter_nothing, only_new=True)

        def attaching(_events: Sequence[Recorded[bytes]]) -> Work[None]:
            store.attach("second", second.fold)
            yield from ()

        await attached(store, "first", attaching)
        for number in range(3):
            await store.append("order-1", [happened()], expected=number)
        assert [position for batch in second.seen for position in batch] == [1, 2, 3]


def iter_nothing() -> Work[None]:
    """Work that does nothing."""
    yield from ()


async def test_a_plan_that_a_changed_table_makes_invalid_is_not_seen(postgres_url: str) -> None:
    """A statement is kept with the columns that it had."""
    async with PostgresStore(postgres_url) as store:

        def make(kind: str, *values: object) -> Work[None]:
            yield Run("drop table if exists kept")
            yield Run(f"create table kept (value {kind})")
            yield Run("insert into kept values ($1)", [(value,) for value in values])

        query = Fetch("select * from kept")

        def read() -> Work[list[Row]]:
            return (yield query)

        for kind, *values in (("integer", 1), ("text", "two"), ("integer", 1, 2), ("text", "one", "two")):
            await store.work(partial(make, kind, *values))
            for _ in range(8):  # whichever connection is used, it keeps the statements
                kept = [(value,) for value in values]
                assert await asyncio.gather(*(store.work(read) for _ in range(8))) == [kept] * 8
                assert await asyncio.gather(*(store.rows(query) for _ in range(8))) == [kept] * 8
            with pytest.raises(StatementFailed):
                await store.work(partial(make, kind, b"neither", b"nor"))


async def test_groups_wait_for_the_lock_a_bounded_time(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOCK_SECONDS", 0.2)
    async with PostgresStore(postgres_url) as store:
        async with held(postgres_url):
            with pytest.raises(StoreBusy):
                await asyncio.wait_for(store.append("order-1", several(1), expected=0), 3)
        await store.append("order-1", several(1), expected=0)
