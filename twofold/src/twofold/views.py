"""Views kept as rows of ordinary SQL tables, changed in the transactions of a store.

Two kinds of projection can be kept: a `Projection`, one row a key, by `TableView`; and one that needs free SQL, a
`SqlProjection`, by `SqlView`. `Views` is what an application has of them on one store.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement

from twofold.errors import ProjectionUnknown
from twofold.events import Recorded
from twofold.projection import Source
from twofold.sql import Fold, Row, Work
from twofold.store import Progress, ViewStore
from twofold.table_view import TableView
from twofold.tables import Generation, words_table

E = TypeVar("E")

PAGE = 1000  # events folded in one transaction while a view catches up

__all__ = [
    "PAGE",
    "SqlProjection",
    "SqlView",
    "Step",
    "TableView",
    "View",
    "Views",
    "identity",
    "remade",
    "table_names",
]


class Step(NamedTuple):
    """A statement of a SqlProjection, run once for each row of parameters; its rows are sent back if it has one."""

    statement: ClauseElement
    rows: Sequence[Mapping[str, object]] = ({},)


class SqlProjection(Generic[E]):
    """A fold that writes what SQL it likes into tables of its own, in the transaction that it is given.

    `apply` yields steps and is sent the rows of each. The tables stand in the schema `twofold.tables.SCHEMA`; for each
    there is a primary key that does not depend on when it was built, so that it can be compared with a fresh fold.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tables: ClassVar[Sequence[sa.Table]]

    def apply(self, events: Sequence[Recorded[E]], /) -> Generator[Step, list[Row], None]:
        """Bring the tables from before these events to after them."""
        raise NotImplementedError


class View(Protocol):
    """A projection that is kept in tables."""

    @property
    def name(self) -> str:
        """The projection's name."""
        ...

    @property
    def version(self) -> int:
        """The projection's version. Another version is another view, with tables of its own."""
        ...

    @property
    def tables(self) -> Sequence[sa.Table]:
        """Its tables."""
        ...

    @property
    def searched(self) -> Sequence[sa.Table]:
        """Those of its tables that have a full-text index beside them."""
        ...

    def fold(self, generation: Generation) -> Fold:
        """The fold that keeps one generation of the tables."""
        ...


def identity(view: View) -> str:
    """Under what name the store keeps the view's checkpoint."""
    return f"{view.name}_v{view.version}"


def table_names(view: View) -> list[str]:
    """The names of all the view's tables, full-text indexes included."""
    return [*(table.name for table in view.tables), *(words_table(table) for table in view.searched)]


class SqlView(Generic[E]):
    """A `SqlProjection` over its source."""

    def __init__(self, projection: SqlProjection[E], source: Source[E]) -> None:
        self.projection = projection
        self.source = source
        self.name = projection.name
        self.version = projection.version
        self.tables = projection.tables
        self.searched: Sequence[sa.Table] = ()

    def fold(self, generation: Generation) -> Fold:
        """See View.fold."""

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            decoded = list(self.source.decode(events))
            if not decoded:
                return
            steps = self.projection.apply(decoded)
            rows: list[Row] = []
            try:
                step = next(steps)
                while True:
                    statement = generation.statement(step.statement)
                    rows = yield (statement.fetch(**step.rows[0]) if len(step.rows) == 1 else statement.run(step.rows))
                    step = steps.send(rows)
            except StopIteration:
                return

        return fold


class Views:
    """The views that an application keeps on one store, and the way to query them.

    They are kept inline: each append changes them in its own transaction, so a read straight after a write sees it.
    """

    def __init__(self, store: ViewStore, views: Iterable[View]) -> None:
        self.store = store
        known = tuple(views)
        self.all: Mapping[str, View] = {view.name: view for view in known}
        suffixes = {name: f"_v{view.version}" for view in known for name in table_names(view)}
        if len(self.all) < len(known) or len(suffixes) < sum(len(table_names(view)) for view in known):
            raise ValueError("two views share a name, or the name of a table")
        self.current = Generation(store.dialect, suffixes)

    def view(self, name: str) -> View:
        """The view of this name. Raises ProjectionUnknown."""
        if name not in self.all:
            raise ProjectionUnknown(name, tuple(self.all))
        return self.all[name]

    async def start(self, on_progress: Callable[[View, Progress], None] = lambda _view, _progress: None) -> None:
        """Make tables that are missing, fold what the views have missed, and keep them inline from now on."""
        for view in self.all.values():
            fold = view.fold(self.current)
            if await self.store.checkpoint(identity(view)) is None:
                await self.store.reset(identity(view), partial(remade, self.current, view), only_new=True)
            await self.catch_up(identity(view), fold, partial(on_progress, view))
            self.store.attach(identity(view), fold)

    async def catch_up(self, name: str, fold: Fold, on_progress: Callable[[Progress], None]) -> None:
        """Fold page by page until the head of the log is reached."""
        while True:
            progress = await self.store.advance(name, fold, limit=PAGE)
            on_progress(progress)
            if progress.position >= progress.head:
                return

    async def rows(self, clause: ClauseElement, **parameters: object) -> list[Row]:
        """The rows of a statement that an index answers at once. It is compiled once: use one that is made once."""
        return await self.store.rows(self.current.statement(clause).fetch(**parameters))

    async def scan(self, clause: ClauseElement) -> list[Row]:
        """The rows of a statement put together for this query, which may take long; it runs beside the event loop."""
        return await self.store.scan(self.current.compile(clause).fetch())


def remade(generation: Generation, view: View) -> Work[None]:
    """The work that leaves this generation of the view's tables empty."""
    yield from generation.drop(table_names(view))
    yield from generation.create(view.tables, view.searched)
