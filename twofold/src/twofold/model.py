"""What an application is made of, said in one place: for whoever looks into it, draws it, or tries a command on it.

Nothing runs by a model. It names what the application has, and holds no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from twofold.codec import Codec
from twofold.decider import Category
from twofold.events import category_of
from twofold.messages import Query
from twofold.projection import Source
from twofold.table_view import TableView
from twofold.views import SqlView, View


@dataclass(frozen=True)
class Deciding:
    """A category, and the types of the commands that it decides."""

    category: Category[Any, Any, Any]
    commands: Sequence[type]


@dataclass(frozen=True)
class Model:
    """The parts of an application. `queries` says of each type of query which views it reads."""

    name: str
    deciding: Sequence[Deciding] = ()
    views: Sequence[View] = ()
    queries: Mapping[type[Query[Any]], Sequence[View]] = field(default_factory=dict[type[Query[Any]], Sequence[View]])

    def __post_init__(self) -> None:
        names = [each.category.name for each in self.deciding]
        commands = [command.__name__ for each in self.deciding for command in each.commands]
        for kind, known in (("categories", names), ("commands", commands)):
            if len(set(known)) < len(known):
                raise ValueError(f"two {kind} of {self.name} share a name: {', '.join(sorted(known))}")

    def decides(self, stream: str) -> Deciding | None:
        """Who decides about this stream."""
        category = category_of(stream)
        return next((each for each in self.deciding if each.category.name == category), None)

    def command(self, name: str) -> tuple[Deciding, type] | None:
        """The type of the commands of this name, and who decides them."""
        for each in self.deciding:
            for command in each.commands:
                if command.__name__ == name:
                    return each, command
        return None

    def codec(self, stream: str) -> Codec[Any] | None:
        """What reads the events of this stream: the codec of its category, or of a view that folds it."""
        deciding = self.decides(stream)
        if deciding is not None:
            return deciding.category.codec
        category = category_of(stream)
        sources = (source_of(view) for view in self.views)
        return next((source.codec for source in sources if source and category in source.categories), None)


def source_of(view: View) -> Source[Any] | None:
    """The part of the log that a view folds, where it tells."""
    return view.source if _tells(view) else None


def table_of(view: View) -> TableView[Any, Any] | None:
    """The view as one that keeps one row a key, if it is one."""
    return view if _is_table(view) else None


def _tells(view: View) -> TypeGuard[TableView[Any, Any] | SqlView[Any]]:
    return isinstance(view, TableView | SqlView)


def _is_table(view: View) -> TypeGuard[TableView[Any, Any]]:
    return isinstance(view, TableView)
