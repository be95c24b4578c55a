"""The contract between several openings of one store: one after the other, and at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from uuid_utils.compat import uuid7

from twofold.errors import Conflict, IdempotencyKeyReused, ProjectionFailed, RequestRefused, StoreClosed
from twofold.events import Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fetch, Work
from twofold.store import Snapshot, Store
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import (
    ContractBase,
    Seen,
    attached,
    events_of,
    happened,
    seen_by,
    several,
    whole,
)
from twofold.testing.contract_concurrency import write
from twofold.testing.contract_history import History

OPENINGS = 3


class OpeningsContract(ContractBase):
    """A store is closed and opened again, and is used through several openings at once."""

    # --- closed -----------------------------------------------------------------------------------------------------

    async def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            view = await seen_by(store)
            await store.append("order-1", several(1), expected=0)
        asked = Idempotency("key", "request")

        async def attach() -> None:
            store.attach("seen", view.fold)

        def kept(position: int | None) -> Work[int | None]:
            yield from view.drop()
            return position

        async def id_of() -> None:
            _ = store.id

        async def moment() -> None:
            async with store.moment():
                pass

        calls: Sequence[Callable[[], Awaitable[object]]] = (
            lambda: store.append("order-1", several(1), expected=None),
            lambda: events_of(store, "order-1"),
            lambda: whole(store),
            store.head,
            lambda: store.find(uuid7()),
            lambda: store.adopt([adoptable("order-2", 1, 9)]),
            lambda: store.adopt([]),
            id_of,
            lambda: store.wait_appended(after=0),
            lambda: store.wait_appended(after=10),
            lambda: store.recall("key"),
            lambda: store.refuse(asked, b""),
            lambda: store.load_snapshot("order-1"),
            lambda: store.save_snapshot("order-1", Snapshot(1, 1, 1, b"")),
            attach,
            lambda: store.advance("seen", view.fold, limit=1),
            lambda: store.reset("seen", view.create),
            lambda: store.replace_checkpoint("seen", kept),
            lambda: store.promote("seen", view.fold, to="other", swap=view.create),
            lambda: store.checkpoint("seen"),
            lambda: store.work(view.create),
            lambda: store.rows(view.query),
            lambda: store.scan(view.query),
            moment,
        )
        for call in calls:
            with pytest.raises(StoreClosed):
                await self.soon(call())

    async def test_who_waits_for_an_append_hears_that_the_store_is_closed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            waiting = asyncio.create_task(store.wait_appended(after=0))
            await asyncio.sleep(0.01)
        with pytest.raises(StoreClosed):
            await self.soon(waiting)

    async def test_what_was_asked_before_closing_is_answered(self, tmp_path: Path) -> None:
        history = History()
        async with self.open(tmp_path) as store:
            appends = [
                asyncio.create_task(history.append(store, f"order-{number}", several(2), expected=0))
                for number in range(50)
            ]
            await asyncio.sleep(0)
        await self.soon(asyncio.gather(*appends))
        assert len(history.acknowledged) == 50
        if self.durable:
            async with self.open(tmp_path) as again:
                history.check(await whole(again))

    # --- opened again -----------------------------------------------------------------------------------------------

    async def test_all_that_was_stored_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        self._durable()
        asked, refused = Idempotency("key", "request"), Idempotency("refused", "request")
        events = several(3)
        async with self.open(tmp_path) as store:
            view = await seen_by(store)
            first = await store.append("order-1", events, expected=0)
            await store.append("order-2", several(2), expected=0, idempotency=asked)
            await store.refuse(refused, b"no")
            await store.save_snapshot("order-1", Snapshot(3, first.position, 1, b"state"))
            log, rows = await whole(store), await view.positions(store)
        async with self.open(tmp_path) as store:
            assert await whole(store) == log
            assert await store.head() == log[-1].position
            assert await store.append("order-1", events, expected=0) == Receipt(
                "order-1", 3, first.position, repeated=True
            )
            again = await store.append("order-2", several(2), expected=0, idempotency=asked)
            assert again == Receipt("order-2", 2, log[-1].position, repeated=True)
            with pytest.raises(IdempotencyKeyReused):
                await store.append("order-2", several(1), expected=2, idempotency=Idempotency("key", "other"))
            with pytest.raises(RequestRefused):
                await store.append("order-3", several(1), expected=0, idempotency=refused)
            with pytest.raises(Conflict) as caught:
                await store.append("order-1", several(1), expected=0)
            assert caught.value.actual == 3
            assert await store.load_snapshot("order-1") == Snapshot(3, first.position, 1, b"state")
            assert await store.checkpoint("seen") == log[-1].position
            assert await view.positions(store) == rows
            receipt = await store.append("order-1", several(1), expected=3)
            assert receipt.position > log[-1].position

    async def test_the_id_of_a_log_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        self._durable()
        async with self.open(tmp_path) as store:
            id = store.id
            await store.append("order-1", several(1), expected=0)
        for _ in range(2):
            async with self.open(tmp_path) as store:
                assert store.id == id

    # --- several at once --------------------------------------------------------------------------------------------

    async def test_each_opening_sees_what_the_others_did(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            one, other = await self._openings(stack, tmp_path, 2)
            events, asked = several(2), Idempotency("key", "request")
            first = await one.append("order-1", events, expected=0, idempotency=asked)
            assert await other.head() == first.position
            assert await whole(other) == await whole(one)
            assert (await other.append("order-1", events, expected=0)).repeated
            assert (await other.append("order-9", several(1), expected=0, idempotency=asked)).repeated
            with pytest.raises(Conflict) as caught:
                await other.append("order-1", several(1), expected=0)
            assert caught.value.actual == 2
            second = await other.append("order-1", several(1), expected=2)
            assert second.position > first.position
            assert (await one.append("order-1", several(1), expected=3)).version == 4
            assert one.id == other.id
            assert await one.find(events[1].id) == await other.find(events[1].id) == (await whole(one))[1]

    async def test_an_append_of_another_opening_wakes_who_waits(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            one, other = await self._openings(stack, tmp_path, 2)
            for version in range(3):
                waiting = asyncio.create_task(one.wait_appended(after=await one.head()))
                await asyncio.sleep(0.01)
                await other.append("order-1", several(1), expected=version)
                await self.soon(waiting)

    async def test_a_fold_is_given_what_another_opening_appended(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            one, other = await self._openings(stack, tmp_path, 2)
            view = await seen_by(one)
            for version in range(0, 9, 3):
                await one.append("order-1", several(1), expected=version)
                await other.append("order-1", several(2), expected=version + 1)
            await one.append("order-1", several(1), expected=9)
            log = await whole(one)
            assert await view.positions(one) == [recorded.position for recorded in log]
            assert await other.checkpoint("seen") == log[-1].position

    async def test_the_check_tells_a_fold_that_is_stuck_until_it_is_not(self, tmp_path: Path) -> None:
        """Nobody sends appends to a service that says it is not ready: it must find out without one."""
        async with AsyncExitStack() as stack:
            one, other = await self._openings(stack, tmp_path, 2)
            view = await seen_by(one)
            await other.append("order-1", [happened(type="Poison")], expected=0)
            for ask in (partial(one.append, "order-2", several(1), expected=0), one.check, one.check):
                with pytest.raises(ProjectionFailed):
                    await ask()

            def mended(events: Sequence[Recorded[bytes]]) -> Work[None]:
                yield from view.write(*(recorded.position for recorded in events))

            one.attach("seen", mended)
            await one.check()
            assert await view.positions(one) == [1]
            await one.append("order-2", several(1), expected=0)
            assert await view.positions(one) == [1, 2]

    async def test_one_of_many_openings_wins_each_version(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            stores = await self._openings(stack, tmp_path, OPENINGS)
            for version in range(10):
                appends = [store.append("order-1", several(1), expected=version) for store in stores for _ in range(5)]
                outcomes = await self.soon(asyncio.gather(*appends, return_exceptions=True))
                assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
                assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == len(appends) - 1

    async def test_each_opening_can_follow_what_all_of_them_write(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            stores = await self._openings(stack, tmp_path, OPENINGS)
            views = [await seen_by(store) for store in stores]
            history = History()
            followers = [asyncio.create_task(history.follow(store)) for store in stores]
            writers = [write(stores[number % OPENINGS], history, number) for number in range(4 * OPENINGS)]
            await self.soon(asyncio.gather(*writers))
            await history.end(stores[0])
            await self.soon(asyncio.gather(*followers))
            log = await whole(stores[0])
            history.check(log)
            assert await views[0].positions(stores[0]) == [recorded.position for recorded in log]

    async def test_nothing_comes_in_below_a_position_that_was_read(self, tmp_path: Path) -> None:
        """One append is held inside its transaction while another sets out, and the log is read."""
        async with AsyncExitStack() as stack:
            slow, quick, reader = await self._openings(stack, tmp_path, 3)
            begun, go_on = Event(), Event()

            def hold(events: Sequence[Recorded[bytes]]) -> Work[None]:
                begun.set()
                end = time.monotonic() + 5
                while not go_on.is_set() and time.monotonic() < end:
                    yield Fetch("select 1")  # a store whose folds run on the event loop lets others run here
                    time.sleep(0.002)

            await attached(slow, "hold", hold)
            held = asyncio.create_task(slow.append("held", several(2), expected=0))
            assert await asyncio.to_thread(begun.wait, self.patience)
            hurried = asyncio.create_task(quick.append("hurried", several(1), expected=0))
            await asyncio.wait([hurried], timeout=0.25)  # it may have to wait for the first, or be done before it
            read = await whole(reader)
            go_on.set()
            await self.soon(asyncio.gather(held, hurried))
            assert "held" not in {recorded.stream for recorded in read}, "it was read before it was committed"
            log = await whole(reader)
            assert read == log[: len(read)], "an append came in below a position that had been read"
            assert len(log) == 3

    async def test_of_many_openings_one_makes_the_view(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            stores = await self._openings(stack, tmp_path, OPENINGS)
            view = Seen(stores[0])

            def create() -> Work[None]:
                yield from view.create()
                yield from view.write(1)

            await self.soon(asyncio.gather(*(store.reset("seen", create, only_new=True) for store in stores)))
            await stores[0].append("order-1", several(1), expected=0)
            await stores[0].advance("seen", view.fold, limit=1)
            await stores[1].reset("seen", create, only_new=True)
            assert len(await view.positions(stores[1])) == 2

    async def test_works_of_many_openings_do_not_mix(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            stores = await self._openings(stack, tmp_path, OPENINGS)
            view = Seen(stores[0])
            await stores[0].work(view.create)
            await stores[0].work(partial(view.write, 1))

            def count() -> Work[None]:
                yield view.lock  # the first row; where there are several writers, it keeps the others off
                rows = yield view.query
                yield from view.write(len(rows) + 1)

            await self.soon(asyncio.gather(*(store.work(count) for store in stores for _ in range(10))))
            assert await view.positions(stores[0]) == list(range(1, 10 * OPENINGS + 2))

    async def test_one_opening_replaces_the_checkpoint_that_another_left(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            stores = await self._openings(stack, tmp_path, OPENINGS)

            def count(position: int | None) -> Work[int | None]:
                yield Fetch("select 1")
                return (position or 0) + 1

            await self.soon(
                asyncio.gather(*(store.replace_checkpoint("seen", count) for store in stores for _ in range(10)))
            )
            assert await stores[0].checkpoint("seen") == 10 * OPENINGS

    async def test_a_moment_does_not_move_with_another_opening(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            one, other = await self._openings(stack, tmp_path, 2)
            view = await seen_by(one)
            async with other.moment() as moment:
                receipt = await self.soon(one.append("order-1", several(1), expected=0))
                assert await moment.scan(view.query) == []
                assert await moment.checkpoint("seen") == 0
            async with other.moment() as moment:
                assert await moment.scan(view.query) == [(receipt.position,)]

    # ----------------------------------------------------------------------------------------------------------------

    def _durable(self) -> None:
        if not self.durable:
            pytest.skip("this store is not durable")

    async def _openings(self, stack: AsyncExitStack, place: Path, count: int) -> list[Store]:
        if not self.shared:
            pytest.skip("this store is not shared")
        return [await stack.enter_async_context(self.open(place)) for _ in range(count)]
