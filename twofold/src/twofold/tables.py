"""SQLAlchemy's tables and statements, compiled once into the SQL that a store runs.

Every table of a view stands in the schema `$views`, which no database has. It marks the places where a physical name
gets its generation (`order_details` becomes `order_details_v1`), so that the same statements serve the tables in use
and those that are being built beside them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from twofold import search
from twofold.sql import Fetch, Run, Work

SCHEMA = "$views"
KEPT = 256  # compiled statements: more than an application has, unless it makes them anew each time
LOCAL = "twofold_local"  # marks a column whose values depend on when a table was built: it is never compared
LONGEST_NAME = 63  # bytes: what PostgreSQL keeps of a name
_MARKED = re.compile(r'"\$views"\."?(\w+)"?')

# SQLAlchemy's name of each, by which it is imported when it is first asked for, and how its driver is given parameters.
_DIALECTS = {"sqlite": ("sqlite", "qmark"), "postgresql": ("postgresql.asyncpg", "numeric_dollar")}


class Statement:
    """A compiled statement: its SQL, and the names of its parameters in the order of their places."""

    def __init__(self, sql: str, names: Sequence[str], values: Mapping[str, object]) -> None:
        self.sql = sql
        self._names = tuple(names)
        self._values = values
        # Most statements are given all their parameters; to pick them out so takes a fraction of the time.
        self._all = itemgetter(*names) if len(names) > 1 and not values.keys() & set(names) else None

    def fetch(self, **parameters: object) -> Fetch:
        """Run it once, for its rows."""
        return Fetch(self.sql, self._places(parameters))

    def run(self, rows: Iterable[Mapping[str, object]]) -> Run:
        """Run it once for each row of parameters."""
        return Run(self.sql, [self._places(row) for row in rows])

    def _places(self, parameters: Mapping[str, object]) -> Sequence[object]:
        values = self._values
        try:
            if self._all is not None:
                picked: Sequence[object] = self._all(parameters)
                return picked
            return [parameters[name] if name in parameters else values[name] for name in self._names]
        except KeyError as missing:
            raise ValueError(f"no value was given for {missing} of: {self.sql}") from None


class Generation:
    """One generation of some tables: compiles statements for it, and makes, renames and drops its tables.

    `suffixes` gives each table's physical name its ending.
    """

    def __init__(self, dialect: str, suffixes: Mapping[str, str]) -> None:
        name, paramstyle = _DIALECTS[dialect]
        self._dialect: Dialect = registry.load(name)(paramstyle=paramstyle)
        self._suffixes = suffixes
        self._kept: OrderedDict[ClauseElement, Statement] = OrderedDict()

    def physical(self, name: str) -> str:
        """The physical name of a table. Raises ValueError for one of a view that is not on the list of views."""
        if name not in self._suffixes:
            known = ", ".join(sorted(self._suffixes)) or "none"
            raise ValueError(f"no view that Views was given has a table {name!r}; their tables are: {known}")
        return _fitting(name + self._suffixes[name])

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
            yield Run(self._marked(str(CreateTable(self._by_bytes(table)).compile(dialect=self._dialect))))
            physical = self.physical(table.name)
            for index in table.indexes:
                columns = ", ".join(f'"{column.name}"' for column in index.columns)
                # An index keeps its name when its table is renamed, so no two generations may share one.
                name = _fitting(f"{physical}_{uuid4().hex[:8]}")
                kind = "UNIQUE INDEX" if index.unique else "INDEX"
                yield Run(f'CREATE {kind} "{name}" ON "{physical}" ({columns})')
        for table in searched:
            for sql in search.creation(self._dialect.name, self.physical(words_table(table))):
                yield Run(sql)

    def drop(self, names: Iterable[str]) -> Work[None]:
        """The work that drops the tables where they exist."""
        for name in names:
            yield Run(f'DROP TABLE IF EXISTS "{self.physical(name)}"')

    def rename(self, to: Generation, names: Iterable[str]) -> Work[None]:
        """The work that makes this generation's tables those of another, whose own must be gone."""
        for name in names:
            yield Run(f'ALTER TABLE "{self.physical(name)}" RENAME TO "{to.physical(name)}"')

    def _marked(self, sql: str) -> str:
        return _MARKED.sub(lambda match: f'"{self.physical(match[1])}"', sql)

    def _by_bytes(self, table: sa.Table) -> sa.Table:
        """The table with texts that are compared by their bytes, as SQLite does, whatever language a database speaks.

        Else rows would stand in another order on each database, and a view could not be checked against another.
        """
        if self._dialect.name != "postgresql":
            return table
        copy = table.to_metadata(sa.MetaData())
        for column in copy.columns:
            if isinstance(column.type, sa.String) and column.type.collation is None:
                column.type = column.type.adapt(type(column.type), collation="C")
        return copy


def _fitting(name: str) -> str:
    """The name, or a shorter one of its own: PostgreSQL would cut it, and two might be cut to the same."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = sha256(name.encode()).hexdigest()[:16]
    return f"{name.encode()[: LONGEST_NAME - 17].decode(errors='ignore')}_{digest}"


class _OneOf(FunctionElement[bool]):
    """Whether a column has one of the texts of a JSON array.

    It has no type: of a Boolean SQLAlchemy would ask SQLite whether it equals 1, and no index is used for that.
    """

    inherit_cache = True


@compiles(_OneOf, "sqlite")
def _one_of_on_sqlite(element: _OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, texts = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - a column and a parameter


@compiles(_OneOf, "postgresql")
def _one_of_on_postgresql(element: _OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, texts = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY (ARRAY(SELECT jsonb_array_elements_text({texts}::jsonb)))"


def one_of(column: sa.Column[str], name: str) -> sa.ColumnElement[bool]:
    """The condition that a column has one of several texts; the parameter of this name takes them, `listed`."""
    return _OneOf(column, sa.bindparam(name, type_=sa.Text))


def listed(texts: Iterable[str]) -> str:
    """Any number of texts as one parameter, for `one_of`."""
    return msgspec.json.encode(list(texts)).decode()


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
