"""The bodies of the API as types, for its description: what a client may send, what it is sent.

What is sent to us is checked by `orders.validation`, which gathers all faults; these types say the same limits to a
program. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from orders import money, validation
from orders.details import OrderView
from orders.domain import Status

_TEXT_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff"  # all but tab and line ends
_LINE_CONTROL = r"\u0000-\u001f\u007f-\u009f\ufffe\uffff"
_TEXT = rf"^[^{_TEXT_CONTROL}]*$"
# With some character that is no space.
_SOME_TEXT = rf"^[^{_TEXT_CONTROL}]*[^\s{_TEXT_CONTROL}][^{_TEXT_CONTROL}]*$"
ONE_LINE = rf"^[^{_LINE_CONTROL}]*[^\s{_LINE_CONTROL}][^{_LINE_CONTROL}]*$"

Id = Annotated[str, Meta(min_length=1, max_length=validation.MAX_ID, pattern=ONE_LINE)]
Reason = Annotated[str, Meta(max_length=validation.MAX_REASON, pattern=_TEXT)]
# Limits of a union's members as JSON Schema only: with both limits of both members, msgspec 0.22 corrupts memory.
Address = (
    Annotated[str, Meta(extra_json_schema={"maxLength": validation.MAX_ADDRESS_LINE, "pattern": _SOME_TEXT})]
    | Annotated[
        dict[
            Annotated[str, Meta(max_length=validation.MAX_ADDRESS_NAME, pattern=_TEXT)],
            Annotated[str, Meta(max_length=validation.MAX_ADDRESS_LINE, pattern=_TEXT)],
        ],
        Meta(
            extra_json_schema={
                "maxProperties": validation.MAX_ADDRESS_LINES,
                # Some line says something: not every line is blank.
                "not": {"type": "object", "additionalProperties": {"pattern": r"^\s*$"}},
            }
        ),
    ]
)


class Price:
    """A price as it is sent: a number, or its digits as a text."""

    @staticmethod
    def schema(currency: str) -> Mapping[str, object]:
        """What a price in this currency may be."""
        digits = money.digits(currency)
        # No multipleOf: a validator that divides floats would find that 34.8 is no multiple of 0.01.
        number = {"exclusiveMinimum": 0, "maximum": float(money.LARGEST)}
        decimals = rf"\.(?=[0-9])[0-9]{{0,{digits}}}0{{0,30}}"
        return {
            "description": f"Exact, in {currency}, with at most {digits} decimals; a number, or its digits in a text",
            "anyOf": [
                {"type": "number", **number},
                {"type": "string", "pattern": rf"^(?=.*[1-9])[0-9]{{1,9}}({decimals})?$"},
            ],
        }


class NewItem(Struct, rename="camel", forbid_unknown_fields=True):
    """An item to order."""

    product_id: Id
    quantity: Annotated[int, Meta(ge=1, le=validation.MAX_QUANTITY)]
    price: Price
    product_name: Annotated[str, Meta(max_length=validation.MAX_NAME, pattern=_TEXT)] | UnsetType | None = UNSET


class NewOrder(Struct, rename="camel", forbid_unknown_fields=True):
    """An order to create. The address is one text, or an object of named lines."""

    customer_id: Id
    items: Annotated[list[NewItem], Meta(min_length=1, max_length=validation.MAX_ITEMS)]
    shipping_address: Address


class NewStatus(Struct, rename="camel", forbid_unknown_fields=True):
    """A status to go to."""

    status: Status
    reason: Reason | UnsetType | None = UNSET


class Cancellation(Struct, rename="camel", forbid_unknown_fields=True):
    """Why an order is called off."""

    reason: Reason | UnsetType | None = UNSET


class Created(Struct, frozen=True, rename="camel"):
    """The answer to a new order."""

    order_id: str


class Changed(Struct, frozen=True, rename="camel"):
    """The answer to a change."""

    order_id: str
    status: Status


class HistoryEvent(Struct, frozen=True, rename="camel"):
    """An event of an order: what happened, when, who said it and because of what."""

    id: UUID
    type: str
    schema: int
    version: int
    position: int
    data: Any
    at: datetime
    recorded_at: datetime
    message_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    actor: str | None


class History(Struct, frozen=True, rename="camel"):
    """All events of an order, oldest first."""

    order_id: str
    events: list[HistoryEvent]


class CustomerOrders(Struct, frozen=True, rename="camel"):
    """A page of a customer's orders, newest first. `cursor` leads to the next page; null on the last."""

    orders: list[OrderView]
    page: int
    limit: int
    total: int
    cursor: str | None


class FoundOrdersPage(Struct, frozen=True, rename="camel"):
    """Orders that were searched for. `cursor` leads to the next ones; null when these are the last."""

    orders: list[OrderView]
    limit: int
    cursor: str | None
