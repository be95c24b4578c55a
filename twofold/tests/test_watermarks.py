"""Read your own writes: tokens, and waiting for the views to reach them."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers import led_by_hand, ledgers, pay, subscribed
from twofold import Store
from twofold.running import running
from twofold.sql import Fetch, Row
from twofold.store import LARGEST
from twofold.stores.memory import MemoryStore
from twofold.views import Views
from twofold.watermarks import Token, Watermarks

VIEW = ledgers()

# --- tokens -----------------------------------------------------------------------------------------------------------


@given(st.uuids(), st.integers(0, LARGEST))
def test_a_token_survives_the_way_there_and_back(store: UUID, position: int) -> None:
    token = Token(store, position)
    text = token.text()
    assert Token.of(text) == token
    assert text.isascii()
    assert len(text) == 32


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{32}", fullmatch=True) | st.from_regex(r"[+/A-Z]{32}", fullmatch=True))
def test_what_is_no_token_is_refused_or_means_what_it_says(text: str) -> None:
    token = Token.of(text)
    assert token is None or token.text() == text


@pytest.mark.parametrize(
    "text", ["", "token", "A" * 31, "A" * 33, "A" * 31 + "=", "+" * 32, "ü" * 32, "_" * 32, "\0" * 32]
)
def test_these_are_no_tokens(text: str) -> None:
    assert Token.of(text) is None


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_who_waits_is_answered_once_the_views_are_there(store: Store) -> None:
    views = Views(store, subscribed=[VIEW], partitions=2)
    await views.start()
    watermarks = Watermarks(views)
    async with running(views, lease_seconds=0.5, on_advance=watermarks.advanced):
        for number in range(10):
            receipt = await pay(store, "order-1", f"{number}", "a")
            assert await watermarks.wait(["ledgers"], receipt.position, 30) == 0
            ((body,),) = [row[:1] for row in await views.rows(VIEW.by_key, b_key="a")]
            assert VIEW.decode(body).positions[-1] == receipt.position


async def test_it_is_noticed_what_another_process_brings_further(store: Store) -> None:
    hands = await led_by_hand(store, VIEW)
    watermarks = Watermarks(hands.views)
    async with subscribed(store, hands.subscriber, lease=0.2):  # it tells nobody
        receipt = await pay(store, "order-1", "a")
        assert await watermarks.wait(["ledgers"], receipt.position, 30) == 0


async def test_who_has_waited_long_enough_is_told_how_far_behind_it_is(store: Store) -> None:
    hands = await led_by_hand(store, VIEW, partitions=2)
    watermarks = Watermarks(hands.views)
    for customer in "ab":
        await pay(store, "order-1", customer)
    assert await watermarks.behind(["ledgers"], 0) == 0
    assert await watermarks.behind(["ledgers"], 2) == 2
    began = time.monotonic()
    assert await watermarks.wait(["ledgers"], 1, 0.1) == 1
    assert time.monotonic() - began >= 0.1
    await hands.followers[0].settle()
    assert await watermarks.wait(["ledgers"], 2, 0) == 2  # the slowest part counts
    await hands.followers[1].settle()
    assert await watermarks.wait(["ledgers"], 2, 0) == 0
    assert await watermarks.behind(["ledgers"], 5) == 3
    assert await watermarks.behind([], 5) == 0


async def test_inline_views_are_never_waited_for(store: Store) -> None:
    views = Views(store, [VIEW])
    await views.start()
    receipt = await pay(store, "order-1", "a")
    assert await Watermarks(views).wait(["ledgers"], receipt.position, 0) == 0


async def test_the_database_is_asked_once_for_all_who_wait() -> None:
    class Counting(MemoryStore):
        asked = 0

        async def rows(self, query: Fetch) -> list[Row]:
            if "min(" in query.sql:
                self.asked += 1
                await asyncio.sleep(0.05)
            return await super().rows(query)

    async with Counting() as store:
        hands = await led_by_hand(store, VIEW)
        watermarks = Watermarks(hands.views)
        await pay(store, "order-1", "a")
        waiting = [asyncio.create_task(watermarks.wait(["ledgers"], 1, 30)) for _ in range(50)]
        await asyncio.sleep(0.02)
        waiting[0].cancel()  # it takes nobody with it
        await hands.settle()
        watermarks.advanced()
        assert await asyncio.gather(*waiting[1:]) == [0] * 49
        assert store.asked <= 3


async def test_trouble_with_the_store_is_told_to_all_who_wait_and_forgotten() -> None:
    class Failing(MemoryStore):
        fails = True

        async def rows(self, query: Fetch) -> list[Row]:
            await asyncio.sleep(0)
            if self.fails and "min(" in query.sql:
                raise ConnectionError
            return await super().rows(query)

    async with Failing() as store:
        watermarks = Watermarks((await led_by_hand(store, VIEW)).views)
        told = await asyncio.gather(*(watermarks.behind(["ledgers"], 0) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in told] == [ConnectionError] * 3
        store.fails = False
        assert await watermarks.behind(["ledgers"], 0) == 0
