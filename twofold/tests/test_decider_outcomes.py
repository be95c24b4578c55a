"""A command takes effect once, whatever became of its answer: its own id settles it, with or without a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from small_orders import AddItem, CallOff, ItemAdded, NotOpen, Open
from small_orders import category as new_category
from twofold import Category, Codec, Conflict, Decider, Idempotency, Metadata, NewEvent, Receipt, Store
from twofold.errors import OutcomeUnknown, StoreUnavailable
from twofold.messages import ids_of
from twofold.stores.memory import MemoryStore

category = new_category()


class Breaking(MemoryStore):
    """A store whose next appends break at commit: before it or behind it, and then say nothing for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks: list[str] = []

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: int | None,
        idempotency: Idempotency | None = None,
    ) -> Receipt:
        kind = self.breaks.pop(0) if self.breaks else "none"
        if kind == "away":
            raise StoreUnavailable("gone")
        receipt = None
        if kind != "before":
            receipt = await super().append(stream, events, expected=expected, idempotency=idempotency)
        if kind == "none" and receipt is not None:
            return receipt
        raise OutcomeUnknown(stream, "the connection broke", events[0].metadata.message_id)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.decider.SETTLE_SECONDS", (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    "breaks", [["before"], ["behind"], ["behind", "away"], ["before", "away", "before"], ["behind", "behind", "away"]]
)
async def test_an_unknown_outcome_is_settled_by_the_same_events(breaks: list[str]) -> None:
    async with Breaking() as store:
        store.breaks = breaks
        receipt = await category.transact(store, Open("1"), Metadata.new(), new=True)
        assert (receipt.version, receipt.position) == (1, 1)
        assert await store.head() == 1


async def test_an_outcome_that_stays_unknown_carries_the_commands_id_and_is_settled_by_sending_it_again() -> None:
    async with Breaking() as store:
        metadata = Metadata.new()
        store.breaks = ["behind", "away", "away", "away"]
        with pytest.raises(OutcomeUnknown) as caught:
            await category.transact(store, Open("1"), metadata, new=True)
        assert caught.value.message_id == metadata.message_id
        again = await category.transact(store, Open("1"), metadata, new=True)
        assert again == Receipt("order-1", 1, 1, repeated=True)
        assert await store.head() == 1


async def test_where_others_were_faster_after_the_break_it_is_decided_again() -> None:
    class Overtaken(Breaking):
        async def append(
            self,
            stream: str,
            events: Sequence[NewEvent],
            *,
            expected: int | None,
            idempotency: Idempotency | None = None,
        ) -> Receipt:
            broke = bool(self.breaks)
            try:
                return await super().append(stream, events, expected=expected, idempotency=idempotency)
            finally:
                if broke:
                    other = category.codec.encode(ItemAdded("Tofu", Decimal(1)), Metadata.new())
                    await MemoryStore.append(self, stream, [other], expected=expected)

    async with Overtaken() as store:
        await category.transact(store, Open("1"), Metadata.new())
        store.breaks = ["before"]
        receipt = await category.transact(store, AddItem("1"), Metadata.new())
        assert receipt.version == 3


async def test_the_same_command_with_the_same_metadata_takes_effect_once(store: Store) -> None:
    await category.transact(store, Open("1"), Metadata.new())
    metadata = Metadata.new()
    first = await category.transact(store, AddItem("1"), metadata)
    await category.transact(store, AddItem("1", "Tofu"), Metadata.new())
    again = await category.transact(store, AddItem("1"), metadata)
    assert again == Receipt("order-1", first.version, first.position, repeated=True)
    assert (await category.load(store, "1")).version == 3


async def test_it_is_answered_its_first_receipt_though_it_would_be_refused_now(store: Store) -> None:
    await category.transact(store, Open("1"), Metadata.new())
    metadata = Metadata.new()
    first = await category.transact(store, AddItem("1"), metadata)
    await category.transact(store, CallOff("1"), Metadata.new())
    with pytest.raises(NotOpen):
        await category.transact(store, AddItem("1"), Metadata.new())
    again = await category.transact(store, AddItem("1"), metadata)
    assert again == Receipt("order-1", first.version, first.position, repeated=True)


async def test_though_its_expected_version_is_past(store: Store) -> None:
    await category.transact(store, Open("1"), Metadata.new())
    metadata = Metadata.new()
    first = await category.transact(store, AddItem("1"), metadata, expected=1)
    again = await category.transact(store, AddItem("1"), metadata, expected=1)
    assert again == Receipt("order-1", first.version, first.position, repeated=True)
    with pytest.raises(Conflict):
        await category.transact(store, AddItem("1"), Metadata.new(), expected=1)


async def test_another_command_with_the_same_metadata_is_another_command(store: Store) -> None:
    metadata = Metadata.new()
    await category.transact(store, Open("1"), metadata)
    for product in ("Chai", "Tofu"):
        await category.transact(store, AddItem("1", product), metadata)
    assert (await category.load(store, "1")).version == 3


@dataclass(frozen=True)
class Tag:
    order_id: str
    tags: frozenset[int]
    notes: dict[str, str]


async def test_equal_commands_are_the_same_whatever_order_their_sets_are_in(store: Store) -> None:
    """That of a set of texts is another in each process."""
    tagging = Category(
        "order",
        Decider[Tag, None, ItemAdded](lambda command, _: [ItemAdded(str(sum(command.tags)), Decimal(1))], _stay, None),
        Codec[ItemAdded]({"ItemAdded": ItemAdded}),
        lambda command: command.order_id,
    )
    metadata = Metadata.new()
    first = Tag("1", frozenset([0, 8]), {"a": "x", "b": "y"})
    again = Tag("1", frozenset([8, 0]), {"b": "y", "a": "x"})
    assert first == again
    assert list(first.tags) != list(again.tags)
    assert (await tagging.transact(store, first, metadata)).version == 1
    assert await tagging.transact(store, again, metadata) == Receipt("order-1", 1, 1, repeated=True)


def _stay(state: None, _event: ItemAdded) -> None:
    return state


def test_ids_rise_in_time_with_their_message_and_are_of_its_kind() -> None:
    early, late = Metadata.new().message_id, Metadata.new().message_id
    ids = ids_of(early, "order-1")
    first, second = next(ids), next(ids)
    assert first != second
    assert (first, second) != tuple(next(ids_of(early, "order-2")) for _ in range(2))
    assert first.version == 7
    assert first.variant == UUID(int=early.int).variant
    assert max(first, second).int >> 64 <= next(ids_of(late, "order-1")).int >> 64
