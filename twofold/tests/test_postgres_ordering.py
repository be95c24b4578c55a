"""No reader of the log misses an event: ways to order them on PostgreSQL under torture, and the store's own.

The wrong ways are caught in every run, by two writers that are held open in just the wrong order; the soak sees to it
that random load finds them too.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from postgres_ordering import METHODS, RIGHT, WRONG, Method, provoke, torture
from twofold.connect import connect
from twofold.events import Receipt, Recorded
from twofold.store import Store
from twofold.testing.contract_base import whole
from twofold.testing.contract_history import END, History, check_whole

CHILD = Path(__file__).with_name("ordering_child.py")
PATIENCE = 900.0  # the soak may have to share its machine


def named(method: Method) -> str:
    return method.name


def a_seed() -> int:
    """A fresh seed, shown when the test fails; TWOFOLD_TEST_SEED repeats one."""
    seed = int(os.environ.get("TWOFOLD_TEST_SEED") or random.SystemRandom().randrange(2**32))
    sys.stderr.write(f"TWOFOLD_TEST_SEED={seed}\n")
    return seed


# --- the ways there are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", WRONG, ids=named)
async def test_a_wrong_way_to_order_events_is_caught(postgres_url: str, method: Method) -> None:
    assert (await provoke(postgres_url, method)).caught


@pytest.mark.parametrize("method", RIGHT, ids=named)
async def test_a_right_way_to_order_events_loses_none(postgres_url: str, method: Method) -> None:
    assert not (await provoke(postgres_url, method)).caught
    verdict = await torture(postgres_url, method, events=500, seed=a_seed())
    assert not verdict.caught, verdict


@pytest.mark.soak
@pytest.mark.parametrize("run", range(5))
@pytest.mark.parametrize("method", METHODS, ids=named)
async def test_random_load_tells_the_right_ways_from_the_wrong(postgres_url: str, method: Method, run: int) -> None:
    verdict = await torture(postgres_url, method, events=20_000, seed=a_seed() + run)
    assert verdict.events >= 20_000
    assert verdict.caught == (method in WRONG), verdict


# --- the store's ------------------------------------------------------------------------------------------------------


async def test_the_store_loses_no_event_of_many_processes(postgres_url: str) -> None:
    await write_from_many_processes(postgres_url, processes=3, writers=4, events=600)


@pytest.mark.soak
@pytest.mark.parametrize("run", range(5))
async def test_the_store_loses_no_event_of_many_processes_for_long(postgres_url: str, run: int) -> None:
    await write_from_many_processes(postgres_url, processes=6, writers=4, events=20_000)


async def write_from_many_processes(url: str, *, processes: int, writers: int, events: int) -> None:
    """Writers in processes of their own, some of their appends rolled back, and readers here that miss nothing."""
    seed = a_seed()
    history = History()
    async with connect(url) as store, AsyncExitStack() as stack:
        arguments = (url, str(writers), str(events // processes + 1))
        children = [await stack.enter_async_context(child(*arguments, f"{seed} {n}")) for n in range(processes)]
        for each in children:
            assert await hear(each) == b"ready\n"
        readings = (history.follow(store), history.follow(store), poll(store, history))
        following = [asyncio.create_task(reading) for reading in readings]
        for each in children:
            assert each.stdin
            each.stdin.write(b"\n")
        for each in children:
            note(history, json.loads(await hear(each)))
        await history.end(store)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*following)
        log = await whole(store)
    assert len(log) > events
    assert history.refused
    check_whole(log)
    history.check(log)


@asynccontextmanager
async def child(*arguments: str) -> AsyncGenerator[Process]:
    """A process that writes; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), *arguments, stdin=PIPE, stdout=PIPE, limit=2**26
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def hear(child: Process) -> bytes:
    """The next line that a child says."""
    assert child.stdout
    async with asyncio.timeout(PATIENCE):
        return await child.stdout.readline()


def note(history: History, told: dict[str, Any]) -> None:
    """Note what a child said of its appends."""
    for stream, version, position, ids in told["acknowledged"]:
        history.acknowledged.append((Receipt(stream, version, position), [UUID(id) for id in ids]))
    history.refused += [[UUID(id) for id in ids] for ids in told["refused"]]


async def poll(store: Store, history: History) -> None:
    """Read on without ever waiting to be woken, in pages of odd sizes, up to the end of the log."""
    seen: list[Recorded[bytes]] = []
    history.readers.append(seen)
    while not seen or seen[-1].stream != END:
        after = seen[-1].position if seen else 0
        seen += [recorded async for recorded in store.read_all(after=after, limit=1 + len(seen) % 7)]
        await asyncio.sleep(0)
