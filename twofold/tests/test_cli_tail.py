"""`twofold tail` with more events than its cap lets pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from ledgers import until
from twofold.cli import tailing
from twofold.events import Recorded
from twofold.stores.memory import MemoryStore
from twofold.testing.contract_base import several


class Counting(MemoryStore):
    """A store that counts what is read of its log."""

    seen = 0

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncGenerator[Recorded[bytes]]:
        async for recorded in super().read_all(after=after, limit=limit):
            self.seen += 1
            yield recorded


@pytest.mark.parametrize(("wanted", "reads"), [(tailing.Wanted(), 3), (tailing.Wanted(category="order"), 500)])
async def test_what_is_left_out_is_told_and_not_read_where_all_are_wanted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], wanted: tailing.Wanted, reads: int
) -> None:
    monkeypatch.setattr(tailing, "WINDOW_SECONDS", 0.5)
    printed: list[dict[str, object]] = []

    async def told(number: int) -> bool:
        printed.extend(json.loads(line) for line in capfd.readouterr().out.splitlines())
        return len(printed) >= number

    async with Counting() as store:

        @asynccontextmanager
        async def connected(_url: str, *, create: bool) -> AsyncGenerator[MemoryStore]:
            assert not create
            yield store

        monkeypatch.setattr(tailing, "connect", connected)
        await store.append("order-1", several(500), expected=0)
        running = asyncio.create_task(tailing.tail("", wanted=wanted, after=0, rate=3, limit=None, json=True))
        await until(lambda: told(4))
        assert store.seen == reads
        await store.append("order-1", several(2), expected=500)
        await until(lambda: told(6))
        running.cancel()
        await asyncio.wait([running])
    assert [line.get("position", line) for line in printed] == [1, 2, 3, {"leftOut": 497}, 501, 502]
