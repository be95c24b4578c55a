"""The pages of the order desk: each handler reads a request, asks or sends one message, and renders what came of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from urllib.parse import urlencode

import msgspec
from uuid_utils.compat import uuid7

from orders import requests, validation
from orders.app import OrderService
from orders.cursors import Sort
from orders.desk import plots
from orders.desk.form import ADDRESS_LINES, Draft
from orders.desk.history import ACTIONS, Shown, shown
from orders.desk.texts import FILTERS, segment
from orders.details import OrderView, details
from orders.domain import CreateOrder, OrderNotFound, Status, TransitionForbidden, UpdateOrderStatus
from orders.http import explain
from orders.live import LiveOrders
from orders.queries import GetDashboard
from orders.searching import PARAMETERS, read_search
from orders.settings import Settings
from twofold import Conflict, Fault, Idempotency, Metadata, Receipt, ValidationFailed
from twofold.console.access import Access, Visitor
from twofold.console.logins import Role
from twofold.errors import IdempotencyKeyReused
from twofold.http.application import Handler, Route
from twofold.http.consistency import Consistency
from twofold.http.exchange import Request, Response
from twofold.http.html import Site, address_of
from twofold.http.problems import Problem
from twofold.http.requests import Parameters, fingerprint
from twofold.http.streams import wants_stream

_KEY = re.compile(r"[0-9a-f-]{36}")
_VERSION = re.compile(r"[0-9]{1,9}")

LOGIN = "/console/login"
DeskHandler = Callable[[Request, Visitor | None], Awaitable[Response]]
"""What answers a request, and who is known to have sent it: nobody where there are no logins."""


class Desk:
    """The handlers, over a running service."""

    def __init__(
        self, service: OrderService, settings: Settings, live: LiveOrders, access: Access, *, console: bool
    ) -> None:
        """Where there are logins, they are asked for. Where there are none and the desk was asked for, nobody is.

        `console`: the pages lead to the console, which is served too.
        """
        self._access = access
        self._console = console
        self._everybody = access.off or (access.open and settings.desk is True)
        self._service = service
        self._settings = settings
        self._live = live
        self._consistency = Consistency(service.views, service.watermarks, settings.view_seconds)
        self._site = Site("orders.desk", filters=FILTERS, explain=explain)

    def routes(self) -> list[Route]:
        """The routes of the desk: who looks must be let to see payloads, who acts to operate."""
        pages: Sequence[tuple[str, str, Role, DeskHandler]] = [
            ("GET", "/", Role.PAYLOADS, self.orders),
            ("GET", "/desk/dashboard", Role.PAYLOADS, self.dashboard),
            ("GET", "/desk/changes", Role.PAYLOADS, self.changes),
            ("GET", "/desk/orders/{orderId}", Role.PAYLOADS, self.order),
            ("POST", "/desk/orders/{orderId}", Role.OPERATE, self.change_order),
            ("GET", "/desk/new", Role.OPERATE, self.new_order),
            ("POST", "/desk/new", Role.OPERATE, self.create_order),
        ]
        routes = [Route(method, path, self._guarded(role, handler)) for method, path, role, handler in pages]
        return [*routes, self._site.files()]

    def _guarded(self, role: Role, handler: DeskHandler) -> Handler:
        """The handler, for who may; who is not logged in is led to where that is done."""

        async def handle(request: Request) -> Response:
            try:
                visitor = None if self._everybody else await self._access.permit(request, role)
            except Problem as problem:
                if problem.status == 401 and request.method == "GET" and not wants_stream(request):
                    return self._site.redirect(request, f"{LOGIN}?{urlencode({'next': address_of(request)})}")
                raise
            return await handler(request, None if self._access.open else visitor)

        return self._site.page(handle)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def orders(self, request: Request, visitor: Visitor | None) -> Response:
        """GET /: the orders that are searched for, newest first unless said otherwise."""
        position = await self._service.store.head()
        given = dict.fromkeys(PARAMETERS, "") | {name: value for name, value in request.query if name in PARAMETERS}
        faults: Sequence[Fault] = ()
        found: Sequence[OrderView] = ()
        cursor = None
        try:
            answer = await self._service.queries.ask(read_search(request, self._settings.currency))
            found, cursor = [details.decode(bytes(body)) for body in answer.orders], answer.cursor
        except ValidationFailed as refused:
            faults = refused.faults
        sums = await self._service.queries.ask(GetDashboard(self._settings.currency))
        return self._render(
            request,
            visitor,
            "orders.html",
            400 if faults else 200,
            given=given,
            faults={fault.path: fault.message for fault in faults},
            orders=found,
            following=_path({**given, "cursor": cursor}) if cursor is not None else None,
            beginning=_path({**given, "cursor": ""}),
            statuses=[(None, sums.total_orders), *((one.status, one.orders) for one in sums.by_status)],
            of_status={status: _path({**given, "status": status or "", "cursor": ""}) for status in (None, *Status)},
            sorts=list(Sort),
            currency=self._settings.currency,
            position=position,
        )

    async def order(self, request: Request, visitor: Visitor | None) -> Response:
        """GET /desk/orders/{orderId}."""
        parameters = Parameters(request, ("done",))
        parameters.check()
        found = await self._shown(request)
        done = parameters.text("done") is not None
        return self._order_page(
            request, visitor, found, notice=f"The order is {found.order.status} now." if done else None
        )

    async def changes(self, request: Request, _visitor: Visitor | None) -> Response:
        """GET /desk/changes: a word whenever orders have changed."""
        return await self._live.stream_any(request)

    async def dashboard(self, request: Request, visitor: Visitor | None) -> Response:
        """GET /desk/dashboard."""
        Parameters(request, ()).check()
        position = await self._service.store.head()
        sums = await self._service.queries.ask(GetDashboard(self._settings.currency))
        return self._render(
            request,
            visitor,
            "dashboard.html",
            sums=sums,
            orders=plots.orders(sums.by_day),
            revenue=plots.revenue(sums.by_day),
            order_shares=plots.shares([Decimal(one.orders) for one in sums.by_status]),
            revenue_shares=plots.shares([one.revenue for one in sums.by_status]),
            position=position,
        )

    # --- acting -------------------------------------------------------------------------------------------------------

    async def change_order(self, request: Request, visitor: Visitor | None) -> Response:
        """POST /desk/orders/{orderId}: bring it on, from the version that the page showed and from no other."""
        form = await self._site.read_form(request)
        order_id: str = request.path_params["orderId"]
        key, version, reason = form.text("key"), form.text("version"), form.text("reason")
        if not _KEY.fullmatch(key) or not _VERSION.fullmatch(version):
            raise Problem(400, "malformed", "The form is not one that this page gave you")
        body = {"status": form.text("status"), "reason": reason}
        try:
            command = requests.update_status(order_id, body, if_version=int(version))
            receipt = await self._execute(request, visitor, command, key)
        except ValidationFailed as refused:
            faults = {fault.path: fault.message for fault in refused.faults}
            return self._order_page(request, visitor, await self._shown(request), 400, faults=faults, reason=reason)
        except (Conflict, TransitionForbidden, IdempotencyKeyReused):
            found = await self._shown(request)
            notice = f"The order has changed since you saw it: it is {found.order.status} now. Yours was not done."
            return self._order_page(request, visitor, found, 409, overtaken=notice, reason=reason)
        await self._consistency.written(request, receipt.position)
        return self._site.redirect(request, f"/desk/orders/{segment(order_id)}?done=1")

    async def new_order(self, request: Request, visitor: Visitor | None) -> Response:
        """GET /desk/new."""
        Parameters(request, ()).check()
        return self._new_page(request, visitor, Draft(str(uuid7())))

    async def create_order(self, request: Request, visitor: Visitor | None) -> Response:
        """POST /desk/new: a row more, a row less, or the order."""
        form = await self._site.read_form(request)
        draft, wish = Draft.of(form), form.text("do")
        if not _KEY.fullmatch(draft.order_id):
            raise Problem(400, "malformed", "The form is not one that this page gave you")
        if wish == "add":
            return self._new_page(request, visitor, draft.with_row(), focus=len(draft.rows))
        if removed := re.fullmatch(r"remove-([0-9]{1,4})", wish):
            return self._new_page(request, visitor, draft.without_row(int(removed[1])))
        try:
            command = requests.create_order(draft.order_id, draft.body(), self._settings.currency)
            receipt = await self._execute(request, visitor, command, draft.order_id)
        except ValidationFailed as refused:
            return self._new_page(request, visitor, draft, 400, faults=draft.placed(refused.faults))
        except IdempotencyKeyReused:
            made, draft = draft.order_id, msgspec.structs.replace(draft, order_id=str(uuid7()))
            return self._new_page(request, visitor, draft, 409, made=made)
        await self._consistency.written(request, receipt.position)
        return self._site.redirect(request, f"/desk/orders/{draft.order_id}")

    async def _execute(
        self, request: Request, visitor: Visitor | None, command: CreateOrder | UpdateOrderStatus, key: str
    ) -> Receipt:
        """Send a command once, however often its form is sent."""
        sent = fingerprint(request.method, request.path, msgspec.json.encode(command))
        metadata = Metadata.new(actor=visitor and visitor.name, idempotency=Idempotency(f"desk-{key}", sent))
        return await self._service.commands.execute(command, metadata)

    # --- what several handlers need -----------------------------------------------------------------------------------

    def _render(
        self, request: Request, visitor: Visitor | None, template: str, status: int = 200, /, **values: object
    ) -> Response:
        return self._site.render(request, template, status, visitor=visitor, console=self._console, **values)

    async def _shown(self, request: Request) -> Shown:
        """The order that a path names, read from its stream: never behind. Raises OrderNotFound."""
        order_id: str = request.path_params["orderId"]
        found = None if validation.order(order_id) else await shown(self._service.store, order_id)
        if found is None:
            raise OrderNotFound(order_id)
        return found

    def _order_page(
        self,
        request: Request,
        visitor: Visitor | None,
        found: Shown,
        status: int = 200,
        *,
        notice: str | None = None,
        overtaken: str | None = None,
        faults: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> Response:
        return self._render(
            request,
            visitor,
            "order.html",
            status,
            order=found.order,
            timeline=found.timeline,
            actions=ACTIONS[found.order.status],
            lines=ADDRESS_LINES,
            notice=notice,
            overtaken=overtaken,
            faults=faults or {},
            reason=reason,
            key=str(uuid7()),
        )

    def _new_page(
        self,
        request: Request,
        visitor: Visitor | None,
        draft: Draft,
        status: int = 200,
        *,
        faults: Mapping[str, str] | None = None,
        made: str | None = None,
        focus: int | None = None,
    ) -> Response:
        return self._render(
            request,
            visitor,
            "new.html",
            status,
            draft=draft,
            lines=ADDRESS_LINES,
            faults=faults or {},
            made=made,
            focus=focus,
            most_rows=validation.MAX_ITEMS,
            currency=self._settings.currency,
        )


def _path(parameters: Mapping[str, str]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"/?{urlencode(given)}" if given else "/"
