"""The form of a new order: what was typed, as a client would send it, and what is wrong with it beside each field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

import msgspec

from twofold import Fault
from twofold.http.html import Form

ADDRESS_LINES: Mapping[str, str] = {
    "name": "Name",
    "street": "Street",
    "city": "City",
    "region": "Region",
    "postalCode": "Postal code",
    "country": "Country",
}
"""The lines of an address that the form has, and what they are called there."""

EMPTY_ROWS = 3  # that a new form begins with
_WHOLE = re.compile(r"-?[0-9]{1,40}")
_ROW = re.compile(r"items\[(\d+)\](?:\.(\w+))?")


class Row(msgspec.Struct, frozen=True, rename="camel"):
    """A row of the form, as it was typed: an item of the order, or nothing at all."""

    product_id: str = ""
    product_name: str = ""
    quantity: str = ""
    price: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was typed: such a row is no item."""
        return not any(text.strip() for text in (self.product_id, self.product_name, self.quantity, self.price))

    def item(self) -> Mapping[str, object]:
        """The item as a client would send it. What is no number stays a text, for the validation to refuse."""
        quantity = self.quantity.strip()
        return {
            "productId": self.product_id.strip(),
            "productName": self.product_name.strip() or None,
            "quantity": int(quantity) if _WHOLE.fullmatch(quantity) else quantity or None,
            "price": self.price.strip() or None,
        }


class Draft(msgspec.Struct, frozen=True):
    """An order that is being written. `order_id` is the id that it will have: sent twice, it is one order."""

    order_id: str
    customer_id: str = ""
    address: Mapping[str, str] = msgspec.field(default_factory=lambda: dict.fromkeys(ADDRESS_LINES, ""))
    rows: Sequence[Row] = (Row(),) * EMPTY_ROWS

    @classmethod
    def of(cls, form: Form) -> Draft:
        """What was typed into the form."""
        columns = [form.all(name) for name in ("productId", "productName", "quantity", "price")]
        return cls(
            form.text("orderId"),
            form.text("customerId"),
            {name: form.text(f"address.{name}") for name in ADDRESS_LINES},
            [Row(*texts) for texts in zip_longest(*columns, fillvalue="")] or [Row()],
        )

    def with_row(self) -> Draft:
        """With one more row."""
        return msgspec.structs.replace(self, rows=[*self.rows, Row()])

    def without_row(self, number: int) -> Draft:
        """Without this row, counted from 0."""
        return msgspec.structs.replace(self, rows=[*self.rows[:number], *self.rows[number + 1 :]] or [Row()])

    def body(self) -> Mapping[str, object]:
        """The order as a client would send it: rows and lines that are empty are left out."""
        return {
            "customerId": self.customer_id.strip(),
            "items": [row.item() for row in self.rows if not row.empty],
            "shippingAddress": {name: line.strip() for name, line in self.address.items() if line.strip()},
        }

    def placed(self, faults: Iterable[Fault]) -> Mapping[str, str]:
        """The sentences of faults in `body`, by the id of the form's field that each belongs to."""
        items = [number for number, row in enumerate(self.rows) if not row.empty]
        placed: dict[str, str] = {}
        for fault in faults:
            found = _ROW.fullmatch(fault.path)
            field, message = fault.path, fault.message
            if found is not None:
                number = items[int(found[1])]
                field = f"{found[2] or 'productId'}-{number}"
                message = message.partition(": ")[2] or message  # the row says which item it is
            elif field.startswith("shippingAddress."):
                field = field.replace("shippingAddress.", "address-")
                message = message.partition(": ")[2] or message
            placed.setdefault(field, message)
        return placed
