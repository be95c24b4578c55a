"""Events that a subscription cannot pass: parked in order, drained in order, left out, taken back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar

import pytest
import sqlalchemy as sa

from ledgers import ORDERS, Hands, Ledger, Ledgers, Paid, Trouble, codec, led_by_hand, ledgers, pay, raw
from twofold import Codec, Column, Projection, Recorded, Source, Store, letters, parked
from twofold.claims import Claims
from twofold.errors import EventCorrupt, LetterRefused, LetterUnknown, SkipOvertaken
from twofold.events import Recorded as Stored
from twofold.letters import BEHIND, Letter
from twofold.sequences import CAUSES, FRAMES, LONGEST_TRACE, partition_of, trace_of
from twofold.sql import Row
from twofold.store import EventStore
from twofold.table_view import TableView
from twofold.tables import SCHEMA
from twofold.views import SqlProjection, SqlView, Step


@pytest.fixture(autouse=True)
def in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself, but where a test says so."""
    monkeypatch.setattr(letters, "RETRY_SECONDS", (3600.0,) * 3)


async def paid(store: Store, customers: str) -> None:
    """A payment of each of these customers, in the stream of its name."""
    for customer in customers:
        await pay(store, f"order-{customer}", customer)


async def letter_at(hands: Hands, position: int) -> Letter:
    return next(letter for letter in await hands.letters() if letter.position == position)


# --- in order ---------------------------------------------------------------------------------------------------------


async def test_what_fails_is_parked_in_order_and_others_go_on(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "abcab")
    await hands.settle()
    assert await hands.summary() == [("b", 2), ("b", 5)]
    await hands.check()
    first, second = await hands.letters()
    assert (first.attempts, first.error) == (1, "ValueError: this customer's payments cannot be folded")
    assert (second.attempts, second.error, second.retry_at) == (0, BEHIND, None)
    assert await hands.position() == 5

    trouble.customers.clear()
    await paid(store, "ba")
    await hands.settle()
    assert await hands.summary() == [("b", 2), ("b", 5), ("b", 6)]  # what is new goes behind
    assert await hands.retry("b") == (3, 0)
    assert await hands.summary() == []
    await hands.check()


async def test_a_letter_keeps_where_in_the_code_its_error_was_raised(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing of the event: neither its values nor the text of the error, which may quote them."""
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bb")
    await hands.settle()
    line, *_ = (record.getMessage() for record in caplog.records if " parks " in record.getMessage())
    assert re.fullmatch(r"ledgers_v1 parks 'b' from position 1 on: ValueError at ledgers:\d+ in Ledgers.evolve", line)
    first, second = await hands.letters()
    assert first.trace is not None
    assert first.trace.splitlines()[0] == "ValueError"
    assert re.fullmatch(r"  ledgers:\d+ in Ledgers.evolve", first.trace.splitlines()[-1])
    assert "cannot be folded" not in first.trace
    assert second.trace is None

    trouble.positions.add(1)  # from now on it fails before that, where it is decoded
    await hands.retry("b")
    first, second = await hands.letters()
    assert (first.attempts, second.trace) == (2, None)
    assert first.trace is not None
    assert "Flaky.decode" in first.trace
    assert "Ledgers.evolve" not in first.trace


def test_a_trace_says_what_an_error_came_of_and_is_bounded() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise KeyError("secret")

    def outer(secret: str) -> None:
        try:
            deep(100)
        except KeyError as error:
            raise ValueError(secret) from error

    def told() -> str:
        try:
            outer("secret")
        except ValueError as error:
            return trace_of(error)
        return ""

    frames = told().splitlines()
    assert [line.rpartition(".")[2] for line in frames[1:3]] == ["told", "outer"]
    assert frames[0] == "ValueError"
    assert frames[3] == "caused by KeyError"
    assert len(frames) == 4 + FRAMES
    assert "secret" not in told()
    deep.__code__ = deep.__code__.replace(co_qualname="long" * 100)
    assert len(told()) == LONGEST_TRACE
    loop = ValueError()
    loop.__cause__ = loop
    assert len(trace_of(loop).splitlines()) == CAUSES


async def test_a_retry_goes_as_far_as_it_gets(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bbbb")
    await hands.settle()
    assert await hands.retry("b") == (0, 4)
    trouble.customers.clear()
    trouble.failing |= {3}
    assert await hands.retry("b") == (2, 2)
    await hands.check()
    first, second = await hands.letters()
    assert (first.position, first.attempts, second.attempts) == (3, 1, 0)
    assert await hands.retry("b") == (0, 2)
    assert (await letter_at(hands, 3)).attempts == 2
    trouble.failing.clear()
    assert await hands.retry("b") == (2, 0)
    assert await hands.retry("b") == (0, 0)
    await hands.check()


async def test_an_event_of_two_sequences_is_parked_where_it_failed(store: Store) -> None:
    trouble = Trouble()
    hands = await led_by_hand(store, ledgers(trouble))
    await pay(store, "order-1", "a")
    trouble.failing |= {1}
    await hands.settle()
    await pay(store, "order-1", "a", "b")
    await pay(store, "order-1", "b")
    await hands.settle()
    assert await hands.summary() == [("a", 1), ("a", 2)]
    await hands.check()
    trouble.failing.clear()
    assert await hands.retry("a") == (2, 0)
    await hands.check()


async def test_letters_are_tried_again_by_themselves_and_not_for_ever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "RETRY_SECONDS", (0.0, 0.0, 0.0))
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "abab")
    await hands.settle()
    first, second = await hands.letters()
    assert (first.attempts, first.retry_at, second.attempts) == (4, None, 0)
    trouble.customers.clear()
    await hands.settle()
    assert len(await hands.summary()) == 2  # from now on somebody must ask
    assert await hands.retry("b") == (2, 0)

    trouble.failing |= {5}
    await paid(store, "b")
    await hands.followers[0].step()  # it fails, and is tried once more in the same turn
    trouble.failing.clear()
    await hands.settle()
    assert await hands.summary() == []
    await hands.check()


async def test_a_long_sequence_is_drained_without_holding_up_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked, "DRAINED", 2)
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "b" * 7)
    await hands.settle()
    trouble.customers.clear()
    drained = await hands.parked.retry(hands.subscriber, 0, "b", batches=1)  # and then its process was killed
    assert drained == (2, 5, None)
    for left in (3, 1, 0):  # the follower goes on with it, and with what is new in between
        await paid(store, "a")
        await hands.followers[0].step()
        assert len(await hands.summary()) == left
        assert await hands.position() == await store.head()
    await hands.check()


async def test_a_long_sequence_makes_no_transaction_longer(store: Store) -> None:
    """Each one asks which sequences are parked, and all appends of a SQLite store wait for it."""
    hands = await led_by_hand(store, ledgers(Trouble(set())))
    claims, insert = Claims(store.dialect), sa.insert(letters.parked)
    columns: dict[str, object] = {column.name: sa.bindparam(column.name) for column in letters.parked.c}
    letter = Letter(hands.name, "b", 0, 0, 0, BEHIND, 0, None, None, 0, None)

    async def park(sequence: str, first: int, count: int) -> None:
        rows = [letter._replace(sequence=sequence, position=first + n)._asdict() for n in range(count)]
        await store.work(lambda: claims.run(insert.values(columns), *rows))

    async def seconds() -> float:
        """What a fold of nothing takes, at its best."""
        times: list[float] = []
        for _ in range(10):
            began = perf_counter()
            await store.work(lambda: hands.parked.fold(hands.subscriber, 0, [], {}))
            times.append(perf_counter() - began)
        return min(times)

    await park("b", 0, 10)
    await park("c", 0, 10)
    few = await seconds()
    await park("b", 10, 60_000)
    assert await seconds() < 5 * few + 0.002


async def test_a_letter_that_can_no_longer_be_read_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bbb")
    await hands.settle()
    trouble.customers.clear()
    whole = parked.event_at

    async def damaged(log: EventStore, position: int) -> Stored[bytes]:
        if position == 2:
            raise EventCorrupt("order-b", 2, "Paid", position)
        return await whole(log, position)

    monkeypatch.setattr(parked, "event_at", damaged)
    assert await hands.retry("b") == (1, 2)
    assert "checksum" in (await letter_at(hands, 2)).error
    await hands.check()


async def test_whoever_retries_and_whoever_follows_come_one_after_the_other(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "b" * 30)
    await hands.settle()
    trouble.customers.clear()
    done = False

    async def follow() -> None:
        while not done:
            await hands.followers[0].step()
            await asyncio.sleep(0)

    following = [asyncio.create_task(follow())]
    for _ in range(10):
        await asyncio.gather(
            *(hands.retry("b") for _ in range(3)), pay(store, "order-b", "b"), pay(store, "order-a", "a")
        )
    done = True
    await asyncio.gather(*following)
    await hands.settle()
    await hands.retry("b")
    assert await hands.letters() == []
    await hands.check()


# --- left out, and taken back -----------------------------------------------------------------------------------------


async def test_what_is_skipped_lets_its_sequence_go_on(store: Store) -> None:
    trouble = Trouble(failing={1, 2})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bbb")
    await hands.settle()
    with pytest.raises(LetterRefused):
        await hands.parked.skip(await letter_at(hands, 2), "it is not its turn")
    await hands.parked.skip(await letter_at(hands, 1), "a test of the bank's")
    with pytest.raises(LetterRefused):
        await hands.parked.skip(await letter_at(hands, 1), "again")
    await hands.settle()  # the next is tried at once, and fails
    assert [(each.position, each.skipped, each.attempts) for each in await hands.letters()] == [
        (1, "a test of the bank's", 1),
        (2, None, 1),
        (3, None, 0),
    ]
    await hands.parked.skip(await letter_at(hands, 2), "this one too")
    await hands.settle()
    assert await hands.summary() == []
    await hands.check()


async def test_a_skip_can_be_undone_until_a_later_event_was_folded(store: Store) -> None:
    trouble = Trouble(failing={1})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "b")
    await hands.settle()
    letter = await letter_at(hands, 1)
    with pytest.raises(LetterRefused):
        await hands.parked.undo_skip(letter)
    await hands.parked.skip(letter, "a mistake")
    await paid(store, "a")  # of another sequence
    await hands.settle()
    await hands.parked.undo_skip(letter)
    await paid(store, "b")
    await hands.settle()
    assert await hands.summary() == [("b", 1), ("b", 3)]
    trouble.failing.clear()
    assert await hands.retry("b") == (2, 0)
    await hands.check()


@pytest.mark.parametrize("later", ["new", "parked"])
async def test_a_skip_that_was_overtaken_cannot_be_undone(store: Store, later: str) -> None:
    trouble = Trouble(failing={1})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bb" if later == "parked" else "b")
    await hands.settle()
    letter = await letter_at(hands, 1)
    await hands.parked.skip(letter, "a mistake")
    if later == "new":
        await paid(store, "b")
    await hands.settle()
    with pytest.raises(SkipOvertaken):
        await hands.parked.undo_skip(letter)
    with pytest.raises(LetterUnknown):
        await hands.parked.undo_skip(letter._replace(position=99))
    await hands.check()


async def test_an_undone_skip_is_tried_no_more_often_than_any_other(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "bb")
    await hands.settle()
    letter = await letter_at(hands, 1)
    await hands.parked.skip(letter, "a mistake")  # now the second is due
    await hands.parked.undo_skip(letter)
    assert (await hands.parked.due(hands.name, 0))[0] == []  # and now it is not the first any more
    await hands.settle()
    assert [each.attempts for each in await hands.letters()] == [1, 0]


# --- what cannot be read ----------------------------------------------------------------------------------------------


async def test_an_event_that_cannot_be_read_parks_its_stream(store: Store) -> None:
    trouble = Trouble(positions={2})
    hands = await led_by_hand(store, ledgers(trouble))
    for stream, customers in (("1", "a"), ("1", "ab"), ("2", "a"), ("1", "b"), ("2", "b")):
        await pay(store, f"order-{stream}", *customers)
    await hands.settle()
    assert await hands.summary() == [("stream order-1", 2), ("stream order-1", 4)]
    assert "it is garbled" in (await letter_at(hands, 2)).error
    await hands.check(in_order=False)
    assert await hands.retry("stream order-1") == (0, 2)
    trouble.positions.clear()
    assert await hands.retry("stream order-1") == (2, 0)
    assert await hands.letters() == []
    await hands.check(in_order=False)


async def test_content_that_does_not_fit_is_read_by_newer_code(store: Store) -> None:
    hands = await led_by_hand(store, ledgers())
    await store.append("order-1", [raw(b'{"customers":["a"],"amount":"7"}')], expected=None)
    await pay(store, "order-1", "a")
    await hands.settle()
    assert await hands.summary() == [("stream order-1", 1), ("stream order-1", 2)]

    lenient = TableView(Lenient(), Source(ORDERS, Codec({"Paid": PaidSomehow})))
    newer = await led_by_hand(store, lenient)
    assert await newer.retry("stream order-1") == (2, 0)
    assert [row[0] for row in await newer.views.rows(lenient.by_key, b_key="a")] == [b'{"positions":[1,2],"total":8}']


@dataclass(frozen=True)
class PaidSomehow:
    customers: list[str]
    amount: int | str


class Lenient(Projection[PaidSomehow, Ledger]):
    name = "ledgers"
    view = Ledger

    def key(self, recorded: Recorded[PaidSomehow], /) -> list[str]:
        return recorded.data.customers

    def evolve(self, view: Ledger | None, recorded: Recorded[PaidSomehow], /) -> Ledger:
        before = view or Ledger((), 0)
        return Ledger((*before.positions, recorded.position), before.total + int(recorded.data.amount))


@pytest.mark.parametrize("partitions", [1, 3])
async def test_no_part_of_an_event_is_in_two_places(store: Store, partitions: int) -> None:
    """A row is parked already when a stream of it is: what comes behind both must be folded once."""
    trouble = Trouble(failing={1}, positions={2})
    hands = await led_by_hand(store, ledgers(trouble), partitions=partitions)
    await pay(store, "order-1", "a")
    await hands.settle()
    await pay(store, "order-2", "a", "b")  # cannot be read
    await pay(store, "order-2", "a", "b", "c")
    await pay(store, "order-1", "a")
    await hands.settle()
    await hands.check(in_order=False)
    trouble.positions.clear()
    for number in range(partitions):
        await hands.retry("stream order-2", number)
        await hands.check(in_order=False)
    assert [position for sequence, position in await hands.summary() if sequence == "a"] == [1, 2, 3, 4]
    assert len(await hands.summary()) == 4
    trouble.failing.clear()
    assert await hands.retry("a", partition_of("a", partitions)) == (4, 0)
    await hands.check()


async def test_what_a_stream_was_waiting_with_is_parked_where_it_fails(store: Store) -> None:
    trouble = Trouble(positions={1})
    hands = await led_by_hand(store, ledgers(trouble))
    for customers in ("ab", "ab", "b", "a"):
        await pay(store, "order-1", *customers)
    await hands.settle()
    trouble.positions.clear()
    trouble.customers |= {"a"}
    assert await hands.retry("stream order-1") == (4, 0)  # b's events stand in the same payments as a's
    assert await hands.summary() == [("a", 1), ("a", 2), ("a", 4), ("b", 1), ("b", 2), ("b", 3)]
    await hands.check()
    trouble.customers.clear()
    assert await hands.retry("a") == (3, 0)
    assert await hands.retry("b") == (3, 0)
    await hands.check()


async def test_a_skipped_event_of_a_stream_is_overtaken_by_any_later_one(store: Store) -> None:
    trouble = Trouble(positions={1})
    hands = await led_by_hand(store, ledgers(trouble))
    await pay(store, "order-1", "a")
    await hands.settle()
    letter = await letter_at(hands, 1)
    await hands.parked.skip(letter, "garbage")
    await hands.parked.undo_skip(letter)
    await hands.parked.skip(letter, "garbage it is")
    trouble.customers |= {"b"}
    await pay(store, "order-1", "b")  # though it is parked elsewhere
    await hands.settle()
    with pytest.raises(SkipOvertaken):
        await hands.parked.undo_skip(letter)
    await hands.check()


# --- what cannot be laid to one sequence ------------------------------------------------------------------------------


sums = sa.Table(
    "sums",
    sa.MetaData(schema=SCHEMA),
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True),
)
_ADD = sa.insert(sums)


class Sums(SqlProjection[Paid]):
    """A row for each payment, by free SQL."""

    name = "sums"
    tables: ClassVar = (sums,)

    def __init__(self, trouble: Trouble, sequence: str = "") -> None:
        self._trouble = trouble
        self._sequence = sequence

    def sequence(self, recorded: Recorded[Paid], /) -> str:
        return self._sequence or super().sequence(recorded)

    def apply(self, events: Sequence[Recorded[Paid]], /) -> Generator[Step, list[Row], None]:
        for recorded in events:
            for customer in recorded.data.customers:
                if customer in self._trouble.customers:
                    raise ValueError("no")
                yield Step(_ADD, [{"customer": customer, "position": recorded.position}])


async def sums_by_hand(store: Store, trouble: Trouble, sequence: str = "") -> Hands:
    view = SqlView(Sums(trouble, sequence), Source(ORDERS, codec))
    return await led_by_hand(store, view)


async def summed(hands: Hands) -> list[Row]:
    return await hands.views.scan(sa.select(sums.c.customer, sums.c.position).order_by(sums.c.position))


async def test_free_sql_that_fails_is_found_by_halves(store: Store) -> None:
    trouble = Trouble({"b"})
    hands = await sums_by_hand(store, trouble)
    await paid(store, "acbdacbda")
    await hands.settle()
    assert await hands.summary() == [("order-b", 3), ("order-b", 7)]
    assert [position for _, position in await summed(hands)] == [1, 2, 4, 5, 6, 8, 9]
    assert (await letter_at(hands, 3)).error == "ValueError: no"
    trouble.customers.clear()
    await paid(store, "b")
    await hands.settle()
    assert await hands.retry("order-b") == (3, 0)
    assert sorted(position for _, position in await summed(hands)) == list(range(1, 11))


async def test_a_retry_of_free_sql_goes_as_far_as_it_gets(store: Store) -> None:
    trouble = Trouble({"b", "c"})
    hands = await sums_by_hand(store, trouble)
    for customer in "bbcb":
        await pay(store, "order-1", customer)
    await hands.settle()
    trouble.customers -= {"b"}
    assert await hands.retry("order-1") == (2, 2)
    assert [(each.position, each.attempts) for each in await hands.letters()] == [(3, 1), (4, 0)]
    trouble.customers.clear()
    assert await hands.retry("order-1") == (2, 0)
    assert [position for _, position in await summed(hands)] == [1, 2, 3, 4]


async def test_a_sequence_whose_name_no_database_keeps_is_parked_as_its_stream(store: Store) -> None:
    for sequence in ("a\0b", "half a pair \ud800", "long" * 1000):
        hands = await sums_by_hand(store, Trouble({"b"}), sequence)
        await pay(store, "order-1", "b")
        await hands.settle()
        assert {each[0] for each in await hands.summary()} == {"stream order-1"}
        assert await hands.position() == await store.head()


async def test_a_statement_that_fails_parks_its_event(store: Store) -> None:
    class TooLarge(Ledgers):
        columns = (Column[Ledger]("total", int, lambda ledger: ledger.total),)

    hands = await led_by_hand(store, TableView(TooLarge(Trouble()), Source(ORDERS, codec)))
    await pay(store, "order-a", "a")
    await pay(store, "order-b", "b", amount=2**63)
    await pay(store, "order-a", "a")
    await pay(store, "order-b", "b")
    await hands.settle()
    assert await hands.summary() == [("b", 2), ("b", 4)]
    assert (await letter_at(hands, 2)).error.startswith("StatementFailed")
    await hands.check()


# --- as a whole -------------------------------------------------------------------------------------------------------


async def test_where_too_many_sequences_fail_the_fold_is_taken_to_be_broken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "SEQUENCES_LIMIT", 2)
    trouble = Trouble(set("bcd"))
    hands = await led_by_hand(store, ledgers(trouble))
    await paid(store, "abc")
    await hands.settle()
    await paid(store, "ad")
    async with asyncio.timeout(30):
        reason = await hands.followers[0].follow()
    assert reason is not None  # without the error's own text, which anybody could read then
    assert re.fullmatch(
        r"more than 2 sequences are parked; the last: ValueError at ledgers:\d+ in Ledgers.evolve", reason
    )
    assert await hands.summary() == [("b", 2), ("c", 3)]  # nothing of that page was stored
    assert await hands.position() == 3
    await hands.check()
    trouble.customers.clear()
    await hands.settle()
    await hands.check()


async def test_letters_are_handed_over_to_another_subscription(store: Store) -> None:
    trouble = Trouble(failing={1}, positions={2})
    hands = await led_by_hand(store, ledgers(trouble))
    await pay(store, "order-1", "a")
    await pay(store, "order-2", "b")
    await pay(store, "order-1", "a")
    await hands.settle()
    claims = Claims(store.dialect)
    await store.work(lambda: claims.register("other", 3, 3))
    await store.work(lambda: hands.parked.hand_over(hands.name, "other", 3))
    assert await hands.letters() == []
    got = {(each.sequence, each.position, each.partition) for each in await hands.parked.letters("other")}
    own = partition_of("a", 3)
    assert got == {("a", 1, own), ("a", 3, own), *(("stream order-2", 2, number) for number in range(3))}
    assert await hands.parked.count("other") == (5, 2)
    assert await store.work(lambda: hands.parked.any("other"))
    await store.work(lambda: hands.parked.forget("other"))
    assert not await store.work(lambda: hands.parked.any("other"))
