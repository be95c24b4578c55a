"""What a client may send: every fault has its sentence, its path and its code, and nothing sent is an exception.

Two proofs stand here. The table says, fault by fault, what a client is told. The properties say that any JSON at all
either meets a fault or becomes a command that says exactly what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from order_samples import DIGITS, body, item, read_json, recorded
from orders import requests
from orders.domain import CancelOrder, CreateOrder, OrderCreated, Status, UpdateOrderStatus, codec, order
from twofold import Fault, Metadata, ValidationFailed
from twofold.http.problems import Problem
from twofold.http.requests import parse_json

STATUS_SENTENCE = "Status must be one of: pending, confirmed, shipped, delivered, cancelled"


def faults_of_creation(sent: object, currency: str = "USD") -> Sequence[Fault]:
    """What a client is told of the body of a new order."""
    with pytest.raises(ValidationFailed) as refused:
        requests.create_order("1", sent, currency)
    return refused.value.faults


def sentences(faults: Sequence[Fault]) -> list[str]:
    """What `details` of the answer will say."""
    return [fault.message for fault in faults]


# --- the sentences of the issue -------------------------------------------------------------------------------------


def test_an_empty_body_is_told_all_that_is_required() -> None:
    assert faults_of_creation({}) == (
        Fault("Customer ID is required", "customerId", "required"),
        Fault("At least one item is required", "items", "required"),
        Fault("Shipping address is required", "shippingAddress", "required"),
    )


def test_all_faults_are_gathered_in_the_order_of_the_issue() -> None:
    faults = faults_of_creation(
        {
            "shippingAddress": "",
            "items": [{}, {"productId": "p", "quantity": 1, "price": 1}, {"price": 0, "quantity": 0, "productId": " "}],
            "customerId": "",
        }
    )
    assert sentences(faults) == [
        "Customer ID is required",
        "Item 0: Product ID is required",
        "Item 0: Quantity must be at least 1",
        "Item 0: Price must be positive",
        "Item 2: Product ID is required",
        "Item 2: Quantity must be at least 1",
        "Item 2: Price must be positive",
        "Shipping address is required",
    ]
    assert [(fault.path, fault.code) for fault in faults] == [
        ("customerId", "required"),
        ("items[0].productId", "required"),
        ("items[0].quantity", "required"),
        ("items[0].price", "required"),
        ("items[2].productId", "required"),
        ("items[2].quantity", "too_small"),
        ("items[2].price", "too_small"),
        ("shippingAddress", "required"),
    ]


@pytest.mark.parametrize("missing", [..., None, "", "  ", "\t\n"])
def test_what_is_left_out_null_or_blank_is_required(missing: object) -> None:
    sent = body(customerId=missing, items=[item(productId=missing)], shippingAddress=missing)
    assert sentences(faults_of_creation(sent))[:1] == ["Customer ID is required"]
    assert "Item 0: Product ID is required" in sentences(faults_of_creation(sent))
    assert sentences(faults_of_creation(sent))[-1] == "Shipping address is required"


@pytest.mark.parametrize("items", [..., None, []])
def test_an_order_has_an_item(items: object) -> None:
    assert faults_of_creation(body(items=items)) == (Fault("At least one item is required", "items", "required"),)


@pytest.mark.parametrize("address", [{}, {"street": ""}, {"street": " ", "city": "\t"}])
def test_an_address_without_a_word_is_required(address: object) -> None:
    fault = Fault("Shipping address is required", "shippingAddress", "required")
    assert faults_of_creation(body(shippingAddress=address)) == (fault,)


@pytest.mark.parametrize("sent", [{}, {"status": None}, {"status": "paid"}, {"status": 1}, {"status": ["pending"]}])
@pytest.mark.parametrize("order_id", ["", "  "])
def test_a_change_of_status_needs_an_order_and_a_status(sent: object, order_id: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        requests.update_status(order_id, sent)
    assert sentences(refused.value.faults) == ["Order ID is required", STATUS_SENTENCE]
    assert [fault.path for fault in refused.value.faults] == ["orderId", "status"]


def test_a_cancellation_needs_an_order() -> None:
    with pytest.raises(ValidationFailed) as refused:
        requests.cancel_order(" ", {})
    assert refused.value.faults == (Fault("Order ID is required", "orderId", "required"),)


# --- each further fault ---------------------------------------------------------------------------------------------

HUGE = 10**400
ONE_PAST_LARGEST = Decimal("1000000000.00")

QUANTITIES: Mapping[str, tuple[object, str, str]] = {
    "zero": (0, "must be at least 1", "too_small"),
    "minus zero": (Decimal("-0.0"), "must be at least 1", "too_small"),
    "negative": (-3, "must be at least 1", "too_small"),
    "hugely negative": (-HUGE, "must be at least 1", "too_small"),
    "a fraction": (Decimal("1.5"), "must be a whole number", "type"),
    "a tiny fraction": (Decimal("1e-400"), "must be a whole number", "type"),
    "a tinier fraction": (Decimal("1e-999999999"), "must be a whole number", "type"),
    "not a number": (Decimal("NaN"), "must be a whole number", "type"),
    "signalling": (Decimal("sNaN"), "must be a whole number", "type"),
    "infinite": (Decimal("Infinity"), "must be a whole number", "type"),
    "minus infinite": (Decimal("-Infinity"), "must be a whole number", "type"),
    "too many": (1_000_001, "must be at most 1000000", "too_large"),
    "huge": (HUGE, "must be at most 1000000", "too_large"),
    "1e400": (Decimal("1e400"), "must be between 1 and 1000000", "too_large"),
    "past every exponent": (Decimal("1e999999999"), "must be between 1 and 1000000", "too_large"),
    "past every exponent below": (Decimal("-1e999999999"), "must be between 1 and 1000000", "too_large"),
    "true": (True, "must be a whole number", "type"),
    "a text": ("2", "must be a whole number", "type"),
    "a list": ([2], "must be a whole number", "type"),
    "an object": ({"n": 2}, "must be a whole number", "type"),
}

PRICES: Mapping[str, tuple[object, str, str]] = {
    "zero": (0, "must be positive", "too_small"),
    "minus zero": (Decimal("-0.00"), "must be positive", "too_small"),
    "zero as a text": ("0.00", "must be positive", "too_small"),
    "negative": (Decimal("-9.80"), "must be positive", "too_small"),
    "hugely negative": (Decimal("-1e999999999"), "must be positive", "too_small"),
    "not a number": (Decimal("NaN"), "must be a number", "type"),
    "signalling": (Decimal("sNaN"), "must be a number", "type"),
    "infinite": (Decimal("Infinity"), "must be a number", "type"),
    "minus infinite": (Decimal("-Infinity"), "must be a number", "type"),
    "too precise": (Decimal("9.801"), "must have at most 2 decimals in USD", "too_precise"),
    "too precise as a text": ("9.801", "must have at most 2 decimals in USD", "too_precise"),
    "tiny": (Decimal("1e-400"), "must have at most 2 decimals in USD", "too_precise"),
    "tinier": (Decimal("1e-999999999"), "must have at most 2 decimals in USD", "too_precise"),
    "a cent past a long zero": (Decimal(f"0.{'0' * 50}1"), "must have at most 2 decimals in USD", "too_precise"),
    "one past the largest": (ONE_PAST_LARGEST, "must be at most 999999999.99", "too_large"),
    "huge": (HUGE, "must be at most 999999999.99", "too_large"),
    "1e400": (Decimal("1e400"), "must be at most 999999999.99", "too_large"),
    "past every exponent": (Decimal("1e999999999"), "must be at most 999999999.99", "too_large"),
    "true": (True, "must be a number", "type"),
    "a float": (9.8, "must be a number", "type"),
    "a word": ("cheap", "must be a number", "type"),
    "an empty text": ("", "must be a number", "type"),
    "a padded text": (" 9.80", "must be a number", "type"),
    "an exponent as a text": ("1e2", "must be a number", "type"),
    "a plus sign": ("+1", "must be a number", "type"),
    "not a number as a text": ("NaN", "must be a number", "type"),
    "infinite as a text": ("Infinity", "must be a number", "type"),
    "an underscore": ("1_000", "must be a number", "type"),
    "other digits": ("٩", "must be a number", "type"),
    "a comma": ("9,80", "must be a number", "type"),
    "very long": ("9" * 41, "must be a number", "type"),
    "a list": ([1], "must be a number", "type"),
}

TEXTS: Mapping[str, tuple[object, str, str]] = {
    "a number": (1, "must be a text", "type"),
    "true": (True, "must be a text", "type"),
    "a decimal": (Decimal("NaN"), "must be a text", "type"),
    "a list": (["x"], "must be a text", "type"),
    "an object": ({"x": "y"}, "must be a text", "type"),
    "a NUL": ("a\0b", "must not contain control characters", "characters"),
    "an escape": ("\x1b[31mred", "must not contain control characters", "characters"),
    "a delete": ("a\x7f", "must not contain control characters", "characters"),
    "a C1 control": ("a\x9f", "must not contain control characters", "characters"),
    "a lone surrogate": ("a\ud800", "must not contain control characters", "characters"),
    "no character": ("a\uffff", "must not contain control characters", "characters"),
}


@pytest.mark.parametrize(("sent", "sentence", "code"), QUANTITIES.values(), ids=QUANTITIES)
def test_a_quantity_is_a_whole_number(sent: object, sentence: str, code: str) -> None:
    faults = faults_of_creation(body(items=[item(), item(quantity=sent)]))
    assert faults == (Fault(f"Item 1: Quantity {sentence}", "items[1].quantity", code),)


@pytest.mark.parametrize(("sent", "sentence", "code"), PRICES.values(), ids=PRICES)
def test_a_price_is_an_exact_amount(sent: object, sentence: str, code: str) -> None:
    faults = faults_of_creation(body(items=[item(), item(price=sent)]))
    assert faults == (Fault(f"Item 1: Price {sentence}", "items[1].price", code),)


@pytest.mark.parametrize(("sent", "sentence", "code"), TEXTS.values(), ids=TEXTS)
def test_a_text_is_a_text_without_control_characters(sent: object, sentence: str, code: str) -> None:
    faults = faults_of_creation(
        body(
            customerId=sent,
            items=[item(productId=sent, productName=sent)],
            shippingAddress={"street": sent, "city": "Springfield"},
        )
    )
    assert faults == (
        Fault(f"Customer ID {sentence}", "customerId", code),
        Fault(f"Item 0: Product ID {sentence}", "items[0].productId", code),
        Fault(f"Item 0: Product name {sentence}", "items[0].productName", code),
        Fault(f"Shipping address: street {sentence}", "shippingAddress.street", code),
    )


@pytest.mark.parametrize(("sent", "sentence", "code"), TEXTS.values(), ids=TEXTS)
def test_a_reason_is_a_text_too(sent: object, sentence: str, code: str) -> None:
    fault = Fault(f"Reason {sentence}", "reason", code)
    with pytest.raises(ValidationFailed) as refused:
        requests.cancel_order("1", {"reason": sent})
    assert refused.value.faults == (fault,)
    with pytest.raises(ValidationFailed) as refused:
        requests.update_status("1", {"status": "confirmed", "reason": sent})
    assert refused.value.faults == (fault,)


def test_no_text_is_too_long() -> None:
    faults = faults_of_creation(
        body(
            customerId="c" * 101,
            items=[item(productId="p" * 101, productName="n" * 201)],
            shippingAddress={"street": "s" * 301},
        )
    )
    assert sentences(faults) == [
        "Customer ID must have at most 100 characters",
        "Item 0: Product ID must have at most 100 characters",
        "Item 0: Product name must have at most 200 characters",
        "Shipping address: street must have at most 300 characters",
    ]
    assert {fault.code for fault in faults} == {"too_long"}
    assert sentences(faults_of_creation(body(shippingAddress="s" * 301))) == [
        "Shipping address must have at most 300 characters"
    ]
    with pytest.raises(ValidationFailed) as refused:
        requests.cancel_order("o" * 101, {"reason": "r" * 1001})
    assert sentences(refused.value.faults) == [
        "Order ID must have at most 100 characters",
        "Reason must have at most 1000 characters",
    ]


def test_a_text_of_the_greatest_length_is_taken() -> None:
    longest = body(
        customerId="c" * 100,
        items=[item(productId="p" * 100, productName="n" * 200)] * 200,
        shippingAddress={f"{'l' * 48}{number:02}": "s" * 300 for number in range(20)},
    )
    assert len(requests.create_order("1", longest, "USD").items) == 200


def test_an_id_is_one_line() -> None:
    faults = faults_of_creation(body(customerId="a\nb", items=[item(productId="p\t1")]))
    assert faults == (
        Fault("Customer ID must be one line", "customerId", "characters"),
        Fault("Item 0: Product ID must be one line", "items[0].productId", "characters"),
    )


@pytest.mark.parametrize("sent", [None, 1, Decimal("NaN"), True, "text", [], [{}]])
def test_a_body_is_an_object(sent: object) -> None:
    fault = Fault("The body must be a JSON object", "", "type")
    assert faults_of_creation(sent) == (fault,)
    with pytest.raises(ValidationFailed) as refused:
        requests.update_status("1", sent)
    assert refused.value.faults == (fault,)
    with pytest.raises(ValidationFailed) as refused:
        requests.cancel_order("1", sent)
    assert refused.value.faults == (fault,)


@pytest.mark.parametrize("sent", [{}, {"0": {}}, "p-1", 1, True, Decimal("sNaN")])
def test_items_are_a_list(sent: object) -> None:
    assert faults_of_creation(body(items=sent)) == (Fault("Items must be a list", "items", "type"),)


@pytest.mark.parametrize("sent", [None, "p-1", 1, True, [], Decimal("sNaN")])
def test_an_item_is_an_object(sent: object) -> None:
    faults = faults_of_creation(body(items=[item(), sent]))
    assert faults == (Fault("Item 1 must be an object", "items[1]", "type"),)


@pytest.mark.parametrize("sent", [1, True, ["1 Main Street"], Decimal("sNaN")])
def test_an_address_is_an_object_or_a_text(sent: object) -> None:
    fault = Fault("Shipping address must be an object or a text", "shippingAddress", "type")
    assert faults_of_creation(body(shippingAddress=sent)) == (fault,)


def test_an_address_has_few_lines_with_short_names() -> None:
    lines = {f"line {number}": "x" for number in range(21)}
    assert faults_of_creation(body(shippingAddress=lines)) == (
        Fault("Shipping address must have at most 20 lines", "shippingAddress", "too_many"),
    )
    name = Fault("Shipping address: the name of a line is not valid", "shippingAddress", "name")
    for wrong in ("n" * 51, "a\0", "\udfff"):
        assert faults_of_creation(body(shippingAddress={"city": "x", wrong: "y"})) == (name,)
    null = Fault("Shipping address: street must be a text", "shippingAddress.street", "type")
    assert faults_of_creation(body(shippingAddress={"city": "x", "street": None})) == (null,)


def test_an_order_has_at_most_200_items() -> None:
    fault = Fault("At most 200 items are allowed", "items", "too_many")
    assert faults_of_creation(body(items=[item()] * 201)) == (fault,)
    assert faults_of_creation(body(items=[None] * 100_000)) == (fault,)


def test_an_order_is_not_worth_more_than_the_largest_amount() -> None:
    fault = Fault("Order total must be at most 999999999.99", "items", "too_large")
    assert faults_of_creation(body(items=[item(price="999999999.99", quantity=2)])) == (fault,)
    assert faults_of_creation(body(items=[item(price="500000000", quantity=1)] * 2)) == (fault,)
    assert faults_of_creation(body(items=[item(price="999999999.99", quantity=1_000_000)] * 200)) == (fault,)
    exactly = [item(price="999999999.98", quantity=1), item(price="0.01", quantity=1)]
    requests.create_order("1", body(items=exactly), "USD")


def test_a_field_that_is_not_known_is_named_at_both_levels() -> None:
    faults = faults_of_creation(body(zebra=1, Items=[], items=[item(colour="blue")]))
    assert faults == (
        Fault("Item 0: Unknown field: colour", "items[0].colour", "unknown_field"),
        Fault("Unknown field: Items", "Items", "unknown_field"),
        Fault("Unknown field: zebra", "zebra", "unknown_field"),
    )
    with pytest.raises(ValidationFailed) as refused:
        requests.update_status("1", {"status": "confirmed", "orderId": "2"})
    assert refused.value.faults == (Fault("Unknown field: orderId", "orderId", "unknown_field"),)
    with pytest.raises(ValidationFailed) as refused:
        requests.cancel_order("1", {"status": "cancelled"})
    assert refused.value.faults == (Fault("Unknown field: status", "status", "unknown_field"),)


def test_a_field_that_is_not_known_is_named_where_another_is_left_out() -> None:
    sent = {"productId": "chai", "quantity": 1, "price": Decimal("1.00"), "colour": "green"}
    assert [fault.path for fault in faults_of_creation(body(items=[sent]))] == ["items[0].colour"]


def test_a_command_of_other_types_is_refused_with_faults() -> None:
    wrong = cast("str", None)
    assert {fault.path for fault in CreateOrder(wrong, wrong, (), wrong).faults()} >= {"customerId", "orderId"}
    assert [fault.path for fault in UpdateOrderStatus(wrong, Status.SHIPPED).faults()] == ["orderId"]


def test_the_names_of_unknown_fields_are_told_safely_and_not_without_end() -> None:
    hostile: dict[str, object] = {"\0\ud800": 1, "x" * 100_000: 1}
    assert sentences(faults_of_creation(body(**hostile))) == ["Unknown field: ??", f"Unknown field: {'x' * 50}"]
    assert len(faults_of_creation(body(**{f"field{number}": 1 for number in range(100_000)}))) == 20


def test_garbage_however_deep_is_a_fault_and_no_more() -> None:
    deep: object = "x"
    for _ in range(900):  # deeper than any parser of ours lets through
        deep = {"items": [deep]}
    assert sentences(faults_of_creation(deep))[0] == "Customer ID is required"
    assert faults_of_creation(body(shippingAddress=deep))[0].path == "shippingAddress.items"


@pytest.mark.parametrize(("currency", "price"), [("JPY", "1.5"), ("USD", "1.555"), ("KWD", "1.5555")])
def test_a_price_has_the_digits_of_its_currency(currency: str, price: str) -> None:
    digits = DIGITS[currency]
    faults = faults_of_creation(body(items=[item(price=price)]), currency)
    sentence = f"Item 0: Price must have at most {digits} decimals in {currency}"
    assert faults == (Fault(sentence, "items[0].price", "too_precise"),)


# --- what is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["9.80", "9.8", "9.8000", "09.80"])
def test_a_number_and_a_text_are_the_same_amount(price: str) -> None:
    as_text = requests.create_order("1", body(items=[item(price=price)]), "USD")
    as_number = requests.create_order("1", body(items=[item(price=Decimal(price))]), "USD")
    assert as_text == as_number
    assert str(as_text.items[0].price) == "9.80"


@pytest.mark.parametrize("quantity", ["2", "2.0", "2e0", "0.2e1", "20e-1"])
def test_a_quantity_is_what_it_is_however_it_is_written(quantity: str) -> None:
    sent = read_json(
        json.dumps(body(items=[{"productId": "p", "price": 1, "quantity": 0}])).replace("0}", quantity + "}")
    )
    created = requests.create_order("1", sent, "USD")
    assert created.items[0].quantity == 2
    assert type(created.items[0].quantity) is int


@pytest.mark.parametrize("address", ["1 Main Street\n12345 Springfield", {"street": "1 Main", "": "x", "note": ""}])
def test_an_address_is_kept_as_it_was_sent(address: object) -> None:
    assert requests.create_order("1", body(shippingAddress=address), "USD").shipping_address == address


def test_a_blank_name_or_reason_says_nothing() -> None:
    assert requests.create_order("1", body(items=[item(productName=" \n")]), "USD").items[0].product_name is None
    assert requests.cancel_order("1", {"reason": " "}) == CancelOrder("1")
    assert requests.update_status("1", {"status": "shipped", "reason": ""}) == UpdateOrderStatus("1", Status.SHIPPED)


# --- any JSON at all ------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(["", " ", "\0", "\ud800", "1e400", "9.80", "NaN"])
ANY_NUMBER = (
    st.integers()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.sampled_from(["1e400", "-1e400", "1e-400", "1e999999999", "1e-999999999", "2.0", "-0.0"]).map(Decimal)
    | st.just(HUGE)
)
ANY_LEAF = st.none() | st.booleans() | ANY_NUMBER | ANY_TEXT
ANY_JSON = st.recursive(
    ANY_LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)

PRICE = st.integers(1, 10_000_000).map(lambda cents: Decimal(cents).scaleb(-2))
QUANTITY = st.integers(1, 99) | st.integers(1, 99).map(lambda number: Decimal(number).quantize(Decimal("0.0")))
NAME: Mapping[str, st.SearchStrategy[Any]] = {"productName": st.none() | st.text("Té a", max_size=9)}
ITEM: Mapping[str, st.SearchStrategy[Any]] = {
    "productId": st.text("pq-1", min_size=1, max_size=9),
    "quantity": QUANTITY,
    "price": PRICE | PRICE.map(str),
}
WORDS = st.text("abc", min_size=1, max_size=9)
LINES = st.dictionaries(st.text("abc", max_size=9), WORDS, min_size=1, max_size=4)
ORDER: Mapping[str, st.SearchStrategy[Any]] = {
    "customerId": st.text("abc é☂", min_size=1).filter(str.strip),
    "items": st.lists(st.fixed_dictionaries(ITEM, optional=NAME), min_size=1, max_size=4),
    "shippingAddress": WORDS | LINES,
}
VALID_BODY = st.fixed_dictionaries(ORDER)


@st.composite
def nearly_valid(draw: st.DrawFn, valid: st.SearchStrategy[dict[str, Any]]) -> object:
    """A body that is valid but for a few places, where something is missing, added, or something else."""
    sent: object = draw(valid)
    for _ in range(draw(st.integers(0, 2))):
        sent = _mutated(draw, sent)
    return sent


def _mutated(draw: st.DrawFn, value: object) -> object:
    """The value with something changed in it, at any depth."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(ANY_JSON)
    if isinstance(value, list):
        items = cast("list[object]", value)
        place = draw(st.integers(0, len(items) - 1))
        return [*items[:place], _mutated(draw, items[place]), *items[place + 1 :]]
    fields = cast("dict[str, object]", value)
    name = draw(st.sampled_from(sorted(fields)))
    match draw(st.sampled_from(["change", "remove", "add"])):
        case "remove":
            return {known: fields[known] for known in fields if known != name}
        case "add":
            return {**fields, draw(ANY_TEXT): draw(ANY_JSON)}
        case _:
            return {**fields, name: _mutated(draw, fields[name])}


def assert_told(faults: Sequence[Fault]) -> None:
    """The faults can be told to a client, and a program can tell them apart."""
    assert faults
    assert all(fault.message and fault.code for fault in faults)
    msgspec.json.encode(list(faults))  # raises for a text that is none, such as a lone surrogate


def stored_and_read(event: OrderCreated) -> object:
    """The event after it was written to a log and read from it."""
    new = codec.encode(event, Metadata.new())
    return codec.decode(recorded(new.type, new.schema, new.data)).data


VALID_UPDATE = st.fixed_dictionaries(
    {"status": st.sampled_from([status.value for status in Status])},
    optional={"reason": st.none() | st.text("r ", max_size=9)},
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_JSON | nearly_valid(VALID_BODY), st.sampled_from(list(DIGITS)))
@example({**body(), "items": [item(quantity=Decimal("1e1000000"))]}, "USD")
def test_any_json_is_refused_with_a_fault_or_is_exactly_the_order_that_was_sent(sent: object, currency: str) -> None:
    try:
        command = requests.create_order("1", sent, currency)
    except ValidationFailed as refused:
        assert_told(refused.faults)
    else:
        assert_says(command, cast("dict[str, Any]", sent), currency)
        assert command.faults() == []  # the rules of raw values and those of commands are the same
        (event,) = order.decide(command, order.initial)
        assert isinstance(event, OrderCreated)
        assert stored_and_read(event) == event


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_JSON | nearly_valid(VALID_BODY) | VALID_BODY, st.sampled_from(list(DIGITS)), st.booleans())
@example({**body(), "items": [item(price="1e0")]}, "USD", True)
@example({**body(), "items": [item(price=" 1_0")]}, "USD", True)
@example({**body(), "items": [item(quantity=Decimal("2.0"))]}, "USD", True)
@example({**body(), "items": [item(price=999_999_999, quantity=2)]}, "USD", True)
def test_the_short_way_of_an_order_leads_to_the_same(sent: object, currency: str, numbers: bool) -> None:
    text = msgspec.json.Encoder(decimal_format="number" if numbers else "string").encode(replaced_surrogates(sent))
    assert_same(
        lambda: checked(requests.read_order("1", text, currency)),
        lambda: requests.create_order("1", parse_json(text), currency),
    )


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["1", "", "\0"]) | ANY_TEXT, ANY_JSON | nearly_valid(VALID_UPDATE) | VALID_UPDATE)
def test_the_short_way_of_a_change_leads_to_the_same(order_id: str, sent: object) -> None:
    text = msgspec.json.encode(replaced_surrogates(sent))
    assert_same(
        lambda: checked(requests.read_change(order_id, text)),
        lambda: requests.update_status(order_id, parse_json(text)),
    )


Told = TypeVar("Told", CreateOrder, UpdateOrderStatus)


def checked(command: Told) -> Told:
    """The command as the bus would have it: without faults."""
    if faults := command.faults():
        raise ValidationFailed(faults)
    return command


def assert_same(*ways: Callable[[], CreateOrder | UpdateOrderStatus]) -> None:
    """All ways make the same command, or find the same faults."""
    first, *others = (outcome_of(way) for way in ways)
    assert all(repr(other) == repr(first) for other in others)  # repr: 1.0 is not 1.00 here


def outcome_of(way: Callable[[], object]) -> object:
    """What it makes, or what it finds wrong."""
    try:
        return way()
    except ValidationFailed as refused:
        return refused.faults
    except Problem as problem:
        return problem.error


def replaced_surrogates(sent: object) -> object:
    """The value without half surrogate pairs: no text in UTF-8 has them."""
    match sent:
        case str():
            return sent.encode(errors="replace").decode()
        case dict():
            fields = cast("dict[str, object]", sent)
            return {str(replaced_surrogates(name)): replaced_surrogates(value) for name, value in fields.items()}
        case list():
            return [replaced_surrogates(value) for value in cast("list[object]", sent)]
        case _:
            return sent


def assert_says(command: CreateOrder, sent: dict[str, Any], currency: str) -> None:
    """The command says what was sent, to the last digit, and nothing else."""
    assert set(sent) == {"customerId", "items", "shippingAddress"}
    assert (command.customer_id, command.shipping_address) == (sent["customerId"], sent["shippingAddress"])
    assert command.currency == currency
    assert len(command.items) == len(sent["items"])
    for made, raw in zip(command.items, sent["items"], strict=True):
        assert set(raw) <= {"productId", "productName", "quantity", "price"}
        assert made.product_id == raw["productId"]
        assert made.product_name == unless_blank(raw.get("productName"))
        assert type(made.quantity) is int
        assert Decimal(made.quantity) == Decimal(raw["quantity"])
        assert made.price == Decimal(raw["price"])
        assert -cast("int", made.price.as_tuple().exponent) == DIGITS[currency]


def unless_blank(text: str | None) -> str | None:
    """The text, unless it says nothing."""
    return text if text and text.strip() else None


@settings(deadline=None, max_examples=50)
@given(VALID_BODY)
def test_a_valid_body_is_never_refused(sent: dict[str, Any]) -> None:
    assert_says(requests.create_order("1", sent, "USD"), sent, "USD")


@settings(deadline=None, max_examples=100)
@given(VALID_BODY)
def test_amounts_sent_as_numbers_and_as_texts_are_equal(sent: dict[str, Any]) -> None:
    """Through the text of a request: what was a float for a moment would differ in its last digit."""
    texts = [{**each, "price": str(each["price"])} for each in sent["items"]]
    numbers = [{**each, "price": Decimal(each["price"])} for each in sent["items"]]
    encode = msgspec.json.Encoder(decimal_format="number").encode
    as_texts = requests.create_order("1", read_json(encode({**sent, "items": texts})), "USD")
    as_numbers = requests.create_order("1", read_json(encode({**sent, "items": numbers})), "USD")
    assert as_texts == as_numbers == requests.create_order("1", sent, "USD")


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["1", "", "\0"]) | ANY_TEXT, ANY_JSON | nearly_valid(VALID_UPDATE))
def test_any_json_is_refused_with_a_fault_or_is_exactly_the_change_that_was_sent(order_id: str, sent: object) -> None:
    fields = cast("dict[str, Any]", sent)
    try:
        update = requests.update_status(order_id, sent)
    except ValidationFailed as refused:
        assert_told(refused.faults)
    else:
        assert (update.order_id, update.status) == (order_id, fields["status"])
        assert update.reason == unless_blank(fields.get("reason"))
        assert update.faults() == []
    try:
        cancel = requests.cancel_order(order_id, sent)
    except ValidationFailed as refused:
        assert_told(refused.faults)
    else:
        assert set(fields) <= {"reason"}
        assert cancel.order_id == order_id
        assert cancel.faults() == []
