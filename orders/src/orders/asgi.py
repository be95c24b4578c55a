"""The ASGI application of the order service: any server can run it, any application mount it."""

from __future__ import annotations

from importlib.metadata import version

from orders.app import OrderService
from orders.bodies import Price
from orders.http import OrdersApi, explain
from orders.live import LiveOrders
from orders.operations import operations
from orders.settings import Settings
from twofold.http import openapi, pages, projections
from twofold.http.application import Application
from twofold.http.serve import is_loopback

TITLE = "Orders"
DESCRIPTION = "An e-commerce order service: CQRS and event sourcing on Twofold."


def application(service: OrderService, settings: Settings, live: LiveOrders | None = None) -> Application:
    """The application over a service that is open already, and stays open as long as the application runs.

    Who has to end open streams gives the `live` part, to close it.
    """
    operator = projections.ProjectionsApi(service.views, changes=is_loopback(settings.host))
    served = [
        *operations(OrdersApi(service, settings), live or LiveOrders(service)),
        *projections.operations(operator),
    ]
    description = openapi.document(
        TITLE, version("orders"), DESCRIPTION, served, {Price: Price.schema(settings.currency)}
    )
    routes = [*openapi.routes(served), *pages.health(service.store.check), *pages.documentation(description)]
    return Application(routes, explain)
