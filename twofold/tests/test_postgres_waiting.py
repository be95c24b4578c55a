"""How the PostgreSQL store wakes who waits for an append, and what does so when a notification is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from time import monotonic

import pytest

from postgres_others import ask, connected, until
from tcp_proxy import proxy_to
from twofold.errors import StoreClosed
from twofold.stores.postgres import PostgresStore, bell
from twofold.testing.contract_base import several

LISTENING = "select pid from pg_stat_activity where datname = current_database() and application_name = 'twofold bell'"


@pytest.fixture
async def notified(postgres_url: str) -> AsyncGenerator[asyncio.Queue[int]]:
    """What comes over the channel, as another process hears it."""
    heard = asyncio.Queue[int]()
    async with PostgresStore(postgres_url), connected(postgres_url) as connection:
        ((channel,),) = await connection.rows("select 'twofold_' || 'event'::regclass::oid")
        await connection.listen(channel, heard.put_nowait, lambda: None)
        yield heard


KILL = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'twofold bell'
"""


async def listening(url: str, count: int, *, but: Iterable[int] = ()) -> set[int]:
    """The processes of the server that serve bells, once there are so many."""
    pids = set[int]()

    async def enough() -> bool:
        pids.clear()
        pids.update(int(pid) for (pid,) in await ask(url, LISTENING))
        return len(pids - set(but)) >= count

    await until(enough)
    await asyncio.sleep(0.05)  # until they listen
    return pids


async def test_an_append_of_another_process_is_heard_at_once(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "POLL_SECONDS", 60.0)
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        await listening(postgres_url, 2)
        await asyncio.sleep(0.05)
        for version in range(3):
            waiting = asyncio.create_task(store.wait_appended(after=version))
            await asyncio.sleep(0.05)
            await other.append("order-1", several(1), expected=version)
            await asyncio.wait_for(waiting, 3)


async def test_many_appends_are_told_by_few_notifications(postgres_url: str, notified: asyncio.Queue[int]) -> None:
    async with PostgresStore(postgres_url) as store:
        await listening(postgres_url, 2)
        began = monotonic()
        for version in range(40):
            await store.append("order-1", several(1), expected=version)
        await asyncio.sleep(0.1)
        assert 1 <= notified.qsize() <= 2 + (monotonic() - began) / bell.NOTIFY_SECONDS


async def test_the_last_append_before_closing_is_told(postgres_url: str, notified: asyncio.Queue[int]) -> None:
    for version in range(3):
        async with PostgresStore(postgres_url) as store:
            await listening(postgres_url, 2)
            await asyncio.sleep(0.02)
            await store.append("order-1", several(1), expected=version)
        await asyncio.wait_for(notified.get(), 3)


async def test_so_is_one_straight_after_another(postgres_url: str, notified: asyncio.Queue[int]) -> None:
    async with PostgresStore(postgres_url) as store:
        await listening(postgres_url, 2)
        await asyncio.sleep(0.05)
        await store.append("order-1", several(1), expected=0)
        await asyncio.wait_for(notified.get(), 3)
        await store.append("order-1", several(1), expected=1)
    await asyncio.wait_for(notified.get(), 3)


async def test_nobody_is_told_from_within_the_append(postgres_url: str, notified: asyncio.Queue[int]) -> None:
    """A transaction that has notified holds a lock of the whole database until its commit is on disk."""
    async with PostgresStore(postgres_url) as store:
        bells = await listening(postgres_url, 2)
        await asyncio.sleep(0.05)
        for version in range(10):
            await store.append("order-1", several(1), expected=version)
            assert await asyncio.wait_for(notified.get(), 3) in bells


async def test_where_nobody_listens_any_more_polling_finds_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "BACK_OFF_SECONDS", (60.0, 60.0))
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        await listening(postgres_url, 2)
        await asyncio.sleep(0.05)
        monkeypatch.setattr(bell, "opened", unreachable)
        waiting = asyncio.create_task(store.wait_appended(after=0))
        await asyncio.sleep(0.05)
        await ask(postgres_url, KILL)
        await asyncio.sleep(0.05)
        await other.append("order-1", several(1), expected=0)
        began = monotonic()
        await asyncio.wait_for(waiting, 3)
        assert monotonic() - began < bell.POLL_SECONDS


async def unreachable(*_: object) -> None:
    await asyncio.sleep(60)


async def test_who_is_cut_off_listens_again(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with PostgresStore(postgres_url) as store, PostgresStore(postgres_url) as other:
        before = await listening(postgres_url, 2)
        await ask(postgres_url, KILL)
        await listening(postgres_url, 2, but=before)
        monkeypatch.setattr(bell, "POLL_SECONDS", 60.0)
        waiting = asyncio.create_task(store.wait_appended(after=0))
        await asyncio.sleep(0.05)
        await other.append("order-1", several(1), expected=0)
        await asyncio.wait_for(waiting, 3)


async def test_a_connection_that_has_gone_deaf_is_found_out_and_replaced(postgres_url: str) -> None:
    """Nobody says that it is gone: notifications are swallowed, and nothing else is sent on it."""
    async with proxy_to(postgres_url) as proxy, PostgresStore(proxy.url) as store, PostgresStore(postgres_url) as other:
        before = await listening(postgres_url, 2)
        await asyncio.sleep(0.05)
        proxy.silence_now(b"LISTEN")

        async def noticed(version: int) -> float:
            """How long after the append."""
            waiting = asyncio.create_task(store.wait_appended(after=version))
            await asyncio.sleep(0.05)
            await other.append("order-1", several(1), expected=version)
            began = monotonic()
            await asyncio.wait_for(waiting, bell.POLL_SECONDS + 2)
            return monotonic() - began

        await noticed(0)
        await listening(postgres_url, 1, but=before)
        assert await noticed(1) < bell.POLL_SECONDS / 2, "it listens on the deaf connection still"


async def test_an_append_of_our_own_that_is_seen_before_it_is_told_makes_no_connection_deaf(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has committed it, and its answer is still on its way."""
    right = bell.Bell.ring

    def late(own: bell.Bell, position: int) -> None:
        asyncio.get_running_loop().call_later(0.02, right, own, position)

    monkeypatch.setattr(bell.Bell, "ring", late)
    monkeypatch.setattr(bell, "POLL_SECONDS", 0.05)
    async with PostgresStore(postgres_url) as store:
        before = await listening(postgres_url, 1)
        waiting = asyncio.create_task(store.wait_appended(after=1000))
        for version in range(40):
            await store.append("order-1", several(1), expected=version)
            await asyncio.sleep(0.01)
        assert await listening(postgres_url, 1) == before
        waiting.cancel()


async def test_waits_end_with_the_store_even_where_they_are_only_beginning(postgres_url: str) -> None:
    for turns in range(12):
        async with PostgresStore(postgres_url) as store:
            waiting = [asyncio.create_task(store.wait_appended(after=0)) for _ in range(6)]
            for _ in range(turns):
                await asyncio.sleep(0.002)
        for task in waiting:
            with pytest.raises(StoreClosed):
                await asyncio.wait_for(task, 3)
