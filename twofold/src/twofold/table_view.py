"""One row a key: a `Projection` kept as a table, with the columns that queries filter by and the body they send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from twofold.events import Recorded
from twofold.projection import Projection, Source
from twofold.search import TextIndex, stored_words
from twofold.sequences import Failure, Failures, Part, is_poison
from twofold.sql import Fold, Work
from twofold.tables import LOCAL, SCHEMA, Generation, listed, one_of, words_table

E = TypeVar("E")
V = TypeVar("V")

_encode = msgspec.json.Encoder(decimal_format="number").encode  # a body is what a client is sent
_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # the type that each database numbers by itself


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


class _Written(NamedTuple):
    """All that is stored of a row."""

    values: dict[str, object]
    text: str


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
            sa.Column("row", _ROW, primary_key=True, info={LOCAL: True}),
            sa.Column("key", sa.Text, nullable=False, unique=True),
            *columns,
            sa.Column("first_position", sa.BigInteger, nullable=False),
            sa.Column("last_position", sa.BigInteger, nullable=False),
            sa.Column("body", sa.LargeBinary, nullable=False),
            schema=SCHEMA,
        )
        for number, names in enumerate(projection.indexes):
            if unknown := [name for name in names if name not in table.c]:
                raise ValueError(f"an index of {projection.name} names what is no column of it: {', '.join(unknown)}")
            sa.Index(f"{projection.name}_{number}", *(table.c[name] for name in names))
        self.tables = (table,)
        self.searched = (table,) if projection.searchable else ()
        self._decode: Callable[[bytes], V] = msgspec.json.Decoder(projection.view).decode
        key = table.c.key == sa.bindparam("b_key")
        changing = ("last_position", "body", *(column.name for column in projection.columns))
        given: dict[str, sa.BindParameter[Any]] = {name: sa.bindparam(name) for name in changing}
        self.by_key = sa.select(table.c.body, table.c.last_position).where(key)
        stored = sa.select(table.c.key, table.c.body)
        self._load_one = stored.where(key)
        self._load_many = stored.where(one_of(table.c.key, "keys"))
        self._insert = (
            sa.insert(table)
            .values(key=sa.bindparam("b_key"), first_position=sa.bindparam("first_position"), **given)
            .inline()  # nobody asks for the new `row`
        )
        self._update = sa.update(table).where(key).values(**given)
        self._delete = sa.delete(table).where(key)
        self._text = TextIndex(table, words_table(table))

    def decode(self, body: bytes) -> V:
        """The row that a stored body holds."""
        return self._decode(body)

    def encode(self, view: V) -> bytes:
        """The body under which a row is stored: JSON as a client is sent it, decimals as numbers."""
        return _encode(view)

    def matches(self, phrase: str, among: sa.CTE | None = None) -> sa.ColumnElement[bool]:
        """The condition that a row has all words of the phrase, or words that begin like them.

        With `among`, which has a column `row`, it is one on its rows, and the index is looked through near them only.
        """
        return self._text.matches(phrase, among)

    def found(self, phrase: str) -> sa.Select[Any]:
        """The `rowid`s of the rows that `matches` finds: on SQLite in their order, and the first without the rest."""
        return self._text.found(phrase)

    def parts(self, stored: Recorded[bytes], /) -> Sequence[Part]:
        """See Subscriber.parts: a sequence is a key."""
        return self._parts((stored,))

    def _parts(self, events: Sequence[Recorded[bytes]]) -> list[Part]:
        keys = self.projection.keys
        return [Part(key, recorded) for recorded in self.source.decode(events) for key in keys(recorded)]

    def fold(self, generation: Generation) -> Fold:
        """See View.fold."""

        def fold(events: Sequence[Recorded[bytes]]) -> Work[None]:
            yield from self.fold_parts(generation, self._parts(events))

        return fold

    def fold_parts(self, generation: Generation, parts: Sequence[Part], failures: Failures | None = None) -> Work[None]:
        """Fold the parts, touching only the rows of their keys. See Subscriber.fold; without `failures` it raises."""
        known = failures or {}
        parts = [part for part in parts if part.sequence not in known]
        stored = yield from self._load(generation, list(dict.fromkeys(part.sequence for part in parts)))
        found: Failures | None = None if failures is None else {}
        try:
            batch = self._folded(stored, parts, found)
            rows = self._written(batch)
        except Exception as error:
            if failures is None or not is_poison(error):
                raise
            found = {}  # some row cannot be written down: find the event that made it so
            batch = self._folded(stored, parts, found, writing=True)
            rows = self._written(batch)
        if failures is not None:
            failures.update(found or {})
        yield from self._save(generation, batch, rows)

    def _folded(
        self, stored: Mapping[str, bytes], parts: Sequence[Part], failures: Failures | None, *, writing: bool = False
    ) -> _Batch[V]:
        """What the parts come to, up to each failure. With `writing` a row must be one that can be stored each time."""
        batch: _Batch[V] = _Batch({}, {}, {}, {})
        for key, event in parts:
            if failures and key in failures:
                continue
            try:
                if key not in batch.before:
                    before = self._decode(stored[key]) if key in stored else None
                    batch.before[key] = batch.after[key] = before
                view = self.projection.evolve(batch.after[key], event)
                if writing and view is not None:
                    self._write(key, view, event.position)
            except Exception as error:
                if failures is None or not is_poison(error):
                    raise
                failures[key] = Failure.of(event.position, error)
            else:
                batch.note(key, view, event.position)
        return batch

    def _written(self, batch: _Batch[V]) -> dict[str, _Written]:
        last = batch.last
        return {
            key: self._write(key, view, last[key])
            for key, view in batch.after.items()
            if view is not None and key in last
        }

    def _load(self, generation: Generation, keys: Sequence[str]) -> Work[dict[str, bytes]]:
        """The stored bodies of these keys, by one statement: with one for each, a batch would be mostly round trips."""
        if len(keys) == 1:  # as in most appends; measured on SQLite, a list of one takes half as long again
            return dict((yield generation.statement(self._load_one).fetch(b_key=keys[0])))
        if keys:
            return dict((yield generation.statement(self._load_many).fetch(keys=listed(keys))))
        return {}

    def _write(self, key: str, view: V, position: int) -> _Written:
        values: dict[str, object] = {column.name: column.of(view) for column in self.projection.columns}
        values.update(b_key=key, last_position=position, body=_encode(view))
        return _Written(values, self.projection.text(view) if self.searched else "")

    def _save(self, generation: Generation, batch: _Batch[V], rows: Mapping[str, _Written]) -> Work[None]:
        gone = [{"b_key": key} for key in batch.gone()]
        new = [{**rows[key].values, "first_position": born} for key, born in batch.born.items()]  # so rises `row`
        changed = [row.values for key, row in rows.items() if key not in batch.born]
        if gone:
            if self.searched:
                yield generation.statement(self._text.delete).run(gone)
            yield generation.statement(self._delete).run(gone)
        if new:
            yield generation.statement(self._insert).run(new)
        if changed:
            yield generation.statement(self._update).run(changed)
        if self.searched:
            yield from self._save_words(generation, batch, rows)

    def _save_words(self, generation: Generation, batch: _Batch[V], rows: Mapping[str, _Written]) -> Work[None]:
        new: list[Mapping[str, object]] = []
        changed: list[Mapping[str, object]] = []
        for key, row in rows.items():
            old = batch.before[key]
            if old is None or key in batch.born:
                new.append({"b_key": key, "words": stored_words(row.text)})
            elif self.projection.text(old) != row.text:
                changed.append({"b_key": key, "words": stored_words(row.text)})
        if new:
            yield generation.statement(self._text.insert).run(new)
        if changed:
            yield generation.statement(self._text.update).run(changed)
