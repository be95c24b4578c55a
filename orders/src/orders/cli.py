"""The service at a terminal: serve it, fill it, look into it, look after it.

Each command imports what it needs when it is run, so that `orders serve` and `--help` do not wait for the rest.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from orders.settings import GARBAGE, Lifecycle, LogFormat, SettingRefused, Settings
from twofold.cli import mount
from twofold.cli.addresses import free_address
from twofold.cli.applications import Program
from twofold.cli.projections import StoreOption
from twofold.cli.terminal import AfterOption, FollowFlag, JsonFlag, LimitOption, application, run

if TYPE_CHECKING:
    from twofold.model import Model
    from twofold.views import Views

DEFAULTS = Settings()

app = application("The order service.")

CurrencyOption = Annotated[
    str, typer.Option(envvar="TWOFOLD_CURRENCY", metavar="CODE", help="The currency of all prices (ISO 4217).")
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orders {version('orders')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def serve(
    *,
    host: Annotated[
        str, typer.Option(envvar="TWOFOLD_HOST", metavar="ADDRESS", help="The address to listen on.")
    ] = DEFAULTS.host,
    port: Annotated[
        int, typer.Option(envvar="TWOFOLD_PORT", metavar="NUMBER", help="The port to listen on.")
    ] = DEFAULTS.port,
    store: Annotated[
        str,
        typer.Option(
            envvar="TWOFOLD_STORE", metavar="URL", help="The store: sqlite:///path, postgresql://... or memory:."
        ),
    ] = DEFAULTS.store,
    views: Annotated[
        Lifecycle | None,
        typer.Option(
            envvar="TWOFOLD_VIEWS",
            show_default="subscribed on PostgreSQL, else inline",
            help="How views are kept: in each append, or by subscriptions.",
        ),
    ] = DEFAULTS.views,
    currency: CurrencyOption = DEFAULTS.currency,
    max_body: Annotated[
        int, typer.Option(envvar="TWOFOLD_MAX_BODY", metavar="BYTES", help="The largest body of a request.")
    ] = DEFAULTS.max_body,
    command_seconds: Annotated[
        float, typer.Option(envvar="TWOFOLD_COMMAND_SECONDS", metavar="SECONDS", help="How long a command may take.")
    ] = DEFAULTS.command_seconds,
    lease_seconds: Annotated[
        float,
        typer.Option(
            envvar="TWOFOLD_LEASE_SECONDS",
            metavar="SECONDS",
            help="When another process goes on with the views of one that has died.",
        ),
    ] = DEFAULTS.lease_seconds,
    view_seconds: Annotated[
        float,
        typer.Option(
            envvar="TWOFOLD_VIEW_SECONDS", metavar="SECONDS", help="How long an answer may wait for the views."
        ),
    ] = DEFAULTS.view_seconds,
    desk: Annotated[
        bool | None,
        typer.Option(
            "--desk/--no-desk",
            envvar="TWOFOLD_DESK",
            show_default="on loopback, or where there are logins",
            help="Serve the order desk at /; asked for without logins, to everybody.",
        ),
    ] = DEFAULTS.desk,
    processes: Annotated[
        int, typer.Option(envvar="TWOFOLD_PROCESSES", metavar="NUMBER", help="How many processes serve the port.")
    ] = DEFAULTS.processes,
    metrics: Annotated[
        bool | None,
        typer.Option(
            "--metrics/--no-metrics",
            envvar="TWOFOLD_METRICS",
            show_default="only on loopback",
            help="Whether to serve /metrics, to whoever reaches the port.",
        ),
    ] = DEFAULTS.metrics,
    log: Annotated[
        LogFormat,
        typer.Option(envvar="TWOFOLD_LOG", help="How to write the logs: for people, or as JSON for programs."),
    ] = DEFAULTS.log,
    stop_seconds: Annotated[
        int,
        typer.Option(
            envvar="TWOFOLD_STOP_SECONDS",
            metavar="SECONDS",
            help="How long a stop waits for the requests that were accepted.",
        ),
    ] = DEFAULTS.stop_seconds,
    console: Annotated[
        bool | None,
        typer.Option(
            "--console/--no-console",
            envvar="TWOFOLD_CONSOLE",
            show_default="on loopback, or with logins",
            help="Serve the operators' console at /console.",
        ),
    ] = DEFAULTS.console,
    console_logins: Annotated[
        str,
        typer.Option(envvar="TWOFOLD_CONSOLE_LOGINS", metavar="FILE", help="Who may log in, and what each may do."),
    ] = DEFAULTS.console_logins,
) -> None:
    """Serve the orders by HTTP until SIGTERM or Ctrl-C.

    Either finishes what was accepted.
    """
    settings = Settings.load(
        host=host,
        port=port,
        store=store,
        views=views,
        currency=currency,
        max_body=max_body,
        command_seconds=command_seconds,
        lease_seconds=lease_seconds,
        view_seconds=view_seconds,
        desk=desk,
        processes=processes,
        metrics=metrics,
        log=log,
        stop_seconds=stop_seconds,
        console=console,
        console_logins=console_logins or None,
    )
    _check_logins(settings)
    address = free_address(settings.host, settings.port)  # asked before the store is opened: a refusal makes no file
    gc.set_threshold(GARBAGE)  # before the imports: what they make lives to the end
    from orders.serve import serve as run_service

    raise typer.Exit(run_service(msgspec.structs.replace(settings, host=address)))


def _check_logins(settings: Settings) -> None:
    """Raises SettingRefused for a file of logins that cannot be used, before a store is opened or made."""
    if settings.console_logins:
        from twofold.console.logins import LoginsRefused, read_logins

        try:
            read_logins(settings.console_logins)
        except LoginsRefused as error:
            raise SettingRefused(str(error)) from error


@app.command("import")
def import_(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of JSON lines; - is standard input.")],
    to: Annotated[
        str, typer.Option(metavar="URL", help="A running service (http://...) or a store (sqlite:///path).")
    ] = f"http://{DEFAULTS.host}:{DEFAULTS.port}",
    currency: CurrencyOption = DEFAULTS.currency,
    in_flight: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="How many orders are under way at once.")
    ] = 32,
    batch: Annotated[
        str, typer.Option(metavar="NAME", help="Under a new name, orders that were imported before are imported anew.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Import orders from a file, each exactly once.

    An import that broke off is finished by running it again.

    A line is a JSON object: "order" is the body of POST /orders; what "ships" goes on to delivered.

    The currency matters only to a store: a service has its own.

    Exit code 1 if something was refused.
    """
    from orders.import_file import import_file

    currency = Settings(currency=currency).currency
    done = import_file(file, to, currency=currency, in_flight=in_flight, batch=batch, json=json)
    raise typer.Exit(0 if done else 1)


@app.command()
def show(
    *,
    order_id: Annotated[str, typer.Argument(metavar="ID", help="The order's id, or its stream.")],
    version: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The order as it was at this version.")
    ] = None,
    store: StoreOption = DEFAULTS.store,
    json: JsonFlag = False,
) -> None:
    """Show an order and its history."""
    from orders.domain import orders
    from orders.showing import show_order

    asyncio.run(show_order(store, orders.id_in(order_id), version=version, json=json))


@app.command()
def events(
    *,
    order_id: Annotated[
        str | None, typer.Argument(metavar="ID", show_default=False, help="Only the events of this order.")
    ] = None,
    after: AfterOption = 0,
    limit: LimitOption = None,
    follow: FollowFlag = False,
    store: StoreOption = DEFAULTS.store,
    json: JsonFlag = False,
) -> None:
    """List the events of the log, or of one order."""
    from orders.domain import orders
    from twofold.cli.listing import list_events

    stream = None if order_id is None else orders.stream(order_id)
    asyncio.run(list_events(store, stream=stream, after=after, limit=limit, follow=follow, json=json))


def _opening(url: str) -> AbstractAsyncContextManager[Views]:
    from orders.app import open_views

    return open_views(url)


def _model() -> Model:
    from orders.app import MODEL

    return MODEL


mount(app, Program("orders", _opening, _model, DEFAULTS.store), without=("events", "show"))


def main() -> None:
    """Run the command that the arguments say."""
    run(app, misused=(SettingRefused,))
