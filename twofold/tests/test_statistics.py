"""The numbers: distributions told rightly, appends counted alike by every store, samples second by second."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from twofold import CommandBus, Conflict, Metadata
from twofold.errors import StoreBusy
from twofold.events import NewEvent
from twofold.messages import Command
from twofold.metrics import Metrics, counting
from twofold.statistics import SECONDS, AppendStatistics, Histogram, Timings
from twofold.store import Store


def event() -> NewEvent:
    return NewEvent(id=uuid7(), type="Opened", schema=1, data=b"{}", metadata=Metadata.new())


@given(st.lists(st.floats(0, 20)))
def test_a_distribution_counts_each_value_below_its_bound(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    told = histogram.read()
    assert told.count == len(values)
    assert told.sum == pytest.approx(sum(values))
    for number, bound in enumerate(SECONDS):
        assert sum(told.counts[: number + 1]) == sum(value <= bound for value in values)
    if values:  # a quantile is the next bound, so it is never below the value itself
        median = sorted(values)[(len(values) - 1) // 2]
        assert told.quantile(0.5) >= min(median, SECONDS[-1])
        assert told.quantile(1.0) == min((bound for bound in SECONDS if bound >= max(values)), default=SECONDS[-1])
        assert told.mean == pytest.approx(sum(values) / len(values))
    else:
        assert told.quantile(0.5) == told.mean == 0


@given(st.lists(st.floats(0, 20)), st.lists(st.floats(0, 20)))
def test_what_has_come_since(first: list[float], second: list[float]) -> None:
    histogram, only_second = Histogram(), Histogram()
    for value in first:
        histogram.add(value)
    before = histogram.read()
    for value in second:
        histogram.add(value)
        only_second.add(value)
    since = histogram.read().since(before)
    assert since.counts == only_second.read().counts
    assert since.sum == pytest.approx(sum(second), abs=1e-9)


def test_timings_add_up() -> None:
    timings = Timings()
    assert timings.total().count == 0
    timings.add(("a",), 0.2)
    timings.add(("b",), 0.3)
    timings.add(("a",), 0.4)
    assert {names: told.count for names, told in timings.read()} == {("a",): 2, ("b",): 1}
    assert timings.total().count == 3
    assert timings.total().sum == pytest.approx(0.9)


async def test_every_store_counts_alike(store: Store) -> None:
    await store.append("order-1", [event(), event()], expected=0)
    again = [event()]
    await store.append("order-1", again, expected=2)
    assert (await store.append("order-1", again, expected=2)).repeated
    with pytest.raises(Conflict):
        await store.append("order-1", [event()], expected=0)
    with pytest.raises(ValueError, match="NUL"):
        await store.append("order-\0", [event()], expected=0)
    told = store.statistics.read()
    assert told.events == 3, "one that was there before adds none"
    assert told.seconds.count == 3
    assert told.seconds.sum > 0
    assert told.conflicts == 1


async def test_groups_are_counted_where_appends_are_committed_in_groups(store: Store) -> None:
    await asyncio.gather(*(store.append(f"order-{number}", [event()], expected=0) for number in range(20)))
    told = store.statistics.read()
    assert told.seconds.count == 20
    if told.groups.count:  # the memory store has none
        assert told.groups.sum == 20
        assert told.groups.count == told.group_seconds.count < 20


class Ask(Command[str]):
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (Conflict("order-1", 1, 2), "refused"),
        (StoreBusy("too much waits"), "failed"),
        (RuntimeError("a fault"), "failed"),
    ],
)
async def test_messages_are_counted_by_name_and_outcome(error: Exception | None, outcome: str) -> None:
    metrics = Metrics(AppendStatistics())
    bus = CommandBus([counting(metrics.commands)])

    @bus.handles(Ask)
    async def ask(command: Ask, metadata: Metadata) -> str:
        if command.error is not None:
            raise command.error
        return "done"

    with nullcontext() if error is None else pytest.raises(type(error)):
        await bus.execute(Ask(error))
    (told,) = metrics.read().commands
    assert (told.name, told.outcome, told.seconds.count) == ("Ask", outcome, 1)


async def test_the_last_seconds_are_kept_one_by_one(store: Store) -> None:
    metrics = Metrics(store.statistics)
    async with metrics.sampling():
        for number in range(10):
            await store.append(f"order-{number}", [event(), event()], expected=0)
        with pytest.raises(Conflict):
            await store.append("order-1", [event()], expected=7)
        await asyncio.sleep(0.01)  # it has begun to look
        time.sleep(0.3)  # noqa: ASYNC251 - it holds the event loop up, and that is to be seen
        async with asyncio.timeout(30):
            while sum(each.conflicts for each in metrics.history()) == 0:  # noqa: ASYNC110 - no sample tells that it was taken
                await asyncio.sleep(0.05)
    history = metrics.history()
    assert sum(each.events for each in history) == pytest.approx(2 * sum(each.appends for each in history))
    assert any(each.append_p99 >= each.append_mean > 0 for each in history)
    assert max(each.loop_lag for each in history) >= 0.2
    assert [each.at for each in history] == sorted(each.at for each in history)
    assert metrics.read().loop_lag.count >= 5
