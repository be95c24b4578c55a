"""The ASGI application of the order service: any server can run it, any application mount it."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from orders.app import MODEL, OrderService
from orders.bodies import Price
from orders.desk.pages import Desk
from orders.http import OrdersApi, explain
from orders.live import LiveOrders
from orders.operations import operations
from orders.operators import is_served, operators
from orders.settings import Settings
from twofold.console import declared, site
from twofold.console.api import ConsoleApi
from twofold.console.visits import Console
from twofold.http import openapi, pages, projections
from twofold.http.application import Application
from twofold.http.exchange import Asgi
from twofold.http.metrics import metrics_route
from twofold.http.serve import is_loopback
from twofold.http.tracing import traced
from twofold.inspecting.inspection import Inspection
from twofold.metrics import numbers

TITLE = "Orders"
DESCRIPTION = "An e-commerce order service: CQRS and event sourcing on Twofold."


def application(
    service: OrderService, settings: Settings, live: LiveOrders | None = None, console: Console | None = None
) -> Asgi:
    """The application over a service that is open already, and stays open as long as the application runs.

    Who has to end open streams gives the `live` part and the `console`, to close them.
    """
    live, console = live or LiveOrders(service), console or operators(service, settings)
    service.metrics.watch_streams(lambda: live.open + console.streams.open)
    operator = projections.ProjectionsApi(service.views, console.access)
    api = ConsoleApi(Inspection(service.store, MODEL, service.views), console.access, service.commands)
    served = [
        *operations(OrdersApi(service, settings), live),
        *projections.operations(operator),
        *declared.operations(api),
    ]

    def description() -> bytes:
        return openapi.document(TITLE, version("orders"), DESCRIPTION, served, {Price: Price.schema(settings.currency)})

    desk = not console.access.off if settings.desk is None else settings.desk
    documentation = pages.documentation(description, home=not desk)
    routes = [*openapi.routes(served), *pages.health(service.store.check), *documentation]
    if with_console := is_served(console, settings):
        routes += site.routes(console)
    if desk:
        routes += Desk(service, settings, live, console.access, console=with_console).routes()
    if is_loopback(settings.host) if settings.metrics is None else settings.metrics:
        routes.append(metrics_route(partial(numbers, service.metrics, service.views)))
    return traced(Application(routes, explain, service.metrics.requests))
