"""What a client sends becomes a command, exactly; the command is checked where it is executed.

Nearly all bodies have the right types and are read straight into them. Any other body, or one whose prices would not
stay what they are, is read as JSON of any shape, so that each of its faults can be named under the name that was sent.
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
    price: Any  # a number is a decimal here, or an int; a text is left to the long way
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
    """A new order from the JSON text of a body; it may have faults that it finds in itself.

    Raises ValidationFailed, and as `parse_json`.
    """
    sent = _typed(_decode_order, text)
    if sent is not None:
        items = tuple([_item(item, currency) for item in sent.items])
        if None not in items:
            exact = cast("tuple[Item, ...]", items)
            return CreateOrder(order_id, sent.customer_id, exact, sent.shipping_address, currency)
    return create_order(order_id, parse_json(text), currency)


def read_change(order_id: str, text: bytes) -> UpdateOrderStatus:
    """A change of status from the JSON text of a body. Raises as `read_order`."""
    sent = _typed(_decode_change, text)
    # With If-Match the order is looked for before the command is executed, and stores refuse some ids.
    if sent is not None and validation.is_plain_text(order_id, validation.MAX_ID):
        return UpdateOrderStatus(order_id, sent.status, _said(sent.reason))
    return update_status(order_id, parse_json(text))


def _item(sent: _Item, currency: str) -> Item | None:
    """The item with its exact price; None if there is none in this currency, or it is no number."""
    price = Decimal(sent.price) if type(sent.price) is int else sent.price
    # Compared first: to write out 1E+1000 takes more digits than a decimal has.
    if not isinstance(price, Decimal) or not price.is_finite() or not -money.LARGEST <= price <= money.LARGEST:
        return None
    exact = money.exact(price, currency)
    return None if exact is None else Item(sent.product_id, sent.quantity, exact, _said(sent.product_name))


def _typed(decode: Callable[[bytes], T], text: bytes) -> T | None:
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
