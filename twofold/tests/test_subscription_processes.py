"""Subscriptions in real processes: killed while they catch up, stopped and overtaken, sharing and handing over."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import naive_ledgers
from ledgers import ledgers, owners, pay, payment, reached, until
from naive_ledgers import image_at
from twofold import Store
from twofold.claims import Claims
from twofold.connect import connect
from twofold.views import Views

CHILD = Path(__file__).with_name("subscription_child.py")
PATIENCE = 60.0
CUSTOMERS = [f"c{number}" for number in range(40)]
VIEW = ledgers()


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store that processes can share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


class Nursery:
    """A process that bears subscribers, and what they have said."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._said: list[list[Any]] = []
        self.alive: set[int] = set()

    async def bear(self, **options: object) -> int:
        """A new subscriber; its process id, once it is ready."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(options).encode() + b"\n")
        await self._process.stdin.drain()
        pid: int = (await self.hear("ready"))[0]
        self.alive.add(pid)
        return pid

    async def hear(self, what: str, pid: int | None = None) -> list[Any]:
        """Wait until this is said, by this one or by any."""
        assert self._process.stdout is not None
        while True:
            for line in self._said:
                if line[1] == what and pid in (None, line[0]):
                    self._said.remove(line)
                    return line
            async with asyncio.timeout(PATIENCE):
                told = await self._process.stdout.readline()
            assert told.endswith(b"\n"), f"they all died before one said {what}"
            self._said.append(json.loads(told))

    async def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        self.alive.discard(pid)

    async def end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        await self.hear("ended", pid)
        await gone(pid)
        self.alive.discard(pid)

    async def close(self) -> None:
        for pid in self.alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.communicate()


@asynccontextmanager
async def nursery(url: str) -> AsyncGenerator[Nursery]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(CHILD), url, stdin=PIPE, stdout=PIPE)
    found = Nursery(process)
    try:
        yield found
    finally:
        await found.close()


def state_of(pid: int) -> str:
    """The state of a process in a letter; nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2][0]
    except OSError:
        return ""


async def gone(pid: int) -> None:
    async def is_gone() -> bool:
        return state_of(pid) in ("", "Z", "X")

    await until(is_gone)


async def stopped(pid: int) -> None:
    async def is_stopped() -> bool:
        return state_of(pid) == "T"

    await until(is_stopped)


async def begin(store: Store, partitions: int) -> None:
    """Make the view known to the store."""
    await Views(store, subscribed=[VIEW], partitions=partitions).start()


async def fill(store: Store, events: int, chooser: random.Random) -> None:
    """Payments in a few streams, some of two customers."""
    for _ in range(-(-events // 250)):
        some = [payment(*chooser.sample(CUSTOMERS, chooser.choice((1, 1, 2)))) for _ in range(min(250, events))]
        await store.append(f"order-{chooser.randrange(9)}", some, expected=None)


async def settled(store: Store) -> None:
    async def at_the_head() -> bool:
        return await reached(store, VIEW)

    await until(at_the_head)


async def shared_by(store: Store, *shares: int) -> list[str]:
    """Wait until as many members have these shares; answers who they are."""

    async def are_shared() -> bool:
        found = await owners(store, VIEW)
        return None not in found and sorted(Counter(found).values()) == sorted(shares)

    await until(are_shared)
    return sorted({owner for owner in await owners(store, VIEW) if owner is not None})


def pid_of(owner: str) -> int:
    return int(owner.split(":")[1])


# --- killed -----------------------------------------------------------------------------------------------------------


async def test_a_subscriber_that_is_killed_misses_nothing_and_repeats_nothing(shared_url: str) -> None:
    await kill_again_and_again(shared_url, times=5)


@pytest.mark.soak
async def test_a_subscriber_that_is_killed_a_hundred_times_misses_nothing(shared_url: str) -> None:
    await kill_again_and_again(shared_url, times=100)


async def kill_again_and_again(url: str, *, times: int) -> None:
    seed = int(os.environ.get("TWOFOLD_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TWOFOLD_TEST_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    chooser = random.Random(seed)
    in_catch_up, seen_positions = 0, [0]
    async with connect(url) as store, nursery(url) as children:
        await begin(store, 3)
        for _ in range(times):
            if await store.head() - seen_positions[-1] < 1500:
                await fill(store, 1500, chooser)
            # Two waits, both cut short at random: for the lease, and for some pages.
            pid = await children.bear(lease=0.2, page=10)
            await children.hear("begun", pid)
            await asyncio.sleep(chooser.uniform(0, 0.2))
            await children.kill(pid)
            seen = await image_at(url)
            assert naive_ledgers.faults(seen) == []
            in_catch_up += min(seen.parts.values()) < max(seen.events)
            seen_positions.append(min(seen.parts.values()))
        last = await children.bear(lease=0.2)
        await settled(store)
        await children.end(last)
    told = f"killed in catch-up {in_catch_up} of {times} times, the last at {seen_positions[-1]}"
    print(told)  # noqa: T201 - pytest shows it
    assert naive_ledgers.whole(await image_at(url)) == []
    assert in_catch_up == times
    assert seen_positions == sorted(seen_positions)


# --- stopped ----------------------------------------------------------------------------------------------------------


async def test_who_was_stopped_and_overtaken_stores_nothing_when_it_wakes(shared_url: str) -> None:
    async with connect(shared_url) as store, nursery(shared_url) as children:
        await begin(store, 4)
        await fill(store, 200, random.Random(1))
        sleeper = await children.bear(lease=0.5, page=20, stop_at=95)
        await stopped(sleeper)  # it has read a page and was about to fold it
        other = await children.bear(lease=0.5)
        await settled(store)
        assert {pid_of(owner) for owner in await shared_by(store, 4)} == {other}
        assert naive_ledgers.whole(await image_at(shared_url)) == []

        os.kill(sleeper, signal.SIGCONT)
        await children.hear("refused", sleeper)
        assert {pid_of(owner) for owner in await shared_by(store, 2, 2)} == {sleeper, other}  # a member again
        await fill(store, 100, random.Random(2))
        await settled(store)
        assert naive_ledgers.whole(await image_at(shared_url)) == []


@pytest.mark.soak
async def test_whoever_is_stopped_at_any_moment_nothing_is_applied_twice(shared_url: str) -> None:
    chooser = random.Random(3)
    async with connect(shared_url) as store, nursery(shared_url) as children:
        await begin(store, 4)
        before = await epochs(store)
        pids = [await children.bear(lease=0.5, page=10) for _ in range(2)]
        for _ in range(20):
            await fill(store, 2000, chooser)
            sleeper = chooser.choice(pids)
            await asyncio.sleep(chooser.uniform(0, 0.2))
            os.kill(sleeper, signal.SIGSTOP)
            await stopped(sleeper)
            # Who holds SQLite's lock holds up all others until it wakes. Of PostgreSQL's they are freed after a while.
            await asyncio.sleep(1.5)
            assert naive_ledgers.faults(await image_at(shared_url)) == []
            os.kill(sleeper, signal.SIGCONT)
            await settled(store)
            assert naive_ledgers.whole(await image_at(shared_url)) == []
            await shared_by(store, 2, 2)
        overtaken = await epochs(store) - before - 2 * 4
        print(f"parts went over {overtaken} times")  # noqa: T201 - pytest shows it
        assert overtaken > 10


async def epochs(store: Store) -> int:
    """The sum of the epochs of all parts: each claim raises it by one."""
    return sum(held.epoch for held in await store.work(lambda: Claims(store.dialect).parts("ledgers_v1")))


# --- shared -----------------------------------------------------------------------------------------------------------


async def test_parts_are_shared_evenly_and_handed_over_at_once(shared_url: str) -> None:
    patient = {"lease": 60.0, "beats": 300}  # nobody can be taken for dead here: what goes over is given
    async with connect(shared_url) as store, nursery(shared_url) as children:
        await begin(store, 5)
        chooser = random.Random(4)
        going = True

        async def go_on_paying() -> None:
            while going:
                await pay(store, f"order-{chooser.randrange(9)}", chooser.choice(CUSTOMERS))
                await asyncio.sleep(0.005)

        paying = asyncio.create_task(go_on_paying())
        first = await children.bear(**patient)
        await shared_by(store, 5)
        second = await children.bear(**patient)
        await shared_by(store, 3, 2)
        third = await children.bear(**patient)
        await shared_by(store, 2, 2, 1)
        await children.end(second)
        assert {pid_of(owner) for owner in await shared_by(store, 3, 2)} == {first, third}
        await children.end(first)
        assert {pid_of(owner) for owner in await shared_by(store, 5)} == {third}
        going = False
        await paying
        await settled(store)
        assert naive_ledgers.whole(await image_at(shared_url)) == []
        await children.end(third)
        assert await owners(store, VIEW) == [None] * 5
