"""An order at a terminal: as the log says it is, or was."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from orders.details import OrderView, details, source
from orders.domain import ShippingAddress, Status, orders
from twofold import TwofoldError
from twofold.cli.printing import grid, said, show, table, when
from twofold.cli.terminal import print_json
from twofold.connect import connect
from twofold.projection import live

_COLOURS = {
    Status.PENDING: "yellow",
    Status.CONFIRMED: "blue",
    Status.SHIPPED: "cyan",
    Status.DELIVERED: "green",
    Status.CANCELLED: "red",
}


class OrderMissing(TwofoldError):
    """An order was asked for that is not there, or not at this version."""


async def show_order(url: str, order_id: str, *, version: int | None, json: bool) -> None:
    """Print the order, or the order as it was at a version.

    It is folded from its stream, so it can be shown beside a running service and where no view was ever built.
    Raises StoreRefused, OrderMissing.
    """
    async with connect(url, create=False) as store:
        events = store.read(orders.stream(order_id), until=version)
        view = await live(details.projection, source, events, order_id)
    if view is None:
        raise OrderMissing(f"there is no order {order_id} in {url}")
    if version is not None and view.version != version:
        raise OrderMissing(f"order {order_id} has no version {version} yet; it is at version {view.version}")
    if json:
        print_json(details.encode(view))
    else:
        show(_head(view), Text(), _items(view), Text(), _history(view))


def _head(order: OrderView) -> RenderableType:
    return grid(
        [
            ("Order", said(order.order_id, "bold")),
            ("Status", _status(order.status)),
            ("Customer", said(order.customer_id)),
            ("Ship to", said(_address(order.shipping_address))),
            ("Total", said(f"{order.total_amount} {order.currency}", "bold")),
            ("Version", said(order.version)),
        ]
    )


def _items(order: OrderView) -> RenderableType:
    numbers = ("Quantity", "Price", "Subtotal")
    rows = table("Product", "Name", *numbers, right=numbers)
    for item in order.items:
        rows.add_row(
            *(said(value) for value in (item.product_id, item.product_name, item.quantity, item.price, item.subtotal))
        )
    return rows


def _history(order: OrderView) -> RenderableType:
    """Each event of an order changes its status, so the n-th change is version n."""
    rows = table("Version", "When (UTC)", "Status", "Reason", right=("Version",))
    for number, change in enumerate(order.status_history, start=1):
        rows.add_row(said(number), said(when(change.timestamp)), _status(change.status), said(change.reason))
    return rows


def _status(status: Status) -> Text:
    return Text(status, _COLOURS[status])


def _address(address: ShippingAddress) -> str:
    return address if isinstance(address, str) else ", ".join(line for line in address.values() if line)
