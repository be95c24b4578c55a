"""What a client sends becomes a command: checked as it came, then made exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar, cast

from orders import money, validation
from orders.domain import CancelOrder, CreateOrder, Item, Status, UpdateOrderStatus
from twofold import Fault, ValidationFailed

T = TypeVar("T")


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
