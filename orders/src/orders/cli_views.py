"""The commands that look after views: built anew from the log and swapped in, checked, compared, removed."""
# ruff: noqa: PLC0415 - a command imports what it needs when it is run, so that others need not wait for it

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from orders.settings import Settings
from twofold.cli.projections import StoreOption
from twofold.cli.terminal import JsonFlag

_STORE = Settings().store

ViewArgument = Annotated[str, typer.Argument(metavar="VIEW", help="The view.")]


def mount_views(app: typer.Typer) -> None:
    """Add the commands to the application."""

    @app.command()
    def rebuild(
        *,
        views: Annotated[
            list[str] | None, typer.Argument(metavar="VIEW", show_default=False, help="The views; all if none.")
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with a build that broke off.")] = False,
        store: StoreOption = _STORE,
        json: JsonFlag = False,
    ) -> None:
        """Make views anew from the log, while they go on being read and written."""
        from orders.upkeep import rebuild_views

        asyncio.run(rebuild_views(store, views or (), resume=resume, json=json))

    @app.command()
    def build(
        *,
        view: ViewArgument,
        anew: Annotated[
            bool, typer.Option("--anew", help="From the beginning, where the code has changed since it broke off.")
        ] = False,
        store: StoreOption = _STORE,
        json: JsonFlag = False,
    ) -> None:
        """Build a view beside the one in use, or go on with a build that broke off."""
        from orders.upkeep import build_view

        asyncio.run(build_view(store, view, anew=anew, json=json))

    @app.command()
    def compare(
        *,
        view: ViewArgument,
        version: Annotated[
            int | None,
            typer.Option(min=1, metavar="N", show_default=False, help="Compare with this version, not the one in use."),
        ] = None,
        store: StoreOption = _STORE,
        json: JsonFlag = False,
    ) -> None:
        """Compare the build of a view with the one in use. Exit code 1 if something differs."""
        from orders.upkeep import compare_views

        raise typer.Exit(0 if asyncio.run(compare_views(store, view, version=version, json=json)) else 1)

    @app.command()
    def promote(*, view: ViewArgument, store: StoreOption = _STORE, json: JsonFlag = False) -> None:
        """Put the build of a view in the place of the one in use, which is kept until it is dropped."""
        from orders.upkeep import promote_view

        asyncio.run(promote_view(store, view, json=json))

    @app.command()
    def drop(
        *,
        view: ViewArgument,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        store: StoreOption = _STORE,
        json: JsonFlag = False,
    ) -> None:
        """Remove what was in use before the last promotion, and all older versions."""
        from orders.upkeep import drop_view

        if not yes:
            typer.confirm(f"Remove the old tables of {view}, and all its older versions", abort=True, err=True)
        asyncio.run(drop_view(store, view, json=json))

    @app.command()
    def abandon(*, view: ViewArgument, store: StoreOption = _STORE, json: JsonFlag = False) -> None:
        """Remove the build of a view; the one in use stays."""
        from orders.upkeep import abandon_view

        asyncio.run(abandon_view(store, view, json=json))

    @app.command()
    def verify(*, store: StoreOption = _STORE, json: JsonFlag = False) -> None:
        """Fold the log afresh and compare with the stored views. Exit code 1 if something differs."""
        from orders.upkeep import verify_views

        raise typer.Exit(0 if asyncio.run(verify_views(store, json=json)) else 1)
