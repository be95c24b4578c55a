"""The contract of views: folds in the transaction of an append."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from twofold.errors import Conflict, ProjectionFailed
from twofold.events import Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Work
from twofold.store import Store
from twofold.testing.contract_base import ContractBase, Seen, attached, happened, seen_by, several, whole


class ViewsContract(ContractBase):
    """Views and checkpoints change together with the log, each event once."""

    # --- folds in the transaction of an append ----------------------------------------------------------------------

    async def test_a_view_changes_with_the_append(self, store: Store) -> None:
        view = await seen_by(store)
        for size in (1, 3):
            receipt = await store.append("order-1", several(size), expected=None)
            assert await view.positions(store) == [recorded.position for recorded in await whole(store)]
            assert await store.checkpoint("seen") == receipt.position

    async def test_a_fold_is_given_what_it_missed(self, store: Store) -> None:
        await store.append("order-1", several(3), expected=0)
        view = await seen_by(store)
        assert await view.positions(store) == []
        await store.append("order-1", several(1), expected=3)
        await store.append("order-1", several(2), expected=4)
        assert await view.positions(store) == [recorded.position for recorded in await whole(store)]

    async def test_a_fold_begins_anew_after_a_reset(self, store: Store) -> None:
        view = await seen_by(store)
        await store.append("order-1", several(3), expected=0)
        await store.reset("seen", view.create)
        await store.append("order-1", several(1), expected=3)
        assert await view.positions(store) == [recorded.position for recorded in await whole(store)]

    async def test_what_stores_nothing_folds_nothing(self, store: Store) -> None:
        view = await seen_by(store)
        events = several(2)
        await store.append("order-1", events, expected=0)
        await store.append("order-1", events, expected=0)
        with pytest.raises(Conflict):
            await store.append("order-1", several(1), expected=0)
        await store.append("order-1", [], expected=None, idempotency=Idempotency("key", "request"))
        assert await view.positions(store) == [recorded.position for recorded in await whole(store)]

    async def test_an_append_fails_with_its_fold_and_leaves_nothing(self, store: Store) -> None:
        first_view, second_view = await seen_by(store, "first"), await seen_by(store, "second")
        first = await store.append("order-1", several(1), expected=0)
        asked = Idempotency("key", "request")
        with pytest.raises(ProjectionFailed) as caught:
            await store.append("order-1", [happened(), happened(type="Poison")], expected=1, idempotency=asked)
        assert caught.value.name in ("first", "second")
        assert isinstance(caught.value.__cause__, ValueError)
        assert [recorded.position for recorded in await whole(store)] == [first.position]
        assert await store.head() == first.position
        assert await store.recall("key") is None
        for view in (first_view, second_view):
            assert await view.positions(store) == [first.position]
            assert await store.checkpoint(view.name) == first.position
        receipt = await store.append("order-1", several(1), expected=1, idempotency=asked)
        for view in (first_view, second_view):
            assert await view.positions(store) == [first.position, receipt.position]

    async def test_a_fold_that_succeeded_is_undone_with_one_that_failed(self, store: Store) -> None:
        """Whichever of them the store runs first."""
        early, late = await seen_by(store, "early"), await seen_by(store, "late")

        def fail(events: Sequence[Recorded[bytes]]) -> Work[None]:
            yield early.query
            raise ValueError("this fold always fails")

        await attached(store, "middle", fail)
        store.attach("late", late.fold)
        with pytest.raises(ProjectionFailed) as caught:
            await store.append("order-1", several(1), expected=0)
        assert caught.value.name == "middle"
        for view in (early, late):
            assert await view.positions(store) == []
            assert await store.checkpoint(view.name) == 0
        assert await whole(store) == []

    async def test_a_fold_without_a_checkpoint_fails_the_append(self, store: Store) -> None:
        """It would fold the whole log into tables that are there, or that are another's by now."""
        view = Seen(store)
        await store.work(view.create)
        store.attach("seen", view.fold)
        for _ in range(2):
            with pytest.raises(ProjectionFailed, match="checkpoint") as caught:
                await store.append("order-1", several(1), expected=0)
            assert caught.value.name == "seen"
        assert await whole(store) == []
        assert await view.positions(store) == []
        await store.reset("seen", view.create)
        first = await store.append("order-1", several(1), expected=0)
        await store.promote("seen", view.fold, to="other", swap=view.drop)  # so it is given away
        with pytest.raises(ProjectionFailed, match="checkpoint"):
            await store.append("order-1", several(1), expected=1)
        assert [recorded.position for recorded in await whole(store)] == [first.position]

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
    async def test_a_fold_that_raises_an_exit_hangs_nobody(self, store: Store, error: type[BaseException]) -> None:
        """It runs where all appends run: nothing of a fold may end that."""
        seen = await seen_by(store)

        def leave(events: Sequence[Recorded[bytes]]) -> Work[None]:
            yield seen.query
            raise error

        await attached(store, "leave", leave)
        for _ in range(2):
            with pytest.raises(ProjectionFailed):
                await self.soon(store.append("order-1", several(1), expected=0))
        assert await whole(store) == []

    async def test_only_the_append_that_failed_fails(self, store: Store) -> None:
        """Wherever it stands among those that wait together."""
        view = await seen_by(store)
        for place in (0, 4, 9):
            types = ["Poison" if number == place else "Happened" for number in range(10)]
            appends = [
                store.append(f"order-{place}-{number}", [happened(), happened(type=type)], expected=0)
                for number, type in enumerate(types)
            ]
            outcomes = await self.soon(asyncio.gather(*appends, return_exceptions=True))
            for number, outcome in enumerate(outcomes):
                assert isinstance(outcome, ProjectionFailed if number == place else Receipt)
        log = await whole(store)
        assert len(log) == 3 * 9 * 2
        assert "Poison" not in {recorded.type for recorded in log}
        assert await view.positions(store) == [recorded.position for recorded in log]

    async def test_each_event_is_folded_once_in_order_under_many_appends(self, store: Store) -> None:
        attached, advanced = await seen_by(store, "attached"), Seen(store, "advanced")
        await store.reset("advanced", advanced.create)

        async def append(number: int) -> None:
            await store.append(f"order-{number % 7}", several(1 + number % 3), expected=None)
            await store.advance("advanced", advanced.fold, limit=3)
            await store.advance("attached", attached.fold, limit=3)

        await self.soon(asyncio.gather(*(append(number) for number in range(60))))
        await store.advance("advanced", advanced.fold, limit=1000)
        log = await whole(store)
        for view in (attached, advanced):
            assert await view.positions(store) == [recorded.position for recorded in log]
            assert await store.checkpoint(view.name) == log[-1].position
