"""Deadlines cancel what takes too long, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from twofold.deadlines import TICK_SECONDS, Deadline


async def test_what_takes_too_long_is_cancelled() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError), Deadline(0.05) as deadline:
        await asyncio.sleep(60)
    assert deadline.expired
    assert 0.05 <= asyncio.get_running_loop().time() - began < 30
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_in_time_is_left_alone() -> None:
    with Deadline(0.05) as deadline:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05 + 2 * TICK_SECONDS)
    assert not deadline.expired


async def test_the_nearer_of_two_passes() -> None:
    with Deadline(60) as outer:
        with pytest.raises(TimeoutError), Deadline(0.05) as inner:
            await asyncio.sleep(60)
        assert (inner.expired, outer.expired) == (True, False)
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), Deadline(0.05) as outer, Deadline(60) as inner:
        await asyncio.sleep(60)
    assert (inner.expired, outer.expired) == (False, True)


async def test_a_timeout_of_something_inside_is_not_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="inside"), Deadline(60) as deadline:
        raise TimeoutError("inside")
    assert not deadline.expired


async def test_who_is_cancelled_by_others_stays_cancelled() -> None:
    async def wait() -> None:
        with Deadline(60):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_in_the_same_moment_is_not_swallowed() -> None:
    entered: list[Deadline] = []

    async def wait() -> None:
        with Deadline(60) as deadline:
            entered.append(deadline)
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    entered[0].lapse()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_comes_first_is_told() -> None:
    async def failing() -> None:
        with Deadline(0.01):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ValueError("first") from None

    with pytest.raises(ValueError, match="first"):
        await failing()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_a_loop_that_is_gone_is_forgotten() -> None:
    async def run() -> None:
        with Deadline(60):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(run())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def test_it_is_for_tasks() -> None:
    with pytest.raises(RuntimeError), Deadline(1):
        pass
