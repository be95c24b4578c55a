"""Views kept as rows of ordinary SQL tables, changed in the transactions of a store.

Two kinds of projection can be kept: a `Projection`, one row a key, by `TableView`; and one that needs free SQL, a
`SqlProjection`, by `SqlView`. `Views` is what an application has of them on one store, each in one of two lifecycles:
inline, in the transaction of every append, or subscribed, by a subscription that follows the log.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Generic, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import ClauseElement

from twofold.claims import Claims
from twofold.errors import LifecycleRefused, ProjectionFailed, ProjectionUnknown
from twofold.events import Recorded
from twofold.parked import Parked
from twofold.projection import Source
from twofold.sequences import ASTRAY, PAST_THE_END, Failures, Part, Subscriber
from twofold.sql import Fold, Row, Work
from twofold.store import Progress, Store
from twofold.table_view import TableView
from twofold.tables import Generation, words_table

E = TypeVar("E")

BUILD = "_new"  # ends the name of a subscription that builds a view anew beside the one in use
PAGE = 1000  # events folded in one transaction while a view catches up

__all__ = [
    "BUILD",
    "PAGE",
    "SqlProjection",
    "SqlView",
    "Step",
    "TableView",
    "View",
    "ViewSubscriber",
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
    A subscription calls `apply` with events of several sequences, in order, but without those that are parked.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tables: ClassVar[Sequence[sa.Table]]

    def sequence(self, recorded: Recorded[E], /) -> str:
        """What must stay in order, and is parked together where it fails: the stream, unless you say otherwise."""
        return recorded.stream

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

    def parts(self, stored: Recorded[bytes], /) -> Sequence[Part]:
        """See Subscriber.parts."""
        ...

    def fold_parts(self, generation: Generation, parts: Sequence[Part], failures: Failures) -> Work[None]:
        """Fold parts of events into one generation of the tables; see Subscriber.fold."""
        ...


class ViewSubscriber:
    """A view as a subscription drives it: one generation of its tables, under a name of its own."""

    def __init__(self, name: str, view: View, generation: Generation) -> None:
        self.name = name
        self.parts = view.parts
        self._view = view
        self._generation = generation

    def fold(self, parts: Sequence[Part], failures: Failures, /) -> Work[None]:
        """See Subscriber.fold."""
        return self._view.fold_parts(self._generation, parts, failures)


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
            yield from self._apply(generation, list(self.source.decode(events)))

        return fold

    def parts(self, stored: Recorded[bytes], /) -> Sequence[Part]:
        """See Subscriber.parts."""
        return [Part(self.projection.sequence(event), event) for event in self.source.decode((stored,))]

    def fold_parts(self, generation: Generation, parts: Sequence[Part], failures: Failures) -> Work[None]:
        """See Subscriber.fold. What `apply` raises cannot be laid to one sequence: it is found by halves."""
        yield from self._apply(generation, [part.event for part in parts])

    def _apply(self, generation: Generation, events: Sequence[Recorded[E]]) -> Work[None]:
        if not events:
            return
        steps = self.projection.apply(events)
        rows: list[Row] = []
        try:
            step = next(steps)
            while True:
                statement = generation.statement(step.statement)
                rows = yield (statement.fetch(**step.rows[0]) if len(step.rows) == 1 else statement.run(step.rows))
                step = steps.send(rows)
        except StopIteration:
            return


class Views:
    """The views that an application keeps on one store, and the way to query them.

    Inline views change in the transaction of each append, so a read straight after a write sees it. Subscribed ones
    are kept by `running`; they let appends go on while they fold, and `Watermarks` waits for them.
    """

    def __init__(
        self, store: Store, inline: Iterable[View] = (), *, subscribed: Iterable[View] = (), partitions: int = 1
    ) -> None:
        """`partitions` is in how many parts each subscribed table view runs, if it is new in the store."""
        self.store = store
        self.inline = tuple(inline)
        self.subscribed = tuple(subscribed)
        self.partitions = partitions
        known = (*self.inline, *self.subscribed)
        self.all: Mapping[str, View] = {view.name: view for view in known}
        suffixes = {name: f"_v{view.version}" for view in known for name in table_names(view)}
        if len(self.all) < len(known) or len(suffixes) < sum(len(table_names(view)) for view in known):
            raise ValueError("two views share a name, or the name of a table")
        self.current = Generation(store.dialect, suffixes)
        self._claims = Claims(store.dialect)
        self._parked = Parked(store)

    @classmethod
    async def found(cls, store: Store, views: Iterable[View], *, partitions: int = 1) -> Views:
        """The views in the lifecycles in which the store keeps them now. A new one is like others there, or inline."""
        known = {row[0] for row in await store.rows(Claims(store.dialect).names())}
        inline: list[View] = []
        subscribed: list[View] = []
        for view in views:
            new = await store.checkpoint(identity(view)) is None
            (subscribed if identity(view) in known or (new and known) else inline).append(view)
        return cls(store, inline, subscribed=subscribed, partitions=partitions)

    def view(self, name: str) -> View:
        """The view of this name. Raises ProjectionUnknown."""
        if name not in self.all:
            raise ProjectionUnknown(name, tuple(self.all))
        return self.all[name]

    def subscriber(self, view: View) -> Subscriber:
        """The view, as a subscription drives it."""
        return ViewSubscriber(identity(view), view, self.current)

    async def start(self, on_progress: Callable[[View, Progress], None] = lambda _view, _progress: None) -> None:
        """Make tables that are missing; fold what inline views have missed, and keep them inline from now on.

        A view that had the other lifecycle so far goes on where it stands. Raises LifecycleRefused where it cannot, and
        ProjectionFailed for an inline view that is ahead of the log, as the next appends would be taken for others.
        """
        for view in self.inline:
            await self.store.replace_checkpoint(identity(view), partial(self._begin_inline, view))
            fold = view.fold(self.current)
            await self.catch_up(identity(view), fold, partial(on_progress, view))
            self.store.attach(identity(view), fold)
        for view in self.subscribed:
            await self.store.replace_checkpoint(identity(view), partial(self._begin_subscribed, view))

    def _begin_inline(self, view: View, position: int | None) -> Work[int | None]:
        if position is not None:
            return position
        name = identity(view)
        positions = {held.position for held in (yield from self._claims.lock_all(name))}
        if not positions:
            yield from remade(self.current, view)
            return 0
        if len(positions) > 1 or ASTRAY in positions or (yield from self._parked.any(name)):
            reason = "its parts have reached different positions, or are ahead of the log, or events are parked"
            raise LifecycleRefused(view.name, f"{reason}; let its subscription catch up and drain, or rebuild it")
        yield from self._claims.forget(name)
        yield from self._parked.forget(name)
        return positions.pop()

    def _begin_subscribed(self, view: View, position: int | None) -> Work[int | None]:
        name = identity(view)
        built = position is not None
        if position is None and not (yield from self._claims.parts(name)):
            yield from remade(self.current, view)
            position = 0
        if position is not None:
            count = partitions_of(view, self.partitions)
            yield from self._claims.register(name, count, position, built=built)
        return None

    async def catch_up(self, name: str, fold: Fold, on_progress: Callable[[Progress], None]) -> None:
        """Fold page by page until the head of the log is reached. Raises ProjectionFailed if it is ahead of that."""
        while True:
            progress = await self.store.advance(name, fold, limit=PAGE)
            on_progress(progress)
            if progress.position > progress.head:
                raise ProjectionFailed(name, PAST_THE_END)
            if progress.position == progress.head:
                return

    async def rows(self, clause: ClauseElement, **parameters: object) -> list[Row]:
        """The rows of a statement that an index answers at once. It is compiled once: use one that is made once."""
        return await self.store.rows(self.current.statement(clause).fetch(**parameters))

    async def scan(self, clause: ClauseElement) -> list[Row]:
        """The rows of a statement put together for this query, which may take long; it runs beside the event loop."""
        return await self.store.scan(self.current.compile(clause).fetch())


def partitions_of(view: View, partitions: int) -> int:
    """In how many parts a view can run: one that writes free SQL may touch any row with any event."""
    return partitions if isinstance(view, TableView) else 1


def remade(generation: Generation, view: View) -> Work[None]:
    """The work that leaves this generation of the view's tables empty."""
    yield from generation.drop(table_names(view))
    yield from generation.create(view.tables, view.searched)
