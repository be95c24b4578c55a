"""The commands that look after views: built anew from the log and swapped in, checked, compared, removed.

They need the code of the views. What they do is imported when a command is run.
"""
# ruff: noqa: PLC0415 - a command imports what it needs when it is run, so that others need not wait for it

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from twofold.cli.applications import Program
from twofold.cli.projections import StoreOption
from twofold.cli.terminal import JsonFlag, confirm

ViewArgument = Annotated[str, typer.Argument(metavar="VIEW", help="The view.")]


def mount(app: typer.Typer, program: Program) -> None:
    """Add the commands to an application."""
    default: Any = ... if program.store is None else program.store  # Typer's sign for what must be given

    @app.command()
    def rebuild(
        *,
        views: Annotated[
            list[str] | None, typer.Argument(metavar="VIEW", show_default=False, help="The views; all if none.")
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with a build that broke off.")] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Make views anew from the log, while they are in use."""
        from twofold.cli.upkeep import rebuild_views

        asyncio.run(rebuild_views(program, store, views or (), resume=resume, json=json))

    @app.command()
    def build(
        *,
        view: ViewArgument,
        anew: Annotated[
            bool, typer.Option("--anew", help="From the beginning, where the code has changed since it broke off.")
        ] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Build a view beside the one in use.

        A build that broke off goes on where it was.
        """
        from twofold.cli.upkeep import build_view

        asyncio.run(build_view(program, store, view, anew=anew, json=json))

    @app.command()
    def compare(
        *,
        view: ViewArgument,
        version: Annotated[
            int | None,
            typer.Option(min=1, metavar="N", show_default=False, help="Compare with this version, not the one in use."),
        ] = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Compare the build of a view with the one in use. Exit code 1 if something differs."""
        from twofold.cli.upkeep import compare_views

        raise typer.Exit(0 if asyncio.run(compare_views(program, store, view, version=version, json=json)) else 1)

    @app.command()
    def promote(*, view: ViewArgument, store: StoreOption = default, json: JsonFlag = False) -> None:
        """Put the build of a view in the place of the one in use.

        What was in use is kept until it is dropped.
        """
        from twofold.cli.upkeep import promote_view

        asyncio.run(promote_view(program, store, view, json=json))

    @app.command()
    def drop(
        *,
        view: ViewArgument,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Remove what was in use before, and all older versions."""
        from twofold.cli.upkeep import drop_view

        if not yes:
            confirm(f"Remove the old tables of {view}, and all its older versions?")
        asyncio.run(drop_view(program, store, view, json=json))

    @app.command()
    def abandon(*, view: ViewArgument, store: StoreOption = default, json: JsonFlag = False) -> None:
        """Remove the build of a view; the one in use stays."""
        from twofold.cli.upkeep import abandon_view

        asyncio.run(abandon_view(program, store, view, json=json))

    @app.command()
    def verify(*, store: StoreOption = default, json: JsonFlag = False) -> None:
        """Fold the log afresh and compare the stored views with it.

        Exit code 1 if something differs.
        """
        from twofold.cli.upkeep import verify_views

        raise typer.Exit(0 if asyncio.run(verify_views(program, store, json=json)) else 1)
