"""What may be said to the order service, checked on values as they were sent.

Every fault is gathered, in the order of the fields, each with its own sentence, the path to the field as the client
wrote it, and a code. The same rules serve JSON from outside and commands that were made inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from decimal import Decimal
from typing import Protocol, cast

from orders import money
from twofold import Fault

MAX_ID = 100  # characters of a customer's, product's or order's id
MAX_NAME = 200  # characters of a product's name
MAX_REASON = 1_000  # characters of a reason
MAX_ITEMS = 200  # items of one order
MAX_QUANTITY = 1_000_000  # of one item
MAX_ADDRESS_LINES = 20
MAX_ADDRESS_NAME = 50  # characters of the name of an address line
MAX_ADDRESS_LINE = 300  # characters of one line, or of the whole address where it is one text
MAX_UNKNOWN = 20  # unknown fields that are named; more say nothing new

_AMOUNT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # all but tab and line ends
_LINE_END = re.compile(r"[\t\r\n]")

Body = Mapping[str, object]
_ORDER = frozenset({"customerId", "items", "shippingAddress"})
_ITEM = frozenset({"productId", "productName", "quantity", "price"})


class PlainItem(Protocol):
    """What an item says, in the types that it has if it is plain."""

    @property
    def product_id(self) -> str: ...
    @property
    def product_name(self) -> str | None: ...
    @property
    def quantity(self) -> int: ...
    @property
    def price(self) -> Decimal: ...


_NOT_AN_OBJECT = Fault("The body must be a JSON object", "", "type")


def create_order(body: object, currency: str) -> list[Fault]:
    """The faults of the body of a new order."""
    fields = _object(body)
    if fields is None:
        return [_NOT_AN_OBJECT]
    return [
        *_id(fields.get("customerId"), "Customer ID", "customerId"),
        *_items(fields.get("items"), currency),
        *_address(fields.get("shippingAddress")),
        *_unknown(fields, _ORDER),
    ]


def is_plain_order(customer_id: str, items: Sequence[PlainItem], address: object, currency: str) -> bool:
    """Whether an order is as nearly all are, with no fault for sure: that is known sooner than each fault is sought.

    What is not plain may be faultless all the same; `create_order` tells.
    """
    if not (is_plain_text(customer_id, MAX_ID) and 0 < len(items) <= MAX_ITEMS and is_plain_address(address)):
        return False
    total: Decimal | int = 0
    for item in items:
        quantity, price = item.quantity, item.price
        if not is_plain_item(item.product_id, item.product_name, quantity, price, currency):
            return False
        total += price * quantity
    return total <= money.LARGEST


def update_status(order_id: object, body: object, statuses: Sequence[str]) -> list[Fault]:
    """The faults of a change of status."""
    fields = _object(body)
    if fields is None:
        return [_NOT_AN_OBJECT]
    return [
        *order(order_id),
        *_status(fields.get("status"), statuses),
        *_text(fields.get("reason"), "Reason", "reason", MAX_REASON),
        *_unknown(fields, {"status", "reason"}),
    ]


def cancel_order(order_id: object, body: object) -> list[Fault]:
    """The faults of a cancellation."""
    fields = _object(body)
    if fields is None:
        return [_NOT_AN_OBJECT]
    return [
        *order(order_id),
        *_text(fields.get("reason"), "Reason", "reason", MAX_REASON),
        *_unknown(fields, {"reason"}),
    ]


def order(order_id: object) -> list[Fault]:
    """The faults of an order's id."""
    return list(_id(order_id, "Order ID", "orderId"))


def amount(value: object) -> Decimal | None:
    """A JSON number or a decimal text as a decimal, exactly; None if it is neither. Never goes through a float."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        return Decimal(value)
    return None


def whole(value: object) -> int | None:
    """A JSON number without a fraction as an int (`2`, and `2.0` too); None if it is anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Compared first: to make an int of 1E+1000000 would take all memory, and to make it positive would overflow.
    if isinstance(value, Decimal) and value.is_finite() and _near(value) and value == int(value):
        return int(value)
    return None


def _near(value: Decimal) -> bool:
    return -MAX_QUANTITY <= value <= MAX_QUANTITY


def _items(items: object, currency: str) -> Iterator[Fault]:
    if items is None or items == []:
        yield Fault("At least one item is required", "items", "required")
        return
    if not isinstance(items, list):
        yield Fault("Items must be a list", "items", "type")
        return
    if len(cast("list[object]", items)) > MAX_ITEMS:
        yield Fault(f"At most {MAX_ITEMS} items are allowed", "items", "too_many")
        return
    total, faultless = Decimal(0), True
    for number, item in enumerate(cast("list[object]", items)):
        fields = _object(item) or {}
        faults = [*_item(number, item, fields, currency)]
        yield from faults
        faultless = faultless and not faults
        if faultless:
            total += (amount(fields["price"]) or 0) * (whole(fields["quantity"]) or 0)
    if faultless and total > money.LARGEST:
        yield Fault(f"Order total must be at most {money.LARGEST}", "items", "too_large")


def _item(number: int, item: object, fields: Body, currency: str) -> Iterator[Fault]:
    if _is_plain(fields, currency):
        return
    label, path = f"Item {number}", f"items[{number}]"
    if not isinstance(item, Mapping):
        yield Fault(f"{label} must be an object", path, "type")
        return
    yield from _id(fields.get("productId"), f"{label}: Product ID", f"{path}.productId")
    yield from _text(fields.get("productName"), f"{label}: Product name", f"{path}.productName", MAX_NAME)
    yield from _quantity(fields.get("quantity"), f"{label}: Quantity", f"{path}.quantity")
    yield from _price(fields.get("price"), f"{label}: Price", f"{path}.price", currency)
    yield from _unknown(fields, _ITEM, f"{label}: ", f"{path}.")


def _is_plain(item: Body, currency: str) -> bool:
    """Whether an item is as nearly all are, with no fault in it: that is known sooner than each fault is looked for."""
    return item.keys() <= _ITEM and is_plain_item(
        item.get("productId"), item.get("productName"), item.get("quantity"), item.get("price"), currency
    )


def is_plain_item(id: object, name: object, quantity: object, price: object, currency: str) -> bool:
    """Whether an item of these values has no fault for sure; an item that has none may still be out of the plain."""
    return (
        (name is None or is_plain_text(name, MAX_NAME))
        and type(quantity) is int  # which True is not
        and isinstance(price, Decimal)
        and is_plain_text(id, MAX_ID)
        and 1 <= quantity <= MAX_QUANTITY
        and price.is_finite()
        and 0 < price <= money.LARGEST
        and money.exact(price, currency) is not None
    )


def is_plain_text(text: object, longest: int) -> bool:
    """Whether a text says something on one line, within its length and without control characters."""
    return isinstance(text, str) and len(text) <= longest and text.isprintable() and not text.isspace() and text != ""


def _quantity(value: object, label: str, path: str) -> Iterator[Fault]:
    quantity = whole(value)
    if value is None:
        yield Fault(f"{label} must be at least 1", path, "required")
    elif quantity is not None and quantity > MAX_QUANTITY:
        yield Fault(f"{label} must be at most {MAX_QUANTITY}", path, "too_large")
    elif quantity is not None and quantity < 1:
        yield Fault(f"{label} must be at least 1", path, "too_small")
    elif quantity is None and isinstance(value, Decimal) and value.is_finite() and not _near(value):
        yield Fault(f"{label} must be between 1 and {MAX_QUANTITY}", path, "too_large")
    elif quantity is None:
        yield Fault(f"{label} must be a whole number", path, "type")


def _price(value: object, label: str, path: str, currency: str) -> Iterator[Fault]:
    price = amount(value)
    if value is None:
        yield Fault(f"{label} must be positive", path, "required")
    elif price is None or not price.is_finite():
        yield Fault(f"{label} must be a number", path, "type")
    elif price <= 0:
        yield Fault(f"{label} must be positive", path, "too_small")
    elif price > money.LARGEST:
        yield Fault(f"{label} must be at most {money.LARGEST}", path, "too_large")
    elif money.exact(price, currency) is None:
        digits = money.digits(currency)
        yield Fault(f"{label} must have at most {digits} decimals in {currency}", path, "too_precise")


def _address(address: object) -> Iterator[Fault]:
    label, path = "Shipping address", "shippingAddress"
    if isinstance(address, str):
        yield from _text(address, label, path, MAX_ADDRESS_LINE, required=True)
    elif address is None or address == {}:
        yield Fault(f"{label} is required", path, "required")
    elif not isinstance(address, Mapping):
        yield Fault(f"{label} must be an object or a text", path, "type")
    elif not is_plain_address(lines := cast("Body", address)):
        if len(lines) > MAX_ADDRESS_LINES:
            yield Fault(f"{label} must have at most {MAX_ADDRESS_LINES} lines", path, "too_many")
            return
        for name, line in lines.items():
            if len(name) > MAX_ADDRESS_NAME or _CONTROL.search(name):
                yield Fault(f"{label}: the name of a line is not valid", path, "name")
            elif line is None:
                yield Fault(f"{label}: {name} must be a text", f"{path}.{name}", "type")
            else:
                yield from _text(line, f"{label}: {name}", f"{path}.{name}", MAX_ADDRESS_LINE)
        if all(isinstance(line, str) and not line.strip() for line in lines.values()):
            yield Fault(f"{label} is required", path, "required")


def is_plain_address(address: object) -> bool:
    """Whether an address has no fault for sure."""
    if isinstance(address, str):
        return is_plain_text(address, MAX_ADDRESS_LINE)
    lines = _object(address)
    if lines is None or not 0 < len(lines) <= MAX_ADDRESS_LINES:
        return False
    for name, line in lines.items():
        if not is_plain_text(line, MAX_ADDRESS_LINE) or not is_plain_text(name, MAX_ADDRESS_NAME):
            return False
    return True


def _status(status: object, statuses: Sequence[str]) -> Iterator[Fault]:
    if status not in statuses:
        code = "required" if status is None else "unknown"
        yield Fault(f"Status must be one of: {', '.join(statuses)}", "status", code)


def _id(value: object, label: str, path: str) -> Iterator[Fault]:
    yield from _text(value, label, path, MAX_ID, required=True)
    if isinstance(value, str) and not value.isprintable() and _LINE_END.search(value):
        yield Fault(f"{label} must be one line", path, "characters")


def _text(value: object, label: str, path: str, longest: int, *, required: bool = False) -> Iterator[Fault]:
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            yield Fault(f"{label} is required", path, "required")
    elif not isinstance(value, str):
        yield Fault(f"{label} must be a text", path, "type")
    elif len(value) > longest:
        yield Fault(f"{label} must have at most {longest} characters", path, "too_long")
    elif not value.isprintable() and _CONTROL.search(value):  # nearly all texts are printable, which is known sooner
        yield Fault(f"{label} must not contain control characters", path, "characters")


def _unknown(body: Body, known: Set[str], label: str = "", path: str = "") -> Iterator[Fault]:
    if body.keys() <= known:
        return
    unknown = sorted(name for name in body if name not in known)
    for name in unknown[:MAX_UNKNOWN]:
        shown = _CONTROL.sub("?", name[:MAX_ADDRESS_NAME])
        yield Fault(f"{label}Unknown field: {shown}", f"{path}{shown}", "unknown_field")


def _object(value: object) -> Body | None:
    # A dict is nearly all that comes, and is known sooner than any mapping.
    return cast("Body", value) if isinstance(value, dict) or isinstance(value, Mapping) else None  # noqa: SIM101
