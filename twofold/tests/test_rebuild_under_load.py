"""A large view is rebuilt by another process while this one serves: nobody sees half of it, nobody waits for long."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from payments import ACCOUNTS, INLINE, SUBSCRIBED, Paid, Readers, codec, kept, naive, pay, rows_of, settled
from twofold import Metadata, Store
from twofold.connect import connect

CHILD = Path(__file__).with_name("build_child.py")
FEW, MILLION = 5_000, 1_000_000
WRITERS = 4
PAUSE_SECONDS = 0.02  # of each writer between two appends, on average
USUAL_SECONDS = 30.0


async def fill_quickly(store: Store, events: int, size: int = 1000) -> None:
    """Many events, in large groups: appends that wait together are committed together."""
    metadata = Metadata.new()

    async def fill_group(number: int) -> None:
        account = f"a{number % ACCOUNTS}"
        group = [codec.encode(Paid(account, each), metadata) for each in range(min(size, events))]
        await store.append(f"account-{account}", group, expected=None)

    groups = max(1, events // size)
    for first in range(0, groups, 16):
        await asyncio.gather(*(fill_group(number) for number in range(first, min(first + 16, groups))))


@asynccontextmanager
async def measured(store: Store) -> AsyncGenerator[list[float]]:
    """Writers inside the block; how long each append took, in seconds."""
    latencies: list[float] = []
    enough = asyncio.Event()

    async def write(writer: int) -> None:
        while not enough.is_set():
            began = time.perf_counter()
            await pay(store, writer)
            latencies.append(time.perf_counter() - began)
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))

    writing = [asyncio.create_task(write(writer)) for writer in range(WRITERS)]
    try:
        yield latencies
    finally:
        enough.set()
        await asyncio.gather(*writing)


def percentiles(latencies: Sequence[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    ordered = sorted(latencies)
    return ordered[len(ordered) // 2] * 1000, ordered[len(ordered) * 99 // 100] * 1000


async def rebuilt_elsewhere(url: str, lifecycle: str, *options: str) -> float:
    """Rebuild the view in another process; answers in how many seconds."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), "rebuild", url, lifecycle, *options, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return time.monotonic() - began


async def rebuild_under_load(url: str, lifecycle: str, events: int, usual_seconds: float) -> tuple[float, float]:
    """How many times its usual the latency of appends is during the rebuild: p50 and p99. It prints the figures."""
    async with connect(url) as store:
        began = time.monotonic()
        await fill_quickly(store, events)
        filled = time.monotonic() - began
        async with kept(store, lifecycle, lease=5.0) as views:
            caught_up = time.monotonic() - began - filled
            gc.collect()
            async with Readers(views, pause=0.05).looking():
                async with measured(store) as usual:
                    await asyncio.sleep(usual_seconds)
                async with measured(store) as during:
                    seconds = await rebuilt_elsewhere(url, lifecycle)
            await settled(views)
            assert await rows_of(views) == await naive(store)
    (p50, p99), (p50_during, p99_during) = percentiles(usual), percentiles(during)
    print(  # noqa: T201 - the figures are what this is for
        f"\n{lifecycle}, {events:,} events: filled in {filled:.0f} s, folded first in {caught_up:.0f} s, rebuilt in "
        f"{seconds:.0f} s ({events / seconds:,.0f}/s)\n"
        f"  appends as usual: {len(usual)}, p50 {p50:.2f} ms, p99 {p99:.2f} ms\n"
        f"  appends during:   {len(during)}, p50 {p50_during:.2f} ms, p99 {p99_during:.2f} ms "
        f"(p50 x{p50_during / p50:.2f}, p99 x{p99_during / p99:.2f})"
    )
    return p50_during / p50, p99_during / p99


async def test_a_rebuild_by_another_process_is_not_noticed_on_sqlite(tmp_path: Path) -> None:
    for lifecycle in (INLINE, SUBSCRIBED):
        await rebuild_under_load(f"sqlite:///{tmp_path / lifecycle}.db", lifecycle, FEW, 0.5)


async def test_a_rebuild_by_another_process_is_not_noticed_on_postgresql(postgres_url: str) -> None:
    await rebuild_under_load(postgres_url, SUBSCRIBED, FEW, 0.5)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_million_events_are_rebuilt_under_live_traffic_on_sqlite(tmp_path: Path) -> None:
    ratios = await rebuild_under_load(f"sqlite:///{tmp_path / 'store.db'}", INLINE, MILLION, USUAL_SECONDS)
    assert max(ratios) <= 2


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_million_events_are_rebuilt_under_live_traffic_on_postgresql(postgres_url: str) -> None:
    ratios = await rebuild_under_load(postgres_url, SUBSCRIBED, MILLION, USUAL_SECONDS)
    assert max(ratios) <= 2
