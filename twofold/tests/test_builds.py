"""A view is built beside the one in use, compared, promoted and dropped, and no reader ever sees half of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
from uuid_utils.compat import uuid7

from payments import (
    INLINE,
    SUBSCRIBED,
    Readers,
    Trouble,
    assert_right,
    balances,
    balances_in_cents,
    differences,
    fill,
    kept,
    naive,
    pay,
    rows_of,
    settled,
    traffic,
    views_of,
)
from twofold import Metadata, NewEvent, Store
from twofold.building import Build
from twofold.claims import Claims, Held
from twofold.errors import (
    BuildMissing,
    ProjectionFailed,
    ProjectionInUse,
    ProjectionUnknown,
    RebuildOvertaken,
    StatementFailed,
    StoreUnavailable,
)
from twofold.parked import Parked
from twofold.rebuild import abandon, build, drop, promote, rebuild
from twofold.store import Progress
from twofold.subscription import Subscription
from twofold.testing.contract_base import several
from twofold.verify import ViewMissing, compare

LIFECYCLES = pytest.mark.parametrize("lifecycle", [INLINE, SUBSCRIBED])
EVENTS = 400
PASSED = 50  # events of others, several pages of them


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few events fill several pages, and nobody waits for long."""
    monkeypatch.setattr("twofold.building.PAGE", 20)
    monkeypatch.setattr("twofold.follower.PAGE", 50)
    monkeypatch.setattr("twofold.building.Subscription", partial(Subscription, lease_seconds=0.5))
    monkeypatch.setattr("twofold.rebuild.LEASE_SECONDS", 1.0)


def silent(progress: Progress) -> None:
    """Nobody looks at the progress."""


async def parts_of(store: Store, name: str) -> list[Held]:
    return await store.work(partial(Claims(store.dialect).parts, name))


# --- under live traffic -----------------------------------------------------------------------------------------------


@LIFECYCLES
@pytest.mark.parametrize("partitions", [1, 4])
async def test_nobody_notices_that_a_view_is_built_and_promoted(store: Store, lifecycle: str, partitions: int) -> None:
    if lifecycle == INLINE and partitions > 1:
        pytest.skip("an inline view has no parts")
    async with kept(store, lifecycle, partitions=partitions) as views:
        await fill(store, EVENTS)
        await settled(views)
        progress: list[Progress] = []
        readers = Readers(views, whole=partitions == 1)
        async with readers.looking(), traffic(store) as positions:
            for _ in range(3):
                await build(views, "balances", progress.append)
                await promote(views, "balances", progress.append)
            before = len(positions)
            await until_more(positions, before)  # appends go on
        assert readers.count > 10
        assert progress[0].position < progress[-1].position
        assert all(step.position <= step.head for step in progress)
        await assert_right(views)
        if lifecycle == SUBSCRIBED:
            parts = await parts_of(store, "balances_v1")
            assert {held.position for held in parts} == {await store.head()}
            assert len(parts) == partitions
            assert await parts_of(store, "balances_v1_new") == []
        assert await drop(views, "balances") == ["balances_v1_old"]
        assert await drop(views, "balances") == []


@LIFECYCLES
async def test_what_was_wrong_is_right_after_a_promotion_and_not_before(store: Store, lifecycle: str) -> None:
    trouble = Trouble(wrong={"a3"})
    async with kept(store, lifecycle, balances(trouble)) as views:
        await fill(store, EVENTS)
        await settled(views)
        wrong = await rows_of(views)
        trouble.wrong.clear()
        await build(views, "balances", silent)
        assert await rows_of(views) == wrong
        (found,) = await compare(views, "balances", silent)
        assert found.key == ("a3",)
        await promote(views, "balances", silent)
        await assert_right(views)


@LIFECYCLES
async def test_a_build_is_continued_where_it_stopped(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        with pytest.raises(KeyboardInterrupt):
            await build(views, "balances", break_off_after(100))
        positions: list[int] = []
        await build(views, "balances", lambda progress: positions.append(progress.position))
        assert min(positions) >= 100
        with pytest.raises(KeyboardInterrupt):
            await build(views, "balances", break_off_after(0), anew=True)
        again: list[int] = []
        await rebuild(views, "balances", lambda progress: again.append(progress.position), resume=True)
        assert min(again) < 100
        await assert_right(views)


async def test_a_build_gains_on_a_log_that_grows_nearly_as_fast_as_it_is_folded(store: Store) -> None:
    async with kept(store, INLINE) as views:
        folded, head, pages = 0, 1_000, 0

        async def fold_page(page: int) -> Progress:
            nonlocal folded, head, pages
            head += 19  # of the 20 that a page has at first
            folded, pages = min(head, folded + page), pages + 1
            return Progress(folded, head)

        building = Build(views, views.view("balances"))
        reached = await building._paged(fold_page, silent, 1.0)  # pyright: ignore[reportPrivateUsage] - no log grows so evenly
        assert reached.position == reached.head
        assert pages < 60  # one by one it would be a thousand


def break_off_after(position: int) -> partial[None]:
    return partial(_break_off, position)


def _break_off(position: int, progress: Progress) -> None:
    if progress.position >= position:
        raise KeyboardInterrupt


@LIFECYCLES
async def test_two_processes_may_build_and_promote_at_once(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        await asyncio.gather(*(build(views, "balances", silent) for _ in range(2)))
        outcomes = await asyncio.gather(*(promote(views, "balances", silent) for _ in range(2)), return_exceptions=True)
        assert any(isinstance(outcome, Progress) for outcome in outcomes)
        assert all(isinstance(outcome, Progress | RebuildOvertaken | BuildMissing) for outcome in outcomes), outcomes
        await assert_right(views)


@LIFECYCLES
async def test_of_two_rebuilds_at_once_one_is_done_and_the_view_is_right(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        async with Readers(views).looking():
            outcomes = await asyncio.gather(
                *(rebuild(views, "balances", silent) for _ in range(3)), return_exceptions=True
            )
        assert any(isinstance(outcome, Progress) for outcome in outcomes)
        assert all(isinstance(outcome, Progress | RebuildOvertaken) for outcome in outcomes), outcomes
        await assert_right(views)


async def test_who_runs_an_earlier_build_cannot_go_on_with_a_later_one(store: Store) -> None:
    async with kept(store, SUBSCRIBED) as views:
        await fill(store, EVENTS)
        building = Build(views, views.view("balances"))
        await building.begin(anew=True)
        (first,) = await parts_of(store, building.key)
        await building.begin(anew=True)
        (second,) = await parts_of(store, building.key)
        assert second.epoch > first.epoch + 1  # that of who had claimed the first
        await abandon(views, "balances")
        await building.begin(anew=False)
        (third,) = await parts_of(store, building.key)
        assert third.epoch > second.epoch + 1


# --- promotion --------------------------------------------------------------------------------------------------------


@LIFECYCLES
async def test_what_is_not_there_cannot_be_promoted_or_compared(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        for use in (promote, compare):
            with pytest.raises(BuildMissing, match="balances has no build"):
                await use(views, "balances", silent)
            with pytest.raises(ProjectionUnknown):
                await use(views, "nothing", silent)
        assert not await abandon(views, "balances")


@LIFECYCLES
async def test_an_abandoned_build_is_gone(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        await build(views, "balances", silent)
        assert await abandon(views, "balances")
        with pytest.raises(BuildMissing):
            await promote(views, "balances", silent)
        assert not await Build(views, views.view("balances")).is_there("balances_v1_new")
        await assert_right(views)


@LIFECYCLES
async def test_who_builds_is_told_that_the_build_is_gone(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        abandoned: list[asyncio.Task[bool]] = []

        def report(progress: Progress) -> None:
            if not abandoned:
                abandoned.append(asyncio.create_task(abandon(views, "balances")))

        with pytest.raises(RebuildOvertaken):
            await build(views, "balances", report)
        assert await abandoned[0]
        await assert_right(views)


async def test_nothing_is_left_of_a_build_that_goes_while_it_passes_events_of_others(store: Store) -> None:
    """They touch none of its tables, so it would not notice that these are gone."""
    async with kept(store, "inline") as views:
        for number in range(4):
            await store.append(f"other-{number}", several(PASSED), expected=0)
        await fill(store, EVENTS)
        going: list[asyncio.Task[bool]] = []

        def report(_progress: Progress) -> None:
            if not going:
                going.append(asyncio.create_task(abandon(views, "balances")))

        with pytest.raises(RebuildOvertaken):
            await build(views, "balances", report)
        assert await going[0]
        assert not await Build(views, views.view("balances")).exists()


async def test_a_paused_view_stays_paused_where_it_is_promoted(store: Store) -> None:
    async with kept(store, SUBSCRIBED, partitions=4) as views:
        await fill(store, EVENTS)
        await settled(views)
        claims = Claims(store.dialect)
        await store.work(partial(claims.pause, "balances_v1", "by hand"))
        await fill(store, EVENTS)
        await build(views, "balances", silent)
        reached = await promote(views, "balances", silent)
        assert {held.position for held in await parts_of(store, "balances_v1")} == {reached.position}
        assert await rows_of(views) == await naive(store)
        await pay(store, 1)
        await asyncio.sleep(0.5)
        assert {held.position for held in await parts_of(store, "balances_v1")} == {reached.position}
        await store.work(partial(claims.resume, "balances_v1"))
        await assert_right(views)


async def test_a_view_that_is_always_ahead_is_held_for_its_promotion(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(store, SUBSCRIBED, partitions=2) as views:
        await fill(store, EVENTS)
        await build(views, "balances", silent)
        monkeypatch.setattr("twofold.building.PATIENCE_SECONDS", 0.3)
        monkeypatch.setattr("twofold.building.Subscription", partial(Subscription, lease_seconds=0.5, pace=50.0))
        async with Readers(views, whole=False).looking(), traffic(store):
            await promote(views, "balances", silent)
        await assert_right(views)


async def test_a_promotion_that_is_cancelled_lets_the_view_go_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(store, SUBSCRIBED) as views:
        await fill(store, EVENTS)
        await build(views, "balances", silent)
        building = Build(views, views.view("balances"))
        await pay(store, 1)
        await settled(views)  # the view is ahead, and stays so: nobody runs the build
        monkeypatch.setattr("twofold.building.PATIENCE_SECONDS", 0.1)
        monkeypatch.setattr("twofold.building.Subscription", Idle)
        promoting = asyncio.create_task(building.promote(silent))
        await until(partial(held_by_a_promotion, store))
        promoting.cancel()
        with suppress(asyncio.CancelledError):
            await promoting
        await pay(store, 2)
        await assert_right(views)


async def held_by_a_promotion(store: Store) -> bool:
    (held,) = await parts_of(store, "balances_v1")
    return (held.owner or "").startswith("a promotion")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what must come about."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - it comes about in a database
            await asyncio.sleep(0.01)


async def until_more(positions: list[int], before: int) -> None:
    async with asyncio.timeout(20):
        while len(positions) <= before:  # noqa: ASYNC110 - a list tells nobody that it grows
            await asyncio.sleep(0.01)


class Idle:
    """A subscription that does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_promotion_that_cannot_succeed_says_so_and_lets_the_view_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(store, SUBSCRIBED) as views:
        await fill(store, EVENTS)
        await build(views, "balances", silent)
        await pay(store, 1)
        await settled(views)
        monkeypatch.setattr("twofold.building.PATIENCE_SECONDS", 0.1)
        monkeypatch.setattr("twofold.building.INSIST_SECONDS", 0.5)
        monkeypatch.setattr("twofold.building.Subscription", Idle)
        with pytest.raises(ProjectionFailed, match="does not reach the view in use"):
            await Build(views, views.view("balances")).promote(silent)
        await pay(store, 2)
        await assert_right(views)


async def test_a_view_that_a_dead_promotion_held_is_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(store, SUBSCRIBED) as views:
        await fill(store, EVENTS)
        await settled(views)
        building = Build(views, views.view("balances"))
        await building.begin(anew=True)
        assert await store.work(partial(building._try_to_swap, True)) is None  # pyright: ignore[reportPrivateUsage] - what a kill leaves
        assert await held_by_a_promotion(store)
        await pay(store, 2)
        await assert_right(views)


# --- letters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 4])
async def test_the_letters_of_a_build_replace_those_of_the_view(store: Store, partitions: int) -> None:
    trouble = Trouble(failing={"a3"})
    async with kept(store, SUBSCRIBED, balances(trouble), partitions) as views:
        parked = Parked(store)
        await fill(store, EVENTS)
        await settled(views)
        assert {letter.sequence for letter in await parked.letters("balances_v1")} == {"a3"}
        trouble.failing = {"a10"}
        await build(views, "balances", silent)
        assert {letter.sequence for letter in await parked.letters("balances_v1_new")} == {"a10"}
        await promote(views, "balances", silent)
        letters = await parked.letters("balances_v1")
        assert {letter.sequence for letter in letters} == {"a10"}
        assert await parked.letters("balances_v1_new") == []
        assert await rows_of(views) == await naive(store, without=frozenset({"a10"}))
        assert await differences(views) == []
        trouble.failing.clear()
        (number,) = {letter.partition for letter in letters}
        drained = await parked.retry(views.subscriber(views.view("balances")), number, "a10")
        assert drained.left == 0
        await assert_right(views)


async def test_an_inline_build_that_meets_a_poison_event_fails_and_the_view_stays(store: Store) -> None:
    trouble = Trouble()
    async with kept(store, INLINE, balances(trouble)) as views:
        await fill(store, EVENTS)
        trouble.failing = {"a10"}
        with pytest.raises(ProjectionFailed, match="cannot be folded"):
            await build(views, "balances", silent)
        trouble.failing.clear()
        await build(views, "balances", silent)
        await promote(views, "balances", silent)
        await assert_right(views)


# --- versions ---------------------------------------------------------------------------------------------------------


@LIFECYCLES
async def test_a_new_version_is_built_compared_promoted_and_the_old_dropped(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle, partitions=2) as old:
        await fill(store, EVENTS)
        await settled(old)
        new = views_of(store, lifecycle, balances_in_cents(Trouble(wrong={"a10"})), partitions=2)
        # a10 is left alone: a row that changed meanwhile may be left out of a comparison.
        async with Readers(old, whole=lifecycle == INLINE).looking(), traffic(store, accounts=10):
            await build(new, "balances", silent)
            with pytest.raises(ViewMissing):
                await compare(new, "balances", silent)
            assert {found.key for found in await compare(new, "balances", silent, version=1)} == {("a10",)}
            new = views_of(store, lifecycle, balances_in_cents(), partitions=2)
            await build(new, "balances", silent, anew=True)
            assert await compare(new, "balances", silent, version=1) == []
            await promote(new, "balances", silent)
            async with asyncio.timeout(20), kept(store, lifecycle, balances_in_cents(), partitions=2) as served:
                assert await rows_of(served) != {}
        await assert_right(old)
        if lifecycle == SUBSCRIBED:
            with pytest.raises(ProjectionInUse, match="balances_v1 is still run"):
                await drop(new, "balances")
    assert await drop(new, "balances") == ["balances_v1"]
    assert await parts_of(store, "balances_v1") == []
    async with kept(store, lifecycle, balances_in_cents(), partitions=2) as served:
        if lifecycle == SUBSCRIBED:
            assert len(await parts_of(store, "balances_v2")) == 2
        await assert_right(served)


async def test_an_older_version_whose_process_has_died_can_be_dropped(store: Store) -> None:
    async with kept(store, SUBSCRIBED) as old:
        await fill(store, EVENTS)
        await settled(old)
    claims = Claims(store.dialect)
    (held,) = await parts_of(store, "balances_v1")
    await store.work(partial(claims.take, held, "somebody who was killed"))
    new = views_of(store, SUBSCRIBED, balances_in_cents())
    await new.start()
    assert await drop(new, "balances") == ["balances_v1"]


async def test_a_new_version_without_a_build_is_waited_for(store: Store) -> None:
    async with kept(store, SUBSCRIBED):
        await fill(store, EVENTS)
    async with kept(store, SUBSCRIBED, balances_in_cents()) as new:
        assert sum(events for _, events in (await rows_of(new)).values()) == EVENTS


async def test_nobody_waits_in_silence_for_a_view_that_cannot_be_built(store: Store) -> None:
    await fill(store, EVENTS)
    await store.append("account-x", [unheard()], expected=None)
    for _ in range(2):  # what had failed before is tried again
        with pytest.raises(ProjectionFailed, match="balances failed: position 401"):
            async with asyncio.timeout(20), kept(store, SUBSCRIBED):
                pass


def unheard() -> NewEvent:
    return NewEvent(id=uuid7(), type="Unheard", schema=1, data=b"{}", metadata=Metadata.new())


async def test_it_is_told_that_a_view_that_is_waited_for_is_paused(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(store, EVENTS)
    views = views_of(store, SUBSCRIBED, balances())
    await views.start()
    claims = Claims(store.dialect)
    await store.work(partial(claims.pause, "balances_v1", "by hand"))
    opening = asyncio.create_task(_opened(store))
    async with asyncio.timeout(20):
        while "is paused (by hand)" not in caplog.text:  # noqa: ASYNC110 - nobody else tells of a line in the log
            await asyncio.sleep(0.01)
        await store.work(partial(claims.resume, "balances_v1"))
        await opening


async def _opened(store: Store) -> None:
    async with kept(store, SUBSCRIBED) as views:
        await assert_right(views)


# --- compare ----------------------------------------------------------------------------------------------------------


@LIFECYCLES
async def test_equal_builds_have_no_differences_while_traffic_goes_on(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle, partitions=2) as views:
        await fill(store, EVENTS)
        await settled(views)
        async with traffic(store):
            await build(views, "balances", silent)
            for _ in range(5):
                assert await compare(views, "balances", silent) == []


# --- moments ----------------------------------------------------------------------------------------------------------


@LIFECYCLES
async def test_a_moment_from_before_a_promotion_sees_no_half_view(store: Store, lifecycle: str) -> None:
    """It sees the view as it was, or says that it cannot."""
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        await settled(views)
        query = Readers(views).query
        async with store.moment() as moment:
            await fill(store, EVENTS)
            await rebuild(views, "balances", silent)
            with suppress(StoreUnavailable, StatementFailed):
                assert await moment.scan(query) == [(EVENTS, EVENTS)]


@LIFECYCLES
async def test_a_moment_that_has_begun_to_read_sees_the_same_to_its_end(store: Store, lifecycle: str) -> None:
    async with kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        await settled(views)
        await build(views, "balances", silent)
        query = Readers(views).query
        async with store.moment() as moment:
            before = await moment.scan(query)
            promoting = asyncio.create_task(promote(views, "balances", silent))
            for _ in range(20):
                assert await moment.scan(query) == before
                async with asyncio.timeout(20):  # others do not wait for it: that would be for ever
                    assert await views.rows(Readers(views).look) == before
                await asyncio.sleep(0.05)
        await promoting
        await assert_right(views)
