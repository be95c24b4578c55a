"""SQLAlchemy's tables and statements, compiled once into the SQL that a store runs.

Every table of a view stands in the schema `$views`, which no database has. It marks the places where a physical name
gets its generation (`order_details` becomes `order_details_v1`), so that the same statements serve the tables in use
and those that are being built beside them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement

from twofold.sql import Fetch, Run, Work

SCHEMA = "$views"
KEPT = 256  # compiled statements: more than an application has, unless it makes them anew each time
LOCAL = "twofold_local"  # marks a column whose values depend on when a table was built: it is never compared
_MARKED = re.compile(r'"\$views"\."?(\w+)"?')

_DIALECTS: Mapping[str, Callable[[], Dialect]] = {
    "sqlite": lambda: sqlite.dialect(paramstyle="qmark"),
}


class Statement:
    """A compiled statement: its SQL, and the names of its parameters in the order of their places."""

    def __init__(self, sql: str, names: Sequence[str], values: Mapping[str, object]) -> None:
        self.sql = sql
        self._names = tuple(names)
        self._values = values

    def fetch(self, **parameters: object) -> Fetch:
        """Run it once, for its rows."""
        return Fetch(self.sql, self._places(parameters))

    def run(self, rows: Iterable[Mapping[str, object]]) -> Run:
        """Run it once for each row of parameters."""
        return Run(self.sql, [self._places(row) for row in rows])

    def _places(self, parameters: Mapping[str, object]) -> list[object]:
        values = self._values
        try:
            return [parameters[name] if name in parameters else values[name] for name in self._names]
        except KeyError as missing:
            raise ValueError(f"no value was given for {missing} of: {self.sql}") from None


class Generation:
    """One generation of some tables: compiles statements for it, and makes, renames and drops its tables.

    `suffixes` gives each table's physical name its ending.
    """

    def __init__(self, dialect: str, suffixes: Mapping[str, str]) -> None:
        self._dialect = _DIALECTS[dialect]()
        self._suffixes = suffixes
        self._kept: OrderedDict[ClauseElement, Statement] = OrderedDict()

    def physical(self, name: str) -> str:
        """The physical name of a table."""
        return name + self._suffixes[name]

    def statement(self, clause: ClauseElement) -> Statement:
        """The compiled statement. The last ones are kept: it is quick for statements that are made once."""
        known = self._kept.get(clause)
        if known is None:
            known = self._kept[clause] = self.compile(clause)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known

    def compile(self, clause: ClauseElement) -> Statement:
        """The compiled statement, not kept: for one that is put together for a single query."""
        compiled = clause.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
        names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        binds: Mapping[str, sa.BindParameter[Any]] = getattr(compiled, "binds", {})
        # A parameter without a value of its own must be given one: left out by mistake it would be NULL in silence.
        required = {name for name, bind in binds.items() if bind.required}
        values = {name: value for name, value in (compiled.params or {}).items() if name not in required}
        return Statement(self._marked(str(compiled)), names, values)

    def create(self, tables: Sequence[sa.Table], searched: Sequence[sa.Table] = ()) -> Work[None]:
        """The work that makes the tables and their indexes, and a full-text index beside each of `searched`."""
        for table in tables:
            yield Run(self._marked(str(CreateTable(table).compile(dialect=self._dialect))))
            physical = self.physical(table.name)
            for index in table.indexes:
                columns = ", ".join(f'"{column.name}"' for column in index.columns)
                # An index keeps its name when its table is renamed, so no two generations may share one.
                kind = "UNIQUE INDEX" if index.unique else "INDEX"
                yield Run(f"CREATE {kind} {physical}_{uuid4().hex[:8]} ON {physical} ({columns})")
        for table in searched:
            # Contentless: only the index is kept, the words themselves stand in the body of the row.
            yield Run(
                f"CREATE VIRTUAL TABLE {self.physical(words_table(table))} USING fts5("
                "words, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2')"
            )

    def drop(self, names: Iterable[str]) -> Work[None]:
        """The work that drops the tables where they exist."""
        for name in names:
            yield Run(f"DROP TABLE IF EXISTS {self.physical(name)}")

    def rename(self, to: Generation, names: Iterable[str]) -> Work[None]:
        """The work that makes this generation's tables those of another, whose own must be gone."""
        for name in names:
            yield Run(f"ALTER TABLE {self.physical(name)} RENAME TO {to.physical(name)}")

    def _marked(self, sql: str) -> str:
        return _MARKED.sub(lambda match: self.physical(match[1]), sql)


def upsert(table: sa.Table, *, adding: Sequence[str] = (), keeping: Sequence[str] = ()) -> sa.TextClause:
    """A statement that inserts a row, or changes the one of the same primary key, on any of our databases.

    It takes a parameter for each column. Of a row that is there, the columns of `adding` are added to, those of
    `keeping` stay as they are, and the others are replaced.
    """
    marked = f'"{SCHEMA}".{table.name}'
    columns = ", ".join(column.name for column in table.c)
    places = ", ".join(f":{column.name}" for column in table.c)
    keys = ", ".join(column.name for column in table.primary_key)
    changes = ", ".join(
        f"{column.name} = {f'{marked}.{column.name} + ' if column.name in adding else ''}excluded.{column.name}"
        for column in table.c
        if not column.primary_key and column.name not in keeping
    )
    sql = f"INSERT INTO {marked} ({columns}) VALUES ({places}) ON CONFLICT ({keys}) DO UPDATE SET {changes}"  # noqa: S608 - names of our own tables
    return sa.text(sql)


def words_table(table: sa.Table) -> str:
    """The name of the full-text index beside a table."""
    return f"{table.name}_text"


def words_of(phrase: str) -> str:
    """What a person typed as a full-text query: each word, or the beginning of one, must occur. Nothing is syntax."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", phrase))  # an accent of its own would part a word
    return " ".join(f'"{word}"*' for word in words)
