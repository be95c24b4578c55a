"""One row a key: a `Projection` kept as a table, with the columns that queries filter by and the body they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from twofold.events import Recorded
from twofold.projection import Projection, Source
from twofold.sql import Fold, Work
from twofold.tables import LOCAL, SCHEMA, Generation, words_of, words_table

E = TypeVar("E")
V = TypeVar("V")

_encode = msgspec.json.Encoder(decimal_format="number").encode  # a body is what a client is sent


class _Batch(NamedTuple, Generic[V]):
    """What some events do to the rows of a table: the same as if each event were saved by itself."""

    before: dict[str, V | None]
    after: dict[str, V | None]
    born: dict[str, int]  # the rows that came to be, in that order, and the positions that they came from
    last: dict[str, int]  # the position of the last event of each key

    def note(self, key: str, view: V | None, position: int) -> None:
        """An event has made this of the row."""
        if view is None:
            self.born.pop(key, None)
        elif self.after[key] is None:
            self.born[key] = position
        self.after[key] = view
        self.last[key] = position

    def gone(self) -> list[str]:
        """The stored rows that came to an end, be it to be born again."""
        return [k for k, old in self.before.items() if old is not None and (self.after[k] is None or k in self.born)]


class TableView(Generic[E, V]):
    """A `Projection` over its source, as one table: a row for each key, with its declared columns and its body.

    The table also has `row`, which rises in the order in which rows came to be, and the positions of the first and the
    last event that are in the row.
    """

    def __init__(self, projection: Projection[E, V], source: Source[E]) -> None:
        self.projection = projection
        self.source = source
        self.name = projection.name
        self.version = projection.version
        columns = [
            sa.Column(column.name, sa.Text if column.type is str else sa.BigInteger) for column in projection.columns
        ]
        self.table = table = sa.Table(
            projection.name,
            sa.MetaData(),
            sa.Column("row", sa.Integer, primary_key=True, info={LOCAL: True}),
            sa.Column("key", sa.Text, nullable=False, unique=True),
            *columns,
            sa.Column("first_position", sa.BigInteger, nullable=False),
            sa.Column("last_position", sa.BigInteger, nullable=False),
            sa.Column("body", sa.LargeBinary, nullable=False),
            schema=SCHEMA,
        )
        for number, names in enumerate(projection.indexes):
            sa.Index(f"{projection.name}_{number}", *(table.c[name] for name in names))
        self.tables = (table,)
        self.searched = (table,) if projection.searchable else ()
        self._decode: Callable[[bytes], V] = msgspec.json.Decoder(projection.view).decode
        key = table.c.key == sa.bindparam("b_key")
        changing = ("last_position", "body", *(column.name for column in projection.columns))
        given: dict[str, sa.BindParameter[Any]] = {name: sa.bindparam(name) for name in changing}
        self.by_key = sa.select(table.c.body, table.c.last_position).where(key)
        self._insert = sa.insert(table).values(
            key=sa.bindparam("b_key"), first_position=sa.bindparam("first_position"), **given
        )
        self._update = sa.update(table).where(key).values(**given)
        self._delete = sa.delete(table).where(key)
        row = sa.select(table.c.row).where(key).scalar_subquery()
        text = sa.table(words_table(table), sa.column("rowid"), sa.column("words"), schema=SCHEMA)
        self._text = text
        self._text_insert = sa.insert(text).values(rowid=row, words=sa.bindparam("words"))
        self._text_update = sa.update(text).where(text.c.rowid == row).values(words=sa.bindparam("words"))
        self._text_delete = sa.delete(text).where(text.c.rowid == row)

    def decode(self, body: bytes) -> V:
        """The row that a stored body holds."""
        return self._decode(body)

    def encode(self, view: V) -> bytes:
        """The body under which a row is stored: JSON as a client is sent it, decimals as numbers."""
        return _encode(view)

    def matches(self, phrase: str) -> sa.ColumnElement[bool]:
        """The condition that a row has all words of the phrase, or words that begin like them."""
        words = words_of(phrase)
        if not words:
            return sa.false()
        index: sa.ColumnClause[Any] = sa.literal_column(f'"{SCHEMA}"."{self._text.name}"')
        found = sa.select(self._text.c.rowid).where(index.op("MATCH")(words))
        return self.table.c.row.in_(found)

    def fold(self, generation: Generation) -> Fold:
        """See View.fold."""
        by_key = generation.statement(self.by_key)
        projection = self.projection

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            batch: _Batch[V] = _Batch({}, {}, {}, {})
            for recorded in self.source.decode(events):
                for key in projection.keys(recorded):
                    if key not in batch.after:
                        rows = yield by_key.fetch(b_key=key)
                        batch.before[key] = batch.after[key] = self._decode(rows[0][0]) if rows else None
                    batch.note(key, projection.evolve(batch.after[key], recorded), recorded.position)
            yield from self._save(generation, batch)

        return fold

    def _save(self, generation: Generation, batch: _Batch[V]) -> Work[None]:
        rows = {key: self._row(key, view, batch) for key, view in batch.after.items() if view is not None}
        gone = [{"b_key": key} for key in batch.gone()]
        new = [rows[key] for key in batch.born]  # in the order in which they came to be: so rises `row`
        changed = [row for key, row in rows.items() if key not in batch.born]
        if gone:
            if self.searched:
                yield generation.statement(self._text_delete).run(gone)
            yield generation.statement(self._delete).run(gone)
        if new:
            yield generation.statement(self._insert).run(new)
        if changed:
            yield generation.statement(self._update).run(changed)
        if self.searched:
            yield from self._save_words(generation, batch)

    def _save_words(self, generation: Generation, batch: _Batch[V]) -> Work[None]:
        text = self.projection.text
        new: list[Mapping[str, object]] = []
        changed: list[Mapping[str, object]] = []
        for key, view in batch.after.items():
            if view is not None:
                old, words = batch.before[key], text(view)
                if old is None or key in batch.born:
                    new.append({"b_key": key, "words": words})
                elif text(old) != words:
                    changed.append({"b_key": key, "words": words})
        if new:
            yield generation.statement(self._text_insert).run(new)
        if changed:
            yield generation.statement(self._text_update).run(changed)

    def _row(self, key: str, view: V, batch: _Batch[V]) -> dict[str, Any]:
        row: dict[str, Any] = {column.name: column.of(view) for column in self.projection.columns}
        row.update(b_key=key, first_position=batch.born.get(key), last_position=batch.last[key], body=_encode(view))
        return row
