"""The contract of views: folds in transactions of their own, and work of any kind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from twofold.errors import ProjectionFailed, StatementFailed
from twofold.events import Recorded
from twofold.sql import Fetch, Work
from twofold.store import Progress, Store
from twofold.testing.contract_base import ContractBase, Seen, attached, happened, seen_by, several, whole


class WorkContract(ContractBase):
    """What is done beside the appends: all of it or nothing, at one moment."""

    # --- folds of their own -----------------------------------------------------------------------------------------

    async def test_a_fold_advances_step_by_step(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        await store.append("order-1", several(5), expected=0)
        positions = [recorded.position for recorded in await whole(store)]
        for step in (2, 4, 5, 5):
            progress = await store.advance("seen", view.fold, limit=2)
            assert progress == Progress(positions[step - 1], positions[-1])
            assert await store.checkpoint("seen") == positions[step - 1]
            assert await view.positions(store) == positions[:step]

    async def test_a_fold_without_a_checkpoint_does_not_advance(self, store: Store) -> None:
        """It would fold the whole log once more into tables that are there, or that are another's by now."""
        view = Seen(store)
        await store.work(view.create)
        await store.append("order-1", several(3), expected=0)
        for limit in (0, 2):
            with pytest.raises(ProjectionFailed, match="no checkpoint"):
                await store.advance("seen", view.fold, limit=limit)
            with pytest.raises(ProjectionFailed, match="no checkpoint"):
                await store.promote("seen", view.fold, to="other", swap=view.drop, limit=limit)
        assert await view.positions(store) == []
        assert [await store.checkpoint(name) for name in ("seen", "other")] == [None, None]

    async def test_no_limit_of_a_step_is_too_low_or_too_high(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        await store.append("order-1", several(3), expected=0)
        positions = [recorded.position for recorded in await whole(store)]
        for limit in (-1, -(2**63) - 1, 0):
            assert await store.advance("seen", view.fold, limit=limit) == Progress(0, positions[-1])
            assert await view.positions(store) == []
        assert await store.advance("seen", view.fold, limit=2**63) == Progress(positions[-1], positions[-1])
        assert await view.positions(store) == positions

    async def test_a_fold_that_fails_stays_where_it_was(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        await store.append("order-1", [happened(), happened(), happened(type="Poison")], expected=0)
        positions = [recorded.position for recorded in await whole(store)]
        await store.advance("seen", view.fold, limit=1)
        with pytest.raises(ProjectionFailed) as caught:
            await store.advance("seen", view.fold, limit=2)
        assert caught.value.name == "seen"
        assert await view.positions(store) == positions[:1]
        assert await store.checkpoint("seen") == positions[0]
        with pytest.raises(ProjectionFailed):
            await store.promote("seen", view.fold, to="other", swap=view.create)
        assert await view.positions(store) == positions[:1]
        assert [await store.checkpoint(name) for name in ("seen", "other")] == [positions[0], None]

    async def test_a_reset_runs_its_work_and_goes_back_to_0(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        assert await store.checkpoint("seen") == 0
        await store.append("order-1", several(2), expected=0)
        await store.advance("seen", view.fold, limit=10)
        await store.reset("seen", view.create)
        assert await store.checkpoint("seen") == 0
        assert await view.positions(store) == []

    async def test_a_reset_of_only_the_new_leaves_what_is_there(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create, only_new=True)
        assert await store.checkpoint("seen") == 0
        await store.append("order-1", several(2), expected=0)
        progress = await store.advance("seen", view.fold, limit=10)
        await store.reset("seen", view.create, only_new=True)
        assert await store.checkpoint("seen") == progress.position
        assert len(await view.positions(store)) == 2

    async def test_a_reset_that_fails_leaves_all_as_it_was(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        await store.append("order-1", several(2), expected=0)
        progress = await store.advance("seen", view.fold, limit=10)
        with pytest.raises(LookupError):
            await store.reset("seen", partial(_then_fail, view))
        assert await store.checkpoint("seen") == progress.position
        assert len(await view.positions(store)) == 2

    async def test_a_promotion_folds_the_rest_and_hands_the_checkpoint_over(self, store: Store) -> None:
        old, new = await seen_by(store, "old"), Seen(store, "new")
        await store.append("order-1", several(2), expected=0)
        await store.reset("new", new.create)
        await store.advance("new", new.fold, limit=1)
        await store.append("order-1", several(2), expected=2)
        positions = [recorded.position for recorded in await whole(store)]
        progress = await store.promote("new", new.fold, to="old", swap=old.drop)
        assert progress == Progress(positions[-1], positions[-1])
        assert await new.positions(store) == positions
        assert await store.checkpoint("new") is None
        assert await store.checkpoint("old") == positions[-1]
        store.attach("old", new.fold)
        receipt = await store.append("order-1", several(1), expected=4)
        assert await new.positions(store) == [*positions, receipt.position]

    async def test_a_promotion_that_fails_leaves_all_as_it_was(self, store: Store) -> None:
        view = Seen(store)
        await store.reset("seen", view.create)
        await store.append("order-1", several(3), expected=0)
        progress = await store.advance("seen", view.fold, limit=1)
        with pytest.raises(LookupError):
            await store.promote("seen", view.fold, to="other", swap=partial(_then_fail, view))
        assert await view.positions(store) == [progress.position]
        assert await store.checkpoint("seen") == progress.position
        assert await store.checkpoint("other") is None

    async def test_a_checkpoint_is_replaced_together_with_the_work(self, store: Store) -> None:
        view = Seen(store)
        given: list[int | None] = []

        def work(answer: int | None, position: int | None) -> Work[int | None]:
            given.append(position)
            yield from view.create() if position is None else view.write(position)
            return answer

        for answer in (0, 7, None):
            given.clear()
            await store.replace_checkpoint("seen", partial(work, answer))
            assert await store.checkpoint("seen") == answer
            assert given[-1] == {0: None, 7: 0, None: 7}[answer]
        assert await view.positions(store) == [0, 7]

    async def test_a_checkpoint_that_could_not_be_replaced_is_as_it_was(self, store: Store) -> None:
        view = await seen_by(store)

        def fail(position: int | None) -> Work[int | None]:
            yield from view.write(1)
            raise LookupError("no more")

        for name in ("seen", "new"):
            with pytest.raises(LookupError):
                await store.replace_checkpoint(name, fail)
        assert (await store.checkpoint("seen"), await store.checkpoint("new")) == (0, None)
        assert await view.positions(store) == []

    async def test_each_replaces_the_checkpoint_that_another_left(self, store: Store) -> None:
        view = Seen(store)
        await store.work(view.create)

        def count(position: int | None) -> Work[int | None]:
            yield from view.write(position or 0)
            return (position or 0) + 1

        await self.soon(asyncio.gather(*(store.replace_checkpoint("seen", count) for _ in range(30))))
        assert await store.checkpoint("seen") == 30
        assert await view.positions(store) == list(range(30))

    # --- work and reading -------------------------------------------------------------------------------------------

    async def test_work_sees_what_it_wrote_and_answers_what_comes_of_it(self, store: Store) -> None:
        view = Seen(store)

        def work() -> Work[int]:
            yield from view.create()
            yield from view.write(7, 8, 9)
            rows = yield view.query
            return sum(position for (position,) in rows)

        assert await store.work(work) == 24
        assert await store.rows(view.query) == await store.scan(view.query) == [(7,), (8,), (9,)]

    async def test_work_that_fails_leaves_nothing(self, store: Store) -> None:
        view = Seen(store)
        await store.work(view.create)
        with pytest.raises(LookupError, match="no more"):
            await store.work(partial(_then_fail, view))
        assert await view.positions(store) == []
        await store.append("order-1", several(1), expected=0)

    @pytest.mark.parametrize("sql", ["this is no SQL", "select * from nowhere"])
    async def test_a_wrong_statement_fails_alone(self, store: Store, sql: str) -> None:
        """Nothing of its work is stored, and the store goes on."""
        view, wrong = await seen_by(store), Fetch(sql)

        def work() -> Work[None]:
            yield from view.write(1)
            yield wrong

        for call in (partial(store.work, work), partial(store.rows, wrong), partial(store.scan, wrong)):
            with pytest.raises(StatementFailed):
                await call()
        async with store.moment() as moment:
            with pytest.raises(StatementFailed):
                await moment.scan(wrong)
            assert await moment.scan(view.query) == []
        await store.check()
        receipt = await store.append("order-1", several(1), expected=0)
        assert await view.positions(store) == [receipt.position]

    async def test_a_wrong_statement_of_a_fold_is_the_fault_of_the_fold(self, store: Store) -> None:
        view = await seen_by(store)

        def wrong(events: Sequence[Recorded[bytes]]) -> Work[None]:
            yield Fetch("select * from nowhere")

        await attached(store, "wrong", wrong)
        with pytest.raises(ProjectionFailed):
            await store.append("order-1", several(1), expected=0)
        assert await whole(store) == []
        assert await view.positions(store) == []

    async def test_works_do_not_mix(self, store: Store) -> None:
        """Each reads a number and writes the next: none may read what another is about to change."""
        view = Seen(store)
        await store.work(view.create)
        await store.work(partial(view.write, 1))

        def count() -> Work[None]:
            yield view.lock  # the first row; where there are several writers, it keeps the others off
            rows = yield view.query
            yield from view.write(len(rows) + 1)

        await self.soon(asyncio.gather(*(store.work(count) for _ in range(30))))
        assert await view.positions(store) == list(range(1, 32))

    async def test_a_moment_does_not_move(self, store: Store) -> None:
        view = await seen_by(store)
        first = await store.append("order-1", several(1), expected=0)
        async with store.moment() as moment:
            await self.soon(store.append("order-1", several(1), expected=1))  # before anything was read
            for _ in range(2):
                assert await moment.scan(view.query) == [(first.position,)]
                assert await moment.checkpoint("seen") == first.position
                assert await moment.checkpoint("unknown") is None
                await self.soon(store.append("order-1", several(1), expected=None))
        async with store.moment() as moment:
            assert len(await moment.scan(view.query)) == 4

    async def test_a_moment_answers_several_at_once(self, store: Store) -> None:
        view = await seen_by(store)
        receipt = await store.append("order-1", several(500), expected=0)
        async with store.moment() as moment:
            questions = [asyncio.gather(moment.scan(view.query), moment.checkpoint("seen")) for _ in range(5)]
            for rows, checkpoint in await self.soon(asyncio.gather(*questions)):
                assert (len(rows), checkpoint) == (500, receipt.position)


def _then_fail(view: Seen) -> Work[None]:
    yield from view.create()
    yield from view.write(1, 2, 3)
    raise LookupError("no more")
