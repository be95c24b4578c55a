"""Every event that was ever stored can be read, for as long as there is a log: `corpus/` keeps one file for each name
and schema version, written when that version came to be and never changed after.

Whoever changes an event raises its schema, adds an upcast to the codec's table, and adds a file here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from order_samples import recorded
from orders.details import details
from orders.domain import (
    Item,
    OrderCancelled,
    OrderCreated,
    OrderEvent,
    OrderStatusUpdated,
    Status,
    codec,
    order,
)
from twofold import Metadata
from twofold.errors import EventUnknown, EventUnreadable
from twofold.projection import fold


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the corpus."""

    name: str
    schema: int
    payloads: list[msgspec.Raw]


CORPUS: Mapping[str, Stored] = {
    path.name: msgspec.json.decode(path.read_bytes(), type=Stored)
    for path in sorted((Path(__file__).parent / "corpus").glob("*.json"))
}

each_file = pytest.mark.parametrize("file", CORPUS)


def read(file: str) -> Sequence[OrderEvent]:
    """The events of a file, as today's classes."""
    stored = CORPUS[file]
    return [codec.decode(recorded(stored.name, stored.schema, bytes(raw))).data for raw in stored.payloads]


def test_every_row_of_the_codecs_table_has_a_file_for_each_of_its_versions() -> None:
    wanted = {
        f"{name}.{version}.json" for name, schema in codec.table.items() for version in range(1, schema.version + 1)
    }
    assert set(CORPUS) == wanted


@each_file
def test_a_file_is_named_by_what_it_holds(file: str) -> None:
    assert file == f"{CORPUS[file].name}.{CORPUS[file].schema}.json"
    assert CORPUS[file].payloads


@each_file
def test_what_was_stored_is_read_folded_and_shown(file: str) -> None:
    (created, *_) = read("OrderCreated.1.json")
    for event in read(file):
        happened = [event] if isinstance(event, OrderCreated) else [created, event]
        assert order.fold(happened).status is not None
        history = [recorded("", 1, each, version) for version, each in enumerate(happened, start=1)]
        (view,) = fold(details.projection, history).values()
        assert details.decode(details.encode(view)) == view


def test_what_was_stored_means_what_it_meant() -> None:
    address = {"name": "Alice", "street": "1 Main Street", "city": "Zürich", "postalCode": "8001"}
    assert read("OrderCreated.1.json") == [
        OrderCreated(
            "alice",
            (Item("p-1", 2, Decimal("9.80"), "Crème brûlée dish"), Item("p-2", 1_000_000, Decimal("0.05"))),
            address,
            "USD",
        ),
        OrderCreated(
            "bob", (Item("p-1", 1, Decimal("999999999.99"), "Teapot"),), "1 Main Street\n12345 Springfield", "USD"
        ),
        OrderCreated("花子", (Item("p-3", 3, Decimal("1200")),), "東京都千代田区1-1", "JPY"),
    ]
    assert read("OrderStatusUpdated.1.json") == [
        OrderStatusUpdated(Status.PENDING, Status.CONFIRMED, "paid"),
        OrderStatusUpdated(Status.CONFIRMED, Status.SHIPPED),
        OrderStatusUpdated(Status.SHIPPED, Status.DELIVERED),
    ]
    assert read("OrderCancelled.1.json") == [
        OrderCancelled(Status.PENDING, "changed my mind"),
        OrderCancelled(Status.CONFIRMED),
        OrderCancelled(Status.PENDING),
    ]


@each_file
def test_what_is_written_today_has_the_shape_of_the_newest_file(file: str) -> None:
    """A changed field without a raised schema fails here, before it is ever stored."""
    stored = CORPUS[file]
    if stored.schema < codec.table[stored.name].version:
        pytest.skip("an older schema is read, and not written any more")
    for event, raw in zip(read(file), stored.payloads, strict=True):
        written = codec.encode(event, Metadata.new())
        assert (written.type, written.schema) == (stored.name, stored.schema)
        assert without_nulls(written.data) == without_nulls(bytes(raw))


def without_nulls(data: bytes) -> object:
    """The JSON, in which a field that is null and one that is left out are the same."""
    return json.loads(data, object_pairs_hook=lambda fields: {name: each for name, each in fields if each is not None})


def test_money_is_stored_as_text_with_all_its_digits() -> None:
    (created, *_) = read("OrderCreated.1.json")
    assert b'"price":"9.80"' in codec.encode(created, Metadata.new()).data


@pytest.mark.parametrize(("name", "schema"), [("OrderShredded", 1), ("OrderCreated", 2), ("OrderCreated", 0), ("", 1)])
def test_a_name_or_schema_of_tomorrow_is_never_skipped(name: str, schema: int) -> None:
    with pytest.raises(EventUnknown):
        codec.decode(recorded(name, schema, bytes(CORPUS["OrderCreated.1.json"].payloads[0])))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[]", b'{"customerId": 1}', b"\xff", b'{"previousStatus": "lost"}']
)
def test_content_that_does_not_fit_is_never_folded(data: bytes) -> None:
    for name in codec.table:
        with pytest.raises(EventUnreadable):
            codec.decode(recorded(name, 1, data))
