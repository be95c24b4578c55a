"""Whoever builds or promotes a view may be killed at any moment: the view goes on, and the next attempt succeeds."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

import pytest

from payments import INLINE, SUBSCRIBED, Readers, assert_right, fill, kept, settled, traffic
from twofold.connect import connect

CHILD = Path(__file__).with_name("build_child.py")
EVENTS = 3000
PAGE = "20"
KILLS = 3


async def child(what: str, url: str, lifecycle: str, *, killed_after: float | None = None) -> list[int]:
    """Run the child, to its end or until it is killed so many seconds after its first step. The positions it told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), what, url, lifecycle, PAGE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        told = [await process.stdout.readline()]
        if killed_after is not None:
            await asyncio.sleep(killed_after)
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
        told += (await process.stdout.read()).splitlines()
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code == 0 or (killed_after is not None and code == -signal.SIGKILL)
    return [json.loads(line)[0] for line in told if line.strip()]


async def attacked(url: str, lifecycle: str) -> None:
    chance = random.Random(7)
    async with connect(url) as store, kept(store, lifecycle) as views:
        await fill(store, EVENTS)
        await settled(views)
        async with Readers(views, pause=0.05).looking() as readers, traffic(store, pause=0.02):
            reached = 0
            for _ in range(KILLS):  # in the middle of a build, and of its continuation
                positions = await child("build", url, lifecycle, killed_after=chance.uniform(0, 0.3))
                assert positions[-1] >= reached  # nothing is built twice
                reached = positions[-1]
            for _ in range(KILLS):  # and of the promotion: it is begun again, or done
                await child("resume", url, lifecycle, killed_after=chance.uniform(0, 0.6))
            await child("resume", url, lifecycle)
        assert readers.count > KILLS
        await assert_right(views)


@pytest.mark.parametrize("lifecycle", [INLINE, SUBSCRIBED])
async def test_whoever_builds_may_be_killed_on_sqlite(tmp_path: Path, lifecycle: str) -> None:
    await attacked(f"sqlite:///{tmp_path / 'store.db'}", lifecycle)


async def test_whoever_builds_may_be_killed_on_postgresql(postgres_url: str) -> None:
    await attacked(postgres_url, SUBSCRIBED)
