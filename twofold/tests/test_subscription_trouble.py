"""A subscription on a store that fails: whatever fails and whenever, nothing is lost and nothing is applied twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

import naive_ledgers
from ledgers import Hands, Trouble, claim_all, led_by_hand, ledgers, pay, reached, subscribed, until
from naive_ledgers import image_in
from troubled import Fault, TroubledMemory, TroubledSqlite
from twofold import Store, follower, letters
from twofold.errors import LetterRefused, OutcomeUnknown, SkipOvertaken, StoreUnavailable

Troubled = TroubledMemory | TroubledSqlite


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, and no letter tried again by itself."""
    monkeypatch.setattr(follower, "BACK_OFF_SECONDS", (0.0,))
    monkeypatch.setattr(letters, "RETRY_SECONDS", ())


@pytest.fixture(params=["memory", "sqlite"])
async def troubled(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Troubled]:
    async with TroubledMemory() if request.param == "memory" else TroubledSqlite(str(tmp_path / "store.db")) as store:
        yield store


async def paid(store: Store, customers: str) -> None:
    for customer in customers:
        await pay(store, f"order-{customer}", customer)


async def test_a_transaction_that_breaks_off_anywhere_leaves_nothing(troubled: Troubled) -> None:
    trouble = Trouble({"b"}, positions={5})
    hands = await led_by_hand(troubled, ledgers(trouble))
    await paid(troubled, "abcad")
    await hands.followers[0].step()  # rows, letters and position: the first page
    await paid(troubled, "abcad")
    before = await image_in(troubled)
    statements = 0
    while (await image_in(troubled))._replace(events=before.events) == before._replace(events=before.events):
        troubled.faults.plan(statements)
        try:
            await hands.followers[0].step()
        except StoreUnavailable:
            assert await hands.position() == 5
            statements += 1
        await hands.check()
    assert statements > 5
    assert await hands.position() == 10


@pytest.mark.parametrize("fault", ["busy", "lost", "unknown", 0, 1, 2, 3])
@pytest.mark.parametrize("times", [1, 3])
async def test_trouble_with_the_store_is_survived(troubled: Troubled, fault: Fault, times: int) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(troubled, ledgers(trouble), partitions=2)
    for _ in range(3):
        await paid(troubled, "abc")
        for each in hands.followers:
            for _ in range(times):
                troubled.faults.plan(fault)
            assert await each.follow_until_idle() == "idle"
            troubled.faults.clear()
            await hands.check()
    assert troubled.faults.happened >= 3
    assert await hands.position() == 9
    assert [position for _, position in await hands.summary()] == [2, 5, 8]


@pytest.mark.parametrize("fault", ["busy", "lost", "unknown", 0, 3, 5])
async def test_trouble_with_the_store_in_a_retry_is_survived(troubled: Troubled, fault: Fault) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(troubled, ledgers(trouble))
    await paid(troubled, "bbb")
    await hands.settle()
    trouble.customers.clear()
    troubled.faults.plan(fault)
    with pytest.raises((StoreUnavailable, OutcomeUnknown)):
        await hands.retry("b")
    await hands.check()
    await hands.retry("b")
    assert await hands.letters() == []
    await hands.check()


async def test_members_on_a_store_that_fails_again_and_again(troubled: Troubled) -> None:
    hands = await led_by_hand(troubled, ledgers(), partitions=3)
    kinds: list[Fault] = ["busy", "none", "unknown", "none", 2, "lost", 1, "none", 4]
    async with subscribed(troubled, hands.subscriber, lease=0.2), subscribed(troubled, hands.subscriber, lease=0.2):
        troubled.faults.plan(*kinds * 10)
        while troubled.faults.left:
            await paid(troubled, "abcdef")
            await asyncio.sleep(0.01)

        async def at_the_head() -> bool:
            return await reached(troubled, ledgers())

        await until(at_the_head)
    assert troubled.faults.happened == 60
    assert naive_ledgers.whole(await image_in(troubled)) == []


# --- whatever happens -------------------------------------------------------------------------------------------------

names = st.sampled_from("abc")
faults = st.sampled_from(["none", "none", "busy", "lost", "unknown", 0, 1, 2, 3, 4, 5, 6, 8, 10])


class Anything(RuleBasedStateMachine):
    """Payments, poison that comes and goes, events that cannot be read, retries, skips, take-overs, store trouble.

    What must hold at every moment says `naive_ledgers`: each event is in its row or parked, in one of the two and once.
    """

    partitions = 1

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._store = TroubledMemory()
        self._trouble = Trouble()
        self._garbled = False  # whether anything ever was: then what others brought meanwhile came first
        self._skipped: set[tuple[str, int]] = set()
        self._hands: Hands = self._run(self._begin())

    def _run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    async def _begin(self) -> Hands:
        await self._store.__aenter__()
        return await led_by_hand(self._store, ledgers(self._trouble), partitions=self.partitions)

    @rule(
        payments=st.lists(st.tuples(st.integers(1, 2), st.sets(names, min_size=1, max_size=3)), min_size=1, max_size=5)
    )
    def pay(self, payments: list[tuple[int, set[str]]]) -> None:
        for stream, customers in payments:
            self._run(pay(self._store, f"order-{stream}", *sorted(customers)))

    @rule(customer=names)
    def poison(self, customer: str) -> None:
        self._trouble.customers ^= {customer}

    @rule(ahead=st.integers(1, 5))
    def garble(self, ahead: int) -> None:
        self._garbled = True
        self._trouble.positions.add(self._run(self._store.head()) + ahead)

    @rule(stream=st.integers(1, 2), customers=st.permutations("abc"))
    def mishap(self, stream: int, customers: list[str]) -> None:
        """What chance seldom brings about: a row is parked, then a stream of which it has events."""
        stuck, other, _ = customers
        self._trouble.customers |= {stuck}
        self.pay([(stream, {stuck})])
        self.follow([])
        self.garble(1)
        self.pay([(stream, {stuck, other})] * 2)
        self.follow([])

    @rule()
    def mend(self) -> None:
        self._trouble.positions.clear()

    @rule(trouble=st.lists(faults, max_size=4))
    def follow(self, trouble: list[Fault]) -> None:
        for each in self._hands.followers:
            self._store.faults.plan(*trouble)
            assert self._run(each.follow_until_idle()) == "idle"
            self._store.faults.clear()

    @rule()
    def take_over(self) -> None:
        """A sleeper wakes, tries, and stores nothing: another has its claim."""
        sleepers = list(self._hands.followers)
        self._run(claim_all(self._hands))
        before = self._run(image_in(self._store))
        for each in sleepers:
            self._run(each.follow_until_idle())
        assert self._run(image_in(self._store)) == before

    @rule(pick=st.randoms(use_true_random=False), fault=faults)
    def retry(self, pick: Any, fault: Fault) -> None:
        waiting = [letter for letter in self._run(self._hands.letters()) if letter.skipped is None]
        if waiting:
            letter = pick.choice(waiting)
            self._store.faults.plan(fault)
            with suppress(StoreUnavailable, OutcomeUnknown):
                self._run(self._hands.retry(letter.sequence, letter.partition))
            self._store.faults.clear()

    @rule(pick=st.randoms(use_true_random=False))
    def skip(self, pick: Any) -> None:
        letters = self._run(self._hands.letters())
        if letters:
            letter = pick.choice(letters)
            own = [each for each in letters if (each.sequence, each.partition) == (letter.sequence, letter.partition)]
            first = next((each for each in own if each.skipped is None), None)
            try:
                self._run(self._hands.parked.skip(letter, "no"))
            except LetterRefused:
                assert letter != first
            else:
                assert letter == first

    @rule(pick=st.randoms(use_true_random=False))
    def undo(self, pick: Any) -> None:
        letters = self._run(self._hands.letters())
        if letters:
            letter = pick.choice(letters)
            seen = self._run(image_in(self._store))
            row = seen.rows.get(letter.sequence, {"positions": []})["positions"]
            try:
                self._run(self._hands.parked.undo_skip(letter))
            except LetterRefused:
                assert letter.skipped is None
            except SkipOvertaken:
                assert letter.overtaken
            else:
                assert all(position < letter.position for position in row) or self._garbled

    @invariant()
    def each_event_is_in_one_place_and_once(self) -> None:
        assert naive_ledgers.faults(self._run(image_in(self._store)), in_order=not self._garbled) == []

    def teardown(self) -> None:
        """Once all is mended and tried again, only what was skipped is missing."""
        try:
            self._trouble.customers.clear()
            self._trouble.positions.clear()
            self.follow([])
            while waiting := [letter for letter in self._run(self._hands.letters()) if letter.skipped is None]:
                self._run(self._hands.retry(waiting[-1].sequence, waiting[-1].partition))
            assert self._run(reached(self._store, ledgers()))
            self.each_event_is_in_one_place_and_once()
        finally:
            self._run(self._store.__aexit__(None, None, None))
            self._runner.close()


class AnythingInParts(Anything):
    partitions = 3


@pytest.mark.parametrize("machine", [Anything, AnythingInParts])
def test_whatever_happens_each_event_is_folded_or_parked_and_once(machine: type[Anything]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25))


@pytest.mark.soak
@pytest.mark.parametrize("machine", [Anything, AnythingInParts])
def test_whatever_happens_for_long(machine: type[Anything]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=1500, stateful_step_count=60))
