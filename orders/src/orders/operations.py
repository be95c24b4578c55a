"""Every operation of the API: declared once, served as declared, described as served."""

from __future__ import annotations

from collections.abc import Mapping

from orders import validation
from orders.bodies import (
    ONE_LINE,
    Cancellation,
    Changed,
    Created,
    CustomerOrders,
    FoundOrdersPage,
    History,
    NewOrder,
    NewStatus,
)
from orders.cursors import Sort
from orders.details import OrderView
from orders.domain import Status
from orders.http import MAX_PAGE, MAX_VERSION, OrdersApi
from orders.live import LiveOrders
from orders.queries import Dashboard
from orders.searching import DEFAULT_LIMIT, MAX_LIMIT
from twofold.http import consistency
from twofold.http.openapi import Operation, Parameter
from twofold.http.requests import LONGEST_KEY, LONGEST_PARAMETER
from twofold.http.streams import negotiated

Schema = Mapping[str, object]

_TEXT: Schema = {"type": "string", "maxLength": LONGEST_PARAMETER}
_STATUS: Schema = {"type": "string", "enum": list(Status)}
_DAY: Schema = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}
_AMOUNT: Schema = {"type": "string", "pattern": r"^[0-9]{1,30}(\.[0-9]{1,30})?$"}
_TAG: Schema = {"type": "string", "anyOf": [{"const": "*"}, {"pattern": r'^"[0-9]{1,9}"$'}]}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}

ORDER_ID = Parameter(
    "orderId",
    "path",
    {"type": "string", "minLength": 1, "maxLength": validation.MAX_ID, "pattern": ONE_LINE},
    "The order's id.",
)
KEY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r'^(?!""$)[!-~]([ -~]*[!-~])?$'},
    "A text of your choice for each request that you mean: sent again with it, the request takes effect once.",
)
IF_MATCH = Parameter(
    "If-Match",
    "header",
    _TAG,
    "The ETag of the version that the change is meant for.",
)
IF_NONE_MATCH = Parameter("If-None-Match", "header", _TAG, "The ETag that you have already.")

# Of the 24 bytes, 16 are a store's id and 8 a position, whose first bit is not set.
TOKEN = Parameter(
    consistency.TOKEN,
    "header",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{21}[A-HQ-Xg-nw-z0-3][A-Za-z0-9_-]{10}$"},
    "The token that a command answered: the query waits, a bounded time, until its views have that change.",
)
PREFER = Parameter(
    "Prefer",
    "header",
    {"type": "string"},
    "`wait=N`: wait so many seconds at most for the views (RFC 7240). `handling=strict`: 503 rather than stale.",
)


def _query(name: str, schema: Schema, description: str) -> Parameter:
    return Parameter(name, "query", schema, description)


def operations(api: OrdersApi, live: LiveOrders) -> list[Operation]:
    """What the API can do."""
    return [
        Operation(
            "POST",
            "/orders",
            "createOrder",
            "Create an order",
            api.create_order,
            answers={201: Created},
            problems=(400, 408, 413, 415, 422, 503),
            parameters=(KEY, PREFER),
            body=NewOrder,
            headers={201: ("Location", "ETag", consistency.TOKEN)},
        ),
        Operation(
            "GET",
            "/orders",
            "searchOrders",
            "Search orders",
            api.search,
            answers={200: FoundOrdersPage},
            problems=(400, 503),
            parameters=(
                _query("q", _TEXT, "Words, or beginnings of words, in ids, names of products and addresses."),
                _query("customer", _TEXT, "Orders of this customer: the whole id."),
                _query("status", _STATUS, "Orders with this status."),
                _query("from", _DAY, "Created on or after this day or time (ISO 8601, UTC if it names no zone)."),
                _query("to", _DAY, "Created on or before this day or time."),
                _query("min", _AMOUNT, "Of at least this total."),
                _query("max", _AMOUNT, "Of at most this total."),
                _query("sort", {"type": "string", "enum": list(Sort), "default": Sort.NEWEST}, "The order of orders."),
                _query("cursor", _TEXT, "Where the page before ended, as its answer said."),
                _query("limit", _LIMIT, "The most orders to send."),
                TOKEN,
                PREFER,
            ),
        ),
        Operation(
            "GET",
            "/orders/{orderId}",
            "getOrder",
            "Get an order, now or as it was at a version; live as text/event-stream",
            negotiated(api.get_order, live.stream_order),
            answers={200: OrderView, 304: None},
            problems=(400, 404, 503),
            parameters=(
                ORDER_ID,
                _query("version", {"type": "integer", "minimum": 1, "maximum": MAX_VERSION}, "As it was then."),
                IF_NONE_MATCH,
                TOKEN,
                PREFER,
            ),
            headers={200: ("ETag",)},
        ),
        Operation(
            "GET",
            "/orders/{orderId}/events",
            "getOrderEvents",
            "Get an order's history",
            api.get_history,
            answers={200: History},
            problems=(404, 503),
            parameters=(ORDER_ID,),
        ),
        Operation(
            "PATCH",
            "/orders/{orderId}/status",
            "updateOrderStatus",
            "Bring an order to a status",
            api.update_status,
            answers={200: Changed},
            problems=(400, 404, 408, 409, 412, 413, 415, 422, 503),
            parameters=(ORDER_ID, KEY, IF_MATCH, PREFER),
            body=NewStatus,
            headers={200: ("ETag", consistency.TOKEN)},
        ),
        Operation(
            "POST",
            "/orders/{orderId}/cancel",
            "cancelOrder",
            "Cancel an order",
            api.cancel_order,
            answers={200: Changed},
            problems=(400, 404, 408, 409, 412, 413, 415, 422, 503),
            parameters=(ORDER_ID, KEY, IF_MATCH, PREFER),
            body=Cancellation,
            body_optional=True,
            headers={200: ("ETag", consistency.TOKEN)},
        ),
        Operation(
            "GET",
            "/customers/{customerId:path}/orders",
            "getOrdersByCustomer",
            "Get a customer's orders, newest first; live as text/event-stream",
            negotiated(api.get_orders_by_customer, live.stream_customer),
            answers={200: CustomerOrders},
            problems=(400, 404, 503),
            parameters=(
                Parameter(
                    "customerId",
                    "path",
                    {"type": "string", "minLength": 1},
                    "The customer's id.",
                ),
                _query("status", _STATUS, "Orders with this status."),
                _query("page", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1}, "From 1."),
                _query("limit", _LIMIT, "The most orders on a page."),
                _query("cursor", _TEXT, "Where the page before ended; then `page` says nothing."),
                TOKEN,
                PREFER,
            ),
            headers={200: ("Link",)},
        ),
        Operation(
            "GET",
            "/dashboard",
            "getDashboard",
            "Get counts and revenue by status, day, customer and product",
            api.get_dashboard,
            answers={200: Dashboard},
            problems=(400, 503),
            parameters=(TOKEN, PREFER),
        ),
    ]
