"""The ASGI application of the order service: any server can run it, any application mount it."""

from __future__ import annotations

from importlib.metadata import version

from starlette.applications import Starlette

from orders.app import OrderService
from orders.bodies import Price
from orders.http import OrdersApi, explain
from orders.live import LiveOrders
from orders.operations import operations
from orders.settings import Settings
from twofold.http import openapi, pages, problems, projections
from twofold.http.serve import is_loopback

TITLE = "Orders"
DESCRIPTION = "An e-commerce order service: CQRS and event sourcing on Twofold."


def application(service: OrderService, settings: Settings, live: LiveOrders | None = None) -> Starlette:
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
    app = Starlette(
        routes=[*openapi.routes(served), *pages.health(service.store.check), *pages.documentation(description)],
        exception_handlers=problems.handlers(explain),
    )
    app.router.redirect_slashes = False  # a path is there or it is not: no redirect to where the Host header says
    return app
