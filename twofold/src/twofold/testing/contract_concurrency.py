"""The contract under concurrency, in one opening of the store.

Each schedule is laid so that a store that is wrong meets its fault every time: all writers set out in the same turn of
the event loop, readers look at every turn, and cancellations come at each turn there is.
"""

from __future__ import annotations

import asyncio

from twofold.errors import Conflict, EventIdTaken
from twofold.events import Receipt
from twofold.messages import Idempotency
from twofold.store import EventStore, Store
from twofold.testing.contract_base import ContractBase, events_of, several, whole
from twofold.testing.contract_history import History, check_log, check_whole

STREAMS = [f"order-{number}" for number in range(4)]


class ConcurrencyContract(ContractBase):
    """Many at once."""

    async def test_one_of_many_appends_at_the_same_version_wins(self, store: Store) -> None:
        for version in range(5):
            appends = {f"{number}": several(1) for number in range(40)}
            outcomes = await self.soon(
                asyncio.gather(
                    *(store.append("order-1", events, expected=version) for events in appends.values()),
                    return_exceptions=True,
                )
            )
            conflicts = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
            winners = [(o, e[0].id) for o, e in zip(outcomes, appends.values(), strict=True) if isinstance(o, Receipt)]
            assert len(winners) == 1
            assert len(conflicts) == len(appends) - 1
            assert {(conflict.expected, conflict.actual) for conflict in conflicts} == {(version, version + 1)}
            ((receipt, id),) = winners
            stored = await events_of(store, "order-1")
            assert [recorded.version for recorded in stored] == list(range(1, version + 2))
            assert (stored[-1].id, stored[-1].position) == (id, receipt.position)

    async def test_appends_at_once_find_their_places(self, store: Store) -> None:
        history = History()
        appends = [
            history.append(store, f"order-{number % 10}", several(1 + number % 3), expected=None)
            for number in range(50)
        ]
        await self.soon(asyncio.gather(*appends))
        history.check(await whole(store))

    async def test_who_follows_the_log_sees_every_position_once_and_in_order(self, store: Store) -> None:
        history = History()
        followers = [asyncio.create_task(history.follow(store)) for _ in range(3)]
        await self.soon(asyncio.gather(*(write(store, history, number) for number in range(12))))
        await history.end(store)
        await self.soon(asyncio.gather(*followers))
        history.check(await whole(store))

    async def test_who_looks_at_every_turn_never_sees_a_position_late_or_an_append_by_half(self, store: Store) -> None:
        history = History()
        writing = asyncio.gather(*(write(store, history, number) for number in range(6)))
        looks = [await whole(store)]
        async with asyncio.timeout(self.patience):
            while not writing.done():
                for stream in STREAMS[:2]:
                    check_whole(await events_of(store, stream))
                look = await whole(store)
                check_whole(look)
                if len(look) != len(looks[-1]):
                    looks.append(look)
                await asyncio.sleep(0)
            await writing
        log = await whole(store)
        history.check(log)
        for look in looks:
            assert look == log[: len(look)], "what was read changed, or something came in below it"

    async def test_the_same_append_many_times_at_once_is_stored_once(self, store: Store) -> None:
        for expected in (0, None):
            stream = f"order-{expected}"
            events = several(3)
            receipts = await self.soon(
                asyncio.gather(*(store.append(stream, events, expected=expected) for _ in range(30)))
            )
            assert len({(r.stream, r.version, r.position) for r in receipts}) == 1
            assert sum(not receipt.repeated for receipt in receipts) == 1
            assert [recorded.id for recorded in await events_of(store, stream)] == [event.id for event in events]

    async def test_ids_that_two_appends_share_are_stored_once(self, store: Store) -> None:
        shared = several(1)
        appends = [
            store.append(f"order-{number}", [*several(1), *shared, *several(1)], expected=0) for number in range(10)
        ]
        outcomes = await self.soon(asyncio.gather(*appends, return_exceptions=True))
        assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, EventIdTaken) for outcome in outcomes) == 9
        log = await whole(store)
        check_log(log)
        assert len(log) == 3

    async def test_one_request_many_times_at_once_has_one_effect_and_one_answer(self, store: Store) -> None:
        asked = Idempotency("key", "request")
        appends = [store.append(f"order-{number}", several(2), expected=0, idempotency=asked) for number in range(100)]
        receipts = await self.soon(asyncio.gather(*appends))
        assert len({(r.stream, r.version, r.position) for r in receipts}) == 1
        assert sum(not receipt.repeated for receipt in receipts) == 1
        assert len(await whole(store)) == 2

    async def test_a_request_is_accepted_or_refused_and_never_both(self, store: Store) -> None:
        for number in range(10):
            asked = Idempotency(f"key-{number}", "request")
            append = store.append(f"order-{number}", several(1), expected=0, idempotency=asked)
            refuse = store.refuse(asked, b"no")
            both = (append, refuse) if number % 2 else (refuse, append)
            await self.soon(asyncio.gather(*both, return_exceptions=True))
            remembered = await store.recall(asked.key)
            assert remembered is not None
            stored = await events_of(store, f"order-{number}")
            assert (remembered.receipt is None) == (remembered.refusal is not None) == (not stored)

    async def test_a_cancelled_append_is_stored_whole_or_not_at_all_and_harms_no_other(self, store: Store) -> None:
        history = History()
        for turns in range(8):
            cancelled = several(3)
            doomed = asyncio.create_task(history.append(store, f"cancelled-{turns}", cancelled, expected=0))
            others = [
                asyncio.create_task(history.append(store, f"order-{number}", several(2), expected=None))
                for number in range(6)
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            doomed.cancel()
            outcomes = await self.soon(asyncio.gather(*others))
            assert all(isinstance(outcome, Receipt) for outcome in outcomes)
            await asyncio.gather(doomed, return_exceptions=True)
            assert len(await events_of(store, f"cancelled-{turns}")) in (0, 3)
            # What became of it is found out by asking again.
            settled = await history.append(store, f"cancelled-{turns}", cancelled, expected=0)
            assert isinstance(settled, Receipt)
        history.check(await whole(store))


async def write(store: EventStore, history: History, number: int, *, appends: int = 12) -> None:
    """One writer of three on its stream: it appends at the version it knows, and learns from each conflict."""
    stream = STREAMS[number // 3]
    version = 0
    for turn in range(appends):
        outcome = await history.append(store, stream, several(1 + (number + turn) % 3), expected=version)
        version = outcome.actual if isinstance(outcome, Conflict) else outcome.version
        for _ in range(1 + (number * turn) % 5):  # out of step with the others, and with those who read
            await asyncio.sleep(0)
