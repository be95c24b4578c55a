"""The order service by HTTP: each handler reads a request, sends one message, and renders the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

import msgspec
from uuid_utils import uuid7

from orders import requests, validation
from orders.app import OrderService
from orders.bodies import Changed, Created, History, HistoryEvent
from orders.details import details
from orders.domain import (
    CancelOrder,
    OrderExists,
    OrderNotFound,
    Status,
    TransitionForbidden,
    UpdateOrderStatus,
    codec,
    orders,
)
from orders.queries import GetDashboard, GetOrder, GetOrdersByCustomer
from orders.sales import sales
from orders.searching import DEFAULT_LIMIT, MAX_LIMIT, read_search
from orders.settings import Settings
from twofold import Conflict, Metadata, Receipt, TwofoldError
from twofold.http.answers import answer_once, encode, json_response
from twofold.http.consistency import Consistency
from twofold.http.exchange import Request, Response
from twofold.http.problems import PreconditionFailed, Problem
from twofold.http.requests import (
    Parameters,
    check_json,
    entity_tag,
    matches_none_of,
    read_body,
    read_idempotency,
    read_if_match,
    read_json,
)

# What is read names people, and any write may change it: no proxy may keep it, and who does asks again.
CACHING = {"Cache-Control": "private, no-cache"}
MAX_PAGE = 100_000
MAX_VERSION = 2**31 - 1


def explain(error: TwofoldError) -> Problem | None:
    """What a client is told of the domain's own errors."""
    match error:
        case OrderNotFound():
            return Problem(404, "order-not-found", "Order not found")
        case OrderExists():
            return Problem(409, "order-exists", "Order exists already")
        case TransitionForbidden(previous=previous, new=new):
            return Problem(409, "transition-forbidden", str(error), previousStatus=previous, newStatus=new)
        case _:
            return None


class OrdersApi:
    """The handlers, over a running service."""

    def __init__(self, service: OrderService, settings: Settings) -> None:
        self._store = service.store
        self._commands = service.commands
        self._queries = service.queries
        self._settings = settings
        self._consistency = Consistency(service.views, service.watermarks, settings.view_seconds)

    # --- commands ---------------------------------------------------------------------------------------------------

    async def create_order(self, request: Request) -> Response:
        """POST /orders."""
        body = await read_body(request, limit=self._settings.max_body)
        command = requests.read_order(str(uuid7()), check_json(request, body), self._settings.currency)

        def created(receipt: Receipt) -> Response:
            order_id = orders.id_in(receipt.stream)  # of the first such request, if this one repeats it
            headers = {"Location": f"{_root(request)}/orders/{order_id}", "ETag": entity_tag(receipt.version)}
            return json_response(encode(Created(order_id)), 201, headers)

        async def create(metadata: Metadata) -> Receipt:
            request.correlation_id = metadata.correlation_id
            return await self._commands.execute(command, metadata)

        return await self._answer(request, body, create, created)

    async def update_status(self, request: Request) -> Response:
        """PATCH /orders/{orderId}/status."""
        body = await read_body(request, limit=self._settings.max_body)
        command = requests.read_change(request.path_params["orderId"], check_json(request, body))
        return await self._change(request, body, command, command.status)

    async def cancel_order(self, request: Request) -> Response:
        """POST /orders/{orderId}/cancel."""
        body = await read_body(request, limit=self._settings.max_body)
        command = requests.cancel_order(request.path_params["orderId"], read_json(request, body, optional=True))
        return await self._change(request, body, command, Status.CANCELLED)

    async def _change(
        self, request: Request, body: bytes, command: UpdateOrderStatus | CancelOrder, status: Status
    ) -> Response:
        allowed = read_if_match(request)

        def changed(receipt: Receipt) -> Response:
            headers = {"ETag": entity_tag(receipt.version)}
            return json_response(encode(Changed(command.order_id, status)), headers=headers)

        async def change(metadata: Metadata) -> Receipt:
            request.correlation_id = metadata.correlation_id
            if allowed is None:
                return await self._commands.execute(command, metadata)
            version = (await orders.load(self._store, command.order_id)).version  # not of the view: that may be stale
            if version == 0:
                raise OrderNotFound(command.order_id)
            if version not in allowed:
                raise PreconditionFailed(version)
            try:
                conditional = msgspec.structs.replace(command, if_version=version)
                return await self._commands.execute(conditional, metadata)
            except Conflict as conflict:
                raise PreconditionFailed(conflict.actual) from conflict

        return await self._answer(request, body, change, changed)

    async def _answer(
        self,
        request: Request,
        body: bytes,
        execute: Callable[[Metadata], Awaitable[Receipt]],
        render: Callable[[Receipt], Response],
    ) -> Response:
        Parameters(request, ()).check()

        async def answer(receipt: Receipt) -> Response:
            response = render(receipt)
            response.headers.update(await self._consistency.written(request, receipt.position))
            return response

        return await answer_once(self._store, read_idempotency(request, body), execute, answer, explain)

    # --- queries ----------------------------------------------------------------------------------------------------

    async def get_order(self, request: Request) -> Response:
        """GET /orders/{orderId}, now or as it was at ?version=N."""
        parameters = Parameters(request, ("version",))
        version = parameters.whole("version", "Version", default=None, least=1, most=MAX_VERSION)
        parameters.check()
        views = (details.name,) if version is None else ()  # a past version is read from the log, never behind
        headers = {**CACHING, **await self._consistency.reading(request, *views)}
        document = await self._queries.ask(GetOrder(request.path_params["orderId"], version))
        if document is None:
            text = "Order not found" if version is None else "Order version not found"
            raise Problem(404, "order-not-found", text, headers=headers)
        etag = entity_tag(document.version)
        headers = {"ETag": etag, **headers}
        if not matches_none_of(request, etag):
            return Response(status=304, headers=headers)
        return json_response(bytes(document.body), headers=headers)

    async def get_history(self, request: Request) -> Response:
        """GET /orders/{orderId}/events. An order has few events: it cannot go in circles."""
        Parameters(request, ()).check()
        order_id: str = request.path_params["orderId"]
        if validation.order(order_id):  # no order has such an id, and stores refuse to look for some of them
            raise OrderNotFound(order_id)
        events = [
            HistoryEvent(
                id=recorded.id,
                type=recorded.type,
                schema=recorded.schema,
                version=recorded.version,
                position=recorded.position,
                data=recorded.data,
                at=recorded.metadata.at,
                recorded_at=recorded.recorded_at,
                message_id=recorded.metadata.message_id,
                correlation_id=recorded.metadata.correlation_id,
                causation_id=recorded.metadata.causation_id,
                actor=recorded.metadata.actor,
            )
            async for stored in self._store.read(orders.stream(order_id))
            for recorded in (codec.decode(stored),)
        ]
        if not events:
            raise OrderNotFound(order_id)
        return json_response(encode(History(order_id, events)), headers=CACHING)

    async def get_orders_by_customer(self, request: Request) -> Response:
        """GET /customers/{customerId}/orders."""
        parameters = Parameters(request, ("status", "page", "limit", "cursor"))
        status = parameters.choice("status", "Status", Status)
        page = parameters.whole("page", "Page", default=1, least=1, most=MAX_PAGE)
        limit = parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        cursor = parameters.text("cursor")
        parameters.check()
        customer_id: str = request.path_params["customerId"]
        query = GetOrdersByCustomer(customer_id, status, page, limit, cursor)
        headers = await self._consistency.reading(request, details.name, sales.name)
        found = await self._queries.ask(query)
        path = f"{_root(request)}/customers/{quote(customer_id, safe='')}/orders"
        # Words and numbers of our own, in which nothing has to be escaped: to try took an eighth of the answer's time.
        same = f"{path}?limit={limit}" if status is None else f"{path}?status={status}&limit={limit}"
        last = max(1, -(-found.total // limit))
        links = [f'<{same}&page=1>; rel="first"', f'<{same}&page={last}>; rel="last"']
        if cursor is None and page > 1:
            links.append(f'<{same}&page={min(page - 1, last)}>; rel="prev"')
        if found.cursor is not None:
            behind = f"page={page + 1}" if cursor is None else f"cursor={found.cursor}"
            links.append(f'<{same}&{behind}>; rel="next"')
        return json_response(encode(found), headers={**CACHING, "Link": ", ".join(links), **headers})

    async def search(self, request: Request) -> Response:
        """GET /orders."""
        query = read_search(request, self._settings.currency)
        headers = {**CACHING, **await self._consistency.reading(request, details.name)}
        found = await self._queries.ask(query)
        if found.cursor is not None:
            given = {name: value for name, value in request.query if name != "cursor"}
            parameters = urlencode({**given, "cursor": found.cursor})
            headers["Link"] = f'<{_root(request)}/orders?{parameters}>; rel="next"'
        return json_response(encode(found), headers=headers)

    async def get_dashboard(self, request: Request) -> Response:
        """GET /dashboard."""
        Parameters(request, ()).check()
        headers = {**CACHING, **await self._consistency.reading(request, sales.name)}
        return json_response(encode(await self._queries.ask(GetDashboard(self._settings.currency))), headers=headers)


def _root(request: Request) -> str:
    """The path under which the application is mounted; empty at the root."""
    return quote(request.root)
