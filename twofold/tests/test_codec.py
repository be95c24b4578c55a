"""An event is read back as what was written, for as long as the log lives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import Codec, Metadata, NewEvent, Recorded, Schema
from twofold.errors import EventTypeMissing, EventUnknown, EventUnreadable


@dataclass(frozen=True)
class Priced:
    amount: Decimal
    currency: str
    steps: dict[int, str] | None = None


class Renamed(msgspec.Struct, frozen=True):
    name: str
    at: datetime


@dataclass(frozen=True)
class Forgotten:
    id: UUID


PricingEvent: TypeAlias = Priced | Renamed | Forgotten
METADATA = Metadata.new()


def with_currency(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "currency": "USD"}


def renamed_field(old: dict[str, Any]) -> dict[str, Any]:
    return {"amount": old["price"], **{key: value for key, value in old.items() if key != "price"}}


def doubled(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "amount": old["amount"] * 2}


codec: Codec[PricingEvent] = Codec(
    {
        "priced": Schema(Priced, {1: renamed_field, 2: with_currency, 3: doubled}),
        "renamed": Renamed,
    }
)


def stored(type: str, schema: int, data: bytes) -> Recorded[bytes]:
    return Recorded.of(
        id=UUID(int=1),
        stream="price-1",
        version=3,
        position=9,
        type=type,
        schema=schema,
        data=data,
        metadata=METADATA,
        recorded_at=METADATA.at,
    )


def as_stored(event: NewEvent) -> Recorded[bytes]:
    return stored(event.type, event.schema, event.data)


def test_an_event_is_written_under_its_name_and_its_newest_schema() -> None:
    event = codec.encode(Priced(Decimal("1.10"), "EUR"), METADATA)
    assert (event.type, event.schema, event.metadata) == ("priced", 4, METADATA)


def test_each_encoded_event_has_an_id_of_its_own_and_ids_rise() -> None:
    ids = [codec.encode(Renamed("x", METADATA.at), METADATA).id for _ in range(100)]
    assert ids == sorted(set(ids))


@given(
    st.one_of(
        st.builds(
            Priced,
            st.decimals(allow_nan=False, allow_infinity=False),
            st.text(),
            st.none() | st.dictionaries(st.integers(-(2**60), 2**60), st.text()),
        ),
        st.builds(Renamed, st.text(), st.datetimes(timezones=st.just(UTC))),
    )
)
def test_what_is_read_is_what_was_written(event: PricingEvent) -> None:
    read = codec.decode(as_stored(codec.encode(event, METADATA))).data
    assert read == event
    if isinstance(event, Priced) and isinstance(read, Priced):
        assert str(read.amount) == str(event.amount)  # 1.10 is not 1.1: decimals compare equal and differ


def test_reading_keeps_all_that_is_known_of_the_event() -> None:
    recorded = stored("renamed", 1, b'{"name":"x","at":"2026-01-01T00:00:00Z"}')
    decoded = codec.decode(recorded)
    for name in ("id", "stream", "version", "position", "type", "schema", "metadata", "recorded_at"):
        assert getattr(decoded, name) == getattr(recorded, name)
    assert decoded.data == Renamed("x", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("schema", "data", "amount"),
    [
        (1, b'{"price": 1.10}', "2.20"),
        (2, b'{"amount": 1.10}', "2.20"),
        (3, b'{"amount": 1.10, "currency": "EUR"}', "2.20"),
        (4, b'{"amount": 1.10, "currency": "EUR"}', "1.10"),
        (4, b'{"amount": "1.10", "currency": "EUR"}', "1.10"),
    ],
)
def test_an_old_schema_goes_through_every_upcast_after_it(schema: int, data: bytes, amount: str) -> None:
    event = codec.decode(stored("priced", schema, data)).data
    assert isinstance(event, Priced)
    assert str(event.amount) == amount
    assert event.currency == ("USD" if schema < 3 else "EUR")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0))
def test_a_number_passes_through_upcasts_without_losing_a_digit(amount: Decimal) -> None:
    kept: Codec[Priced] = Codec({"priced": Schema(Priced, {1: with_currency})})
    event = kept.decode(stored("priced", 1, b'{"amount": %s}' % str(amount).encode())).data
    assert event.amount == amount
    assert event.amount.as_tuple().digits == amount.as_tuple().digits


def test_a_decimal_of_the_present_schema_is_exact_even_where_it_was_written_as_a_number() -> None:
    exact = "0.1000000000000000055511151231257827021181583404541015625"
    event = codec.decode(stored("priced", 4, b'{"amount": %s, "currency": "EUR"}' % exact.encode())).data
    assert isinstance(event, Priced)
    assert str(event.amount) == exact


def test_an_upcast_event_may_have_keys_that_are_no_strings_as_any_other_may() -> None:
    event = codec.decode(stored("priced", 3, b'{"amount": 1, "currency": "EUR", "steps": {"1": "one"}}')).data
    assert isinstance(event, Priced)
    assert event.steps == {1: "one"}


def test_a_newer_schema_is_unknown_and_says_what_is_known() -> None:
    with pytest.raises(EventUnknown, match="this code knows schemas up to 4") as error:
        codec.decode(stored("priced", 5, b"{}"))
    assert (error.value.type, error.value.schema, error.value.known) == ("priced", 5, 4)


@pytest.mark.parametrize("schema", [0, -1])
def test_a_schema_that_never_was_is_unknown(schema: int) -> None:
    with pytest.raises(EventUnknown):
        codec.decode(stored("priced", schema, b"{}"))


def test_a_name_that_is_not_in_the_table_is_unknown() -> None:
    with pytest.raises(EventUnknown, match="its name is not in the codec's table") as error:
        codec.decode(stored("Priced", 1, b"{}"))
    assert error.value.known is None


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (4, b"not json"),
        (4, b""),
        (4, b"[]"),
        (4, b'{"currency": "EUR"}'),
        (4, b'{"amount": "much", "currency": "EUR"}'),
        (4, b'{"amount": 1, "currency": "\xff"}'),
        (1, b"not json"),
        (1, b"[]"),
        (1, b"{}"),  # the upcast raises KeyError
        (2, b'{"amount": null}'),  # TypeError
        (3, b'{"amount": "1e9"}'),  # an upcast that takes a string for a number
    ],
)
def test_content_that_does_not_fit_is_unreadable_and_says_where_it_stands(schema: int, data: bytes) -> None:
    with pytest.raises(EventUnreadable, match="event 3 of price-1") as error:
        codec.decode(stored("priced", schema, data))
    assert (error.value.stream, error.value.version, error.value.type) == ("price-1", 3, "priced")


def test_whatever_an_upcast_raises_the_event_is_unreadable() -> None:
    def broken(old: dict[str, Any]) -> dict[str, Any]:
        return {"amount": Decimal(old["amount"])}  # InvalidOperation, which is no ValueError

    fragile: Codec[Priced] = Codec({"priced": Schema(Priced, {1: broken})})
    with pytest.raises(EventUnreadable, match="InvalidOperation"):
        fragile.decode(stored("priced", 1, b'{"amount": "much"}'))


def test_an_event_whose_class_is_not_in_the_table_cannot_be_written() -> None:
    with pytest.raises(EventTypeMissing, match="Forgotten") as error:
        codec.encode(Forgotten(UUID(int=1)), METADATA)
    assert error.value.event is Forgotten


def test_a_class_stands_in_the_table_once() -> None:
    with pytest.raises(ValueError, match="Renamed stands twice"):
        Codec[Renamed]({"renamed": Renamed, "called": Schema(Renamed, {1: with_currency})})


@pytest.mark.parametrize("numbers", [[2], [1, 3], [0], [0, 1], [-1]])
def test_upcasts_are_numbered_from_one_without_a_hole(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="numbered from 1 without a hole"):
        Schema(Priced, dict.fromkeys(numbers, with_currency))


def test_the_table_can_be_looked_at() -> None:
    assert {name: schema.version for name, schema in codec.table.items()} == {"priced": 4, "renamed": 1}
