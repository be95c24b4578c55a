"""The commands `projections` and `parked`, for `twofold` and for any application.

What they do is imported when a command is run, so that those who only mount them do not wait for SQLAlchemy.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from twofold.cli.applications import Program
from twofold.cli.terminal import JsonFlag, confirm

if TYPE_CHECKING:
    from twofold.cli.subscriptions import Opening

DEFAULT = "list"

StoreOption = Annotated[
    str, typer.Option(envvar="TWOFOLD_STORE", metavar="URL", help="The store: sqlite:///path or postgresql://...")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The projection, as `projections` lists it.")]
PositionArgument = Annotated[int, typer.Argument(metavar="POSITION", min=1, help="The event's position in the log.")]
SequenceOption = Annotated[
    str | None, typer.Option(metavar="SEQUENCE", help="Only in this sequence.", show_default=False)
]


class _ListsByDefault(TyperGroup):
    """A group that lists where no command of it is named."""

    takes_name = False
    """Whether what is no command is a projection to list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See TyperGroup.parse_args. A shell that completes is to see the group's commands."""
        if ctx.resilient_parsing or (args and self._is_command(ctx, args[0])):
            return super().parse_args(ctx, args)
        return super().parse_args(ctx, [DEFAULT, *args])

    def _is_command(self, ctx: Any, word: str) -> bool:
        """Whether a word is for the group: a command of it, a call for help, or a command that is mistyped."""
        known = {*self.commands, *ctx.help_option_names}
        return word in known or not (self.takes_name or word.startswith("-"))


class _ListsOneByDefault(_ListsByDefault):
    """So that `parked NAME` stands beside `parked show NAME 7`."""

    takes_name = True


def mount(app: typer.Typer, program: Program) -> None:
    """Add the commands to an application. What folds refuses where the code of a projection is not known."""
    opening = program.opening
    default: Any = ... if program.store is None else program.store  # Typer's sign for what must be given
    projections = _group(_ListsByDefault, "How projections stand; pause them, let them go on.")
    parked = _group(_ListsOneByDefault, "Events that projections could not pass.")
    _add_looking(projections, parked, opening, default)
    _add_steering(projections, parked, opening, default)
    _add_folding(app, projections, parked, program, default)
    app.add_typer(projections, name="projections")
    app.add_typer(parked, name="parked")


def _group(kind: type[TyperGroup], purpose: str) -> typer.Typer:
    return typer.Typer(cls=kind, help=purpose, pretty_exceptions_enable=False)


def _add_looking(projections: typer.Typer, parked: typer.Typer, opening: Opening, default: Any) -> None:
    @projections.command(DEFAULT)
    def list_projections(
        *,
        watch: Annotated[bool, typer.Option("--watch", help="Refresh every second, with pace, until Ctrl-C.")] = False,
        check: Annotated[
            bool, typer.Option("--check", help="Exit code 1 if one stands still or has parked events.")
        ] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """List how all projections stand; `list` may be left out."""
        from twofold.cli.statuses import print_statuses

        healthy = asyncio.run(print_statuses(opening, store, watch=watch, json=json))
        raise typer.Exit(1 if check and not healthy else 0)

    @parked.command(DEFAULT)
    def list_parked(
        *,
        name: Annotated[
            str | None, typer.Argument(metavar="NAME", help="The projection; all if none.", show_default=False)
        ] = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """List what is parked, by sequence; `list` may be left out."""
        from twofold.cli.letters import list_letters

        asyncio.run(list_letters(opening, store, name, json=json))

    @parked.command()
    def show(
        *, name: NameArgument, position: PositionArgument, store: StoreOption = default, json: JsonFlag = False
    ) -> None:
        """Show a parked event, and why it is parked."""
        from twofold.cli.letters import show_letter

        asyncio.run(show_letter(opening, store, name, position, json=json))


def _add_steering(projections: typer.Typer, parked: typer.Typer, opening: Opening, default: Any) -> None:
    @projections.command()
    def pause(
        *,
        name: NameArgument,
        reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks at it later.")],
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Let nobody go on with a projection until it is resumed."""
        from twofold.cli import subscriptions

        asyncio.run(subscriptions.pause(opening, store, name, reason, json=json))

    @projections.command()
    def resume(*, name: NameArgument, store: StoreOption = default, json: JsonFlag = False) -> None:
        """Go on with a projection that was paused, or that failed."""
        from twofold.cli import subscriptions

        asyncio.run(subscriptions.resume(opening, store, name, json=json))

    @parked.command()
    def skip(
        *,
        name: NameArgument,
        position: PositionArgument,
        reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks at it later.")],
        sequence: SequenceOption = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Leave the first event of a parked sequence out.

        Those behind it are tried soon.
        """
        from twofold.cli.draining import skip_letter

        asyncio.run(skip_letter(opening, store, name, position, sequence=sequence, reason=reason, json=json))

    @parked.command("undo-skip")
    def undo(
        *,
        name: NameArgument,
        position: PositionArgument,
        sequence: SequenceOption = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Take a skipped event back into its sequence.

        It is refused where later events of the sequence were folded since.
        """
        from twofold.cli.draining import undo_skip

        asyncio.run(undo_skip(opening, store, name, position, sequence=sequence, json=json))


def _add_folding(
    app: typer.Typer, projections: typer.Typer, parked: typer.Typer, program: Program, default: Any
) -> None:
    @projections.command()
    def reset(
        *,
        name: NameArgument,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Empty a projection and fold the log again.

        What is parked is forgotten, queries see it grow, and it is resumed if it was paused.
        """
        from twofold.cli import subscriptions

        program.known_model("a projection is folded by its code")
        question = f"Empty {name} and fold the whole log again? Queries find it unfinished meanwhile"
        if not yes:
            confirm(question)
        asyncio.run(subscriptions.reset(program.opening, store, name, json=json))

    @app.command()
    @parked.command()
    def retry(
        *,
        name: NameArgument,
        sequence: SequenceOption = None,
        position: Annotated[
            int | None, typer.Option(min=1, metavar="P", help="Only the sequences of this event.", show_default=False)
        ] = None,
        store: StoreOption = default,
        json: JsonFlag = False,
    ) -> None:
        """Fold what is parked, with this code.

        Each sequence is folded in its order. Exit code 1 if something is left.
        """
        from twofold.cli.draining import retry_letters

        program.known_model("what is parked is folded by its code")
        drained = retry_letters(program.opening, store, name, sequence=sequence, position=position, json=json)
        raise typer.Exit(0 if asyncio.run(drained) else 1)
