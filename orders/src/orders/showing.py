"""An order at a terminal: as the log says it is, or was."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orders.details import OrderView, details, source
from orders.domain import ShippingAddress, Status, orders
from twofold import TwofoldError
from twofold.cli.terminal import print_json, printable
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
        _print(view, Console(highlight=False))


def _print(order: OrderView, console: Console) -> None:
    console.print(_head(order))
    console.print(_items(order))
    console.print(_history(order))


def _head(order: OrderView) -> Table:
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column()
    head.add_row("Order", Text(printable(order.order_id), "bold"))
    head.add_row("Status", _status(order.status))
    head.add_row("Customer", Text(printable(order.customer_id)))
    head.add_row("Ship to", Text(printable(_address(order.shipping_address))))
    head.add_row("Total", Text(f"{order.total_amount} {order.currency}", "bold"))
    head.add_row("Version", str(order.version))
    return head


def _items(order: OrderView) -> Table:
    table = Table()
    table.add_column("Product")
    table.add_column("Name")
    for title in ("Quantity", "Price", "Subtotal"):
        table.add_column(title, justify="right")
    for item in order.items:
        texts = (printable(item.product_id), printable(item.product_name))
        numbers = (item.quantity, item.price, item.subtotal)
        table.add_row(*(Text(text) for text in texts), *(str(number) for number in numbers))
    return table


def _history(order: OrderView) -> Table:
    """Each event of an order changes its status, so the n-th change is version n."""
    table = Table()
    table.add_column("Version", justify="right")
    for title in ("When", "Status", "Reason"):
        table.add_column(title)
    for number, change in enumerate(order.status_history, start=1):
        when = f"{change.timestamp:%Y-%m-%d %H:%M:%S} UTC"
        table.add_row(str(number), when, _status(change.status), Text(printable(change.reason)))
    return table


def _status(status: Status) -> Text:
    return Text(status, _COLOURS[status])


def _address(address: ShippingAddress) -> str:
    return address if isinstance(address, str) else ", ".join(line for line in address.values() if line)
