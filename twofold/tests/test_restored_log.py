"""What was folded from events that a restored log no longer has: it stops, says so, and skips nothing in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

import naive_ledgers
from ledgers import claim_all, led_by_hand, ledgers, pay, reached, subscribed, until
from postgres_others import ask
from terminals import Terminal
from twofold import Store
from twofold.claims import Claims
from twofold.connect import connect
from twofold.errors import LifecycleRefused, ProjectionFailed
from twofold.operating import Operator
from twofold.overview import State, overview
from twofold.rebuild import rebuild
from twofold.sequences import PAST_THE_END
from twofold.sql import Run, Work
from twofold.views import BUILD, Views, identity
from twofold.watermarks import Watermarks

VIEW = ledgers()
NAME = identity(VIEW)
ON_SQL = pytest.mark.parametrize("store_url", ["sqlite", "postgres"], indirect=True)


async def paid(store: Store, customers: str) -> None:
    for customer in customers:
        await pay(store, f"order-{customer}", customer)


async def state(store: Store, views: Views | None = None) -> tuple[State, str | None]:
    (status,) = await overview(store, views)
    return status.state, status.reason


async def follows(store: Store) -> bool:
    """Whether somebody has it, and it has all."""
    return await state(store) == (State.FOLLOWING, None) and await reached(store, VIEW)


async def is_ahead(store: Store) -> bool:
    """Whether it was found out, and nobody has it in hand."""
    (status,) = await overview(store)
    return status.state is State.AHEAD and status.position == 0 and not status.owners


async def epoch_of(store: Store) -> int:
    (held,) = await store.work(lambda: Claims(store.dialect).parts(NAME))
    return held.epoch


async def is_given_up(store: Store, epoch: int) -> bool:
    """Whether somebody has tried it since this epoch, and has given it up."""
    (held,) = await store.work(lambda: Claims(store.dialect).parts(NAME))
    return held.epoch > epoch and held.failure == PAST_THE_END


async def lose(url: str, kept: str, terminal: Terminal) -> None:
    """All that was appended after the backup is gone; what was folded from it is not."""
    if url.startswith("sqlite"):  # there a restore brings back the views with the log, so it was not by our command

        def cut() -> Work[None]:
            yield Run("delete from event where position > 3", ((),))

        async with connect(url) as store:
            await store.work(cut)
    else:
        await ask(url, "truncate event, idempotency, snapshot")
        code, printed, _ = await terminal("restore", kept, url)
        assert code == 0
        assert f"{NAME} (at 6)" in printed


@ON_SQL
async def test_a_subscription_ahead_of_a_restored_log_stops_until_it_is_reset(
    store_url: str, terminal: Terminal, tmp_path: Path
) -> None:
    views = [VIEW]
    async with connect(store_url) as store:
        hands = await led_by_hand(store, VIEW)
        await paid(store, "abc")
        await hands.settle()
        assert (await terminal("backup", store_url, "kept.db"))[0] == 0
        await paid(store, "abd")
        await hands.settle()
        assert await hands.position() == 6
    await lose(store_url, "kept.db", terminal)
    async with connect(store_url) as store:
        opened = Views(store, subscribed=views)
        assert await state(store) == (State.AHEAD, PAST_THE_END)
        await opened.start()
        rows = await opened.rows(VIEW.by_key, b_key="d")
        async with subscribed(store, opened.subscriber(VIEW)):
            await until(lambda: is_ahead(store))
            await paid(store, "eeeee")  # from 4 to 8: past where it was
            assert await Watermarks(opened).wait([VIEW.name], 4, 0.1) > 0  # who reads is told that it is stale
            epoch = await epoch_of(store)
            await Operator(opened).resume(await Operator(opened).find(VIEW.name))  # that alone helps nothing
            await until(lambda: is_given_up(store, epoch))
        epoch = await epoch_of(store)
        async with subscribed(store, opened.subscriber(VIEW)):  # nor does another process
            await until(lambda: is_given_up(store, epoch))
            assert await state(store) == (State.AHEAD, PAST_THE_END)
            assert await opened.rows(VIEW.by_key, b_key="d") == rows
            assert await opened.rows(VIEW.by_key, b_key="e") == []
            code, printed, _ = await terminal("doctor", "--store", store_url)
            assert code == 1
            assert f"projection {NAME}" in printed
            code, printed, _ = await terminal("projections", "--check", "--store", store_url)
            assert code == 1
            assert f"{NAME} is ahead: {PAST_THE_END}"[:60] in printed
            await Operator(opened).reset(await Operator(opened).find(VIEW.name))
            await until(lambda: follows(store))
        assert naive_ledgers.faults(await naive_ledgers.image_in(store)) == []
        assert await opened.rows(VIEW.by_key, b_key="d") == []


async def test_a_rebuild_takes_the_place_of_what_is_ahead(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    claims = Claims(store.dialect)
    await paid(store, "abc")
    await hands.settle()
    await store.work(lambda: claims.set_to(NAME, 9))
    assert (await state(store))[0] is State.AHEAD
    async with subscribed(store, hands.subscriber):
        await until(lambda: is_ahead(store))
        await rebuild(hands.views, VIEW.name, lambda _progress: None)
        await until(lambda: follows(store))
    assert not [status for status in await overview(store) if status.name.endswith(BUILD)]
    await claim_all(hands)
    await paid(store, "a")
    await hands.settle()
    await hands.check()


async def test_an_inline_view_that_is_ahead_keeps_a_process_from_starting(store: Store) -> None:
    """Or the next appends would be folded beside events that are no more."""
    views = Views(store, [VIEW])
    await views.start()
    await paid(store, "abc")

    async def put(position: int | None) -> None:
        def work(_known: int | None) -> Work[int | None]:
            yield from ()
            return position

        await store.replace_checkpoint(NAME, work)

    await put(9)
    assert await state(store, views) == (State.AHEAD, PAST_THE_END)
    with pytest.raises(ProjectionFailed, match="no longer has"):
        await Views(store, [ledgers()]).start()
    await rebuild(views, VIEW.name, lambda _progress: None)
    await Views(store, [ledgers()]).start()
    assert (await state(store, views))[0] is State.FOLLOWING


async def test_a_view_that_is_ahead_is_not_taken_inline(store: Store) -> None:
    await led_by_hand(store, VIEW)
    await store.work(lambda: Claims(store.dialect).lead_astray(NAME))
    with pytest.raises(LifecycleRefused, match="ahead of the log"):
        await Views(store, [ledgers()]).start()
