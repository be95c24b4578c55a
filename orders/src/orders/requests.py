"""What a client sends becomes a command: checked as it came, then made exact.

Nearly all bodies are plain: one pass reads them into types and a second finds nothing wrong. Any other body is read as
JSON of any shape, so that each of its faults can be named; `create_order` and `update_status` mean the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from orders import money, validation
from orders.domain import CancelOrder, CreateOrder, Item, Status, UpdateOrderStatus
from twofold import Fault, ValidationFailed
from twofold.http.requests import parse_json

T = TypeVar("T")


class _Item(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    product_id: str
    quantity: int
    price: Any  # a number is a decimal here, or an int; a text is not plain
    product_name: str | None = None


class _Order(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    customer_id: str
    items: list[_Item]
    shipping_address: str | dict[str, str]


class _Change(Struct, forbid_unknown_fields=True, gc=False):
    status: Status
    reason: str | None = None


_decode_order = msgspec.json.Decoder(_Order, float_hook=Decimal).decode
_decode_change = msgspec.json.Decoder(_Change).decode


def read_order(order_id: str, text: bytes, currency: str) -> CreateOrder:
    """A new order from the JSON text of a body. Raises ValidationFailed, and as `parse_json`."""
    sent = _plain(_decode_order, text)
    if sent is not None:
        for item in sent.items:
            if type(item.price) is int:
                item.price = Decimal(item.price)
        if validation.is_plain_order(sent.customer_id, sent.items, sent.shipping_address, currency):
            items = tuple(
                [
                    Item(item.product_id, item.quantity, money.rounded(item.price, currency), item.product_name)
                    for item in sent.items
                ]
            )
            return CreateOrder(order_id, sent.customer_id, items, sent.shipping_address, currency)
    return create_order(order_id, parse_json(text), currency)


def read_change(order_id: str, text: bytes) -> UpdateOrderStatus:
    """A change of status from the JSON text of a body. Raises as `read_order`."""
    sent = _plain(_decode_change, text)
    if sent is not None and sent.reason is None and validation.is_plain_text(order_id, validation.MAX_ID):
        return UpdateOrderStatus(order_id, sent.status)
    return update_status(order_id, parse_json(text))


def _plain(decode: Callable[[bytes], T], text: bytes) -> T | None:
    try:
        return decode(text)
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError):  # whatever it is, it is told elsewhere
        return None


def create_order(order_id: str, body: object, currency: str) -> CreateOrder:
    """A new order from its JSON body. Raises ValidationFailed with every fault."""
    _refuse(validation.create_order(body, currency))
    fields = cast("Mapping[str, Any]", body)
    items = tuple(
        Item(
            product_id=item["productId"],
            product_name=_said(item.get("productName")),
            quantity=_sure(validation.whole, item["quantity"]),
            price=_sure(lambda price: _exact(price, currency), item["price"]),
        )
        for item in fields["items"]
    )
    return CreateOrder(order_id, fields["customerId"], items, fields["shippingAddress"], currency)


def update_status(order_id: str, body: object, if_version: int | None = None) -> UpdateOrderStatus:
    """A change of status from its JSON body. Raises ValidationFailed with every fault."""
    _refuse(validation.update_status(order_id, body, tuple(Status)))
    fields = cast("Mapping[str, Any]", body)
    return UpdateOrderStatus(order_id, Status(fields["status"]), _said(fields.get("reason")), if_version)


def cancel_order(order_id: str, body: object, if_version: int | None = None) -> CancelOrder:
    """A cancellation from its JSON body. Raises ValidationFailed with every fault."""
    _refuse(validation.cancel_order(order_id, body))
    fields = cast("Mapping[str, Any]", body)
    return CancelOrder(order_id, _said(fields.get("reason")), if_version)


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise ValidationFailed(faults)


def _said(text: str | None) -> str | None:
    """A text as it was sent; a blank one says nothing."""
    return text if text is not None and text.strip() else None


def _exact(value: object, currency: str) -> Decimal | None:
    amount = validation.amount(value)
    return None if amount is None else money.exact(amount, currency)


def _sure(read: Callable[[object], T | None], value: object) -> T:
    """The value that the validation has found to be readable."""
    found = read(value)
    if found is None:
        raise AssertionError("validation let a value through that cannot be read")
    return found
