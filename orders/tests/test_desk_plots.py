"""The plots of the dashboard: every order is drawn once, at its day and to scale, whatever the days are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.desk import plots
from orders.domain import Status
from orders.queries import DaySum, StatusSum

CENTS = st.integers(0, 10**13).map(lambda units: Decimal(units).scaleb(-2))


def day_of(day: str, *sums: tuple[Status, int, Decimal]) -> DaySum:
    """A day as the query answers it; what it has in all is not drawn."""
    return DaySum(day, 0, Decimal(0), [StatusSum(*one) for one in sums])


@st.composite
def some_days(draw: st.DrawFn) -> Sequence[DaySum]:
    """Up to 90 days with orders, newest first."""
    offsets = draw(st.sets(st.integers(0, 3_000), min_size=1, max_size=90))
    sums = st.lists(st.tuples(st.sampled_from(Status), st.integers(1, 10**6), CENTS), unique_by=lambda one: one[0])
    first = date(2026, 2, 27)
    return [day_of(str(first + timedelta(offset)), *draw(sums)) for offset in sorted(offsets, reverse=True)]


@given(some_days())
def test_bars_stand_at_their_days_and_their_parts_fill_them_to_scale(days: Sequence[DaySum]) -> None:
    for plot, counted in ((plots.orders(days), "orders"), (plots.revenue(days), "revenue")):
        assert plot is not None
        bars = {bar.day: bar for bar in plot.bars}
        assert [*bars] == sorted(day.day for day in days)
        lowest, highest = plot.lines[0], plot.lines[-1]
        assert (lowest.at, lowest.label, highest.at) == (100, "0", 0)
        assert 2 <= len(plot.lines) <= 6
        scale = max(bar.value for bar in plot.bars)
        for day in days:
            bar = bars[day.day]
            kept = [one for one in day.by_status if counted == "orders" or one.status is not Status.CANCELLED]
            values = {one.status: Decimal(getattr(one, counted)) for one in kept if getattr(one, counted)}
            assert {part.status: part.value for part in bar.parts} == values
            assert bar.value == sum(values.values())
            assert 0 <= bar.place <= bar.place + bar.span <= 100.01
            below = 100.0
            for part in bar.parts:
                assert part.y + part.height == pytest.approx(below, abs=0.01)
                assert part.y >= -0.01
                below = part.y
            if scale:
                tallest = max(sum(part.height for part in one.parts) for one in plot.bars)
                assert 100 - below == pytest.approx(float(bar.value / scale) * tallest, abs=0.05)
                assert tallest >= 50 or scale < 1


@pytest.mark.parametrize(
    ("largest", "labels"),
    [
        ("0", ["0", "1"]),
        ("0.4", ["0", "1"]),
        ("4", ["0", "1", "2", "3", "4"]),
        ("6", ["0", "2", "4", "6"]),
        ("31", ["0", "10", "20", "30", "40"]),
        ("9999", ["0", "2,000", "4,000", "6,000", "8,000", "10k"]),
        ("1200000", ["0", "500k", "1M", "1.5M"]),
        ("3000000000", ["0", "1bn", "2bn", "3bn"]),
    ],
)
def test_lines_are_at_round_amounts(largest: str, labels: Sequence[str]) -> None:
    plot = plots.revenue([day_of("2026-03-01", (Status.PENDING, 1, Decimal(largest)))])
    assert plot is not None
    assert [line.label for line in plot.lines] == labels


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (["2026-03-01"], ["1 Mar"]),
        (["2026-03-01", "2026-02-28"], ["28 Feb", "1 Mar"]),
        (["2026-04-30", "2026-01-01"], ["1 Jan", "31 Jan", "2 Mar", "31 Mar", "30 Apr"]),
        (["2026-04-30", "2022-04-30"], ["Apr 2022", "Apr 2023", "Apr 2024", "Apr 2025", "Apr 2026"]),
    ],
)
def test_dates_are_told_below(days: Sequence[str], labels: Sequence[str]) -> None:
    plot = plots.orders([day_of(day, (Status.PENDING, 1, Decimal(1))) for day in days])
    assert plot is not None
    assert (plot.first, plot.last) == (days[-1], days[0])
    assert [date.label for date in plot.dates] == labels


def test_without_orders_there_is_no_plot() -> None:
    assert plots.orders([]) is None
    assert plots.revenue([]) is None
