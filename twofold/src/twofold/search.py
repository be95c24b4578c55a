"""Full-text search: what a word is, and how each database keeps the words of a row beside it.

The same rows must be found on every store, so texts are cut into words here, by one rule, and no parser of a database
is asked: SQLite is given words that its tokenizer leaves as they are, PostgreSQL a vector of finished lexemes. Words
have nothing but letters and digits, so nothing that a person types can be syntax.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from twofold.sql import MATCHING

LETTERS = 100  # of a word that are looked at: PostgreSQL takes no lexeme of 2 KiB
BYTES = 1_000_000  # of the words of one row that are kept: PostgreSQL takes no vector of 1 MiB
KEPT_LETTERS = 200  # of a line whose form without accents is kept: what is longer hardly comes again, and takes memory
SOUGHT = 1_000  # different words of a phrase that are looked for: PostgreSQL reads a query on its stack


_WORD = re.compile(r"[^\W_]+")
# Of ASCII, with a space for all that is no letter and no digit: quicker than a pattern.
_APART = "".join(chr(number) if chr(number).isalnum() else " " for number in range(128))


def words_of(text: str) -> list[str]:
    """The different words of a text, without case and accents, each cut to its first `LETTERS` letters."""
    if not text.isascii():
        text = "\n".join([line if line.isascii() else _unmarked(line) for line in text.split("\n")])
    text = text.lower()
    words = text.translate(_APART).split() if text.isascii() else _WORD.findall(text)
    if len(text) > LETTERS and max(map(len, words), default=0) > LETTERS:
        words = [word[:LETTERS] for word in words]
    return list(dict.fromkeys(words))


def _unmarked(line: str) -> str:
    """A line without accents and other marks, its letters as they are compared."""
    return _kept(line) if len(line) <= KEPT_LETTERS else _without_marks(line)


def _without_marks(line: str) -> str:
    line = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", line).casefold())
    return "".join(letter for letter in line if not unicodedata.category(letter).startswith("M"))


_kept = lru_cache(maxsize=4096)(_without_marks)  # products and places come again and again


def stored_words(text: str) -> str:
    """The words by which a row is found, as the statements of a `TextIndex` take them: the first, up to `BYTES`."""
    words = " ".join(words_of(text))
    if len(words) * 4 > BYTES and len(encoded := words.encode()) > BYTES:  # no letter has more than four
        return encoded[: encoded.rindex(b" ", 0, BYTES + 1)].decode()
    return words


def gives_rows_in_order(dialect: str) -> bool:
    """Whether this database's index gives the rows that have a word in their order, and the first without the rest."""
    return dialect == "sqlite"


class _Vector(FunctionElement[Any]):
    """Words parted by spaces, as the column of an index holds them."""

    inherit_cache = True


@compiles(_Vector, "sqlite")
def _vector_on_sqlite(element: _Vector, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(_Vector, "postgresql")
def _vector_on_postgresql(element: _Vector, compiler: SQLCompiler, **kw: Any) -> str:
    return f"array_to_tsvector(string_to_array({compiler.process(element.clauses, **kw)}, ' '))"


class _Found(FunctionElement[bool]):
    """Whether a row of an index has all of some words, parted by spaces, or words that begin like them.

    It has no type: of a Boolean SQLAlchemy would ask SQLite whether it equals 1, and MATCH stands by itself only.
    """

    inherit_cache = True

    def __init__(self, index: sa.TableClause, words: str) -> None:
        self.index = index
        super().__init__(sa.literal(words))


@compiles(_Found, "sqlite")
def _found_on_sqlite(element: _Found, compiler: SQLCompiler, **kw: Any) -> str:
    words = compiler.process(element.clauses, **kw)
    index = compiler.process(element.index, **{**kw, "asfrom": True})
    return f"{index} MATCH {MATCHING}('{index}', {words})"


@compiles(_Found, "postgresql")
def _found_on_postgresql(element: _Found, compiler: SQLCompiler, **kw: Any) -> str:
    words = compiler.process(element.clauses, **kw)
    column = compiler.process(element.index.c.words, **kw)
    return f"{column} @@ ('''' || replace({words}, ' ', ''':* & ''') || ''':*')::tsquery"


class _Near(FunctionElement[bool]):
    """Whether a row of an index is one of some rows or, where that is quicker to ask, lies between them.

    So whoever asks must leave out the others. PostgreSQL looks at each of the rows by itself: where they lie far apart,
    nearly the whole index is between them. SQLite would look up the words again for each.
    """

    inherit_cache = True

    def __init__(self, rowid: sa.ColumnClause[Any], among: sa.CTE) -> None:
        ends = [sa.select(end(among.c.row)).scalar_subquery() for end in (sa.func.min, sa.func.max)]
        super().__init__(rowid, *ends, sa.select(among.c.row).scalar_subquery())


@compiles(_Near, "sqlite")
def _near_on_sqlite(element: _Near, compiler: SQLCompiler, **kw: Any) -> str:
    rowid, least, most, _ = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{rowid} BETWEEN {least} AND {most}"


@compiles(_Near, "postgresql")
def _near_on_postgresql(element: _Near, compiler: SQLCompiler, **kw: Any) -> str:
    rowid, _, _, rows = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{rowid} IN {rows}"


class TextIndex:
    """The full-text index beside a table that has the columns `row` and `key`, as the table of a `TableView` has.

    The statements take the row's key as `b_key` and its `stored_words` as `words`.
    """

    def __init__(self, table: sa.Table, name: str) -> None:
        self._row = table.c.row
        self._index = index = sa.table(name, sa.column("rowid"), sa.column("words"), schema=table.schema)
        row = sa.select(table.c.row).where(table.c.key == sa.bindparam("b_key")).scalar_subquery()
        words = _Vector(sa.bindparam("words", type_=sa.Text))
        self.insert = sa.insert(index).values(rowid=row, words=words)
        self.update = sa.update(index).where(index.c.rowid == row).values(words=words)
        self.delete = sa.delete(index).where(index.c.rowid == row)

    def found(self, phrase: str) -> sa.Select[Any]:
        """The `rowid`s of the rows that have all words of the phrase, or words that begin like them.

        SQLite has them in their order, and the first without the rest unless many words begin like one of these.
        """
        words = words_of(phrase)[:SOUGHT]
        condition = _Found(self._index, " ".join(words)) if words else sa.false()
        return sa.select(self._index.c.rowid).where(condition)

    def matches(self, phrase: str, among: sa.CTE | None = None) -> sa.ColumnElement[bool]:
        """The condition that a row has all words of the phrase, or words that begin like them.

        With `among`, which has a column `row`, it is one on its rows, and the index is looked through near them only.
        """
        if among is None:
            return self._row.in_(self.found(phrase))
        return among.c.row.in_(self.found(phrase).where(_Near(self._index.c.rowid, among)))


def creation(dialect: str, name: str) -> Iterator[str]:
    """The statements that make a full-text index of this physical name."""
    if dialect == "postgresql":
        yield f'CREATE TABLE "{name}" (rowid BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)'
        yield f'CREATE INDEX ON "{name}" USING gin (words)'  # PostgreSQL finds a name that is free
    else:
        # Contentless, and without places: all that is asked is which rows have a word. To the tokenizer `ascii` every
        # letter beyond ASCII is part of a word, whatever Unicode SQLite was built with.
        yield (
            f"""CREATE VIRTUAL TABLE "{name}" USING fts5("""
            "words, content='', contentless_delete=1, detail=none, tokenize='ascii')"
        )
