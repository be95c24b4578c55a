"""The beginnings of words, looked for in a full-text index as the whole words that it has.

FTS5 reads the rows of a whole word one after the other, from either end, and heeds bounds on them. For a beginning it
puts together all rows of all words that have it before it gives the first: what many rows have would take longer with
each row that is stored.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twofold.sql import MATCHING

MOST = 16  # words of one beginning that are looked up: each takes 50 us
LOOKED_UP = 8  # words of a phrase whose beginnings are


class Unlisted(Exception):
    """A statement needs the list of an index's words, which cannot be made while it runs."""


def prepare(connection: Any) -> None:
    """Give the connection the function `MATCHING`. It raises Unlisted until the index's words are listed."""
    connection.create_scalar_function(MATCHING, partial(_matching, connection), 2)


def list_words(connection: Any, index: str) -> None:
    """Make the list of an index's words, which nobody else sees and for which nothing is stored."""
    reading = connection.pragma("query_only")
    connection.pragma("query_only", False)
    try:
        connection.execute(f"CREATE VIRTUAL TABLE temp.{_listed(index)} USING fts5vocab(main, {index}, instance)")
    finally:
        connection.pragma("query_only", reading)


def _matching(connection: Any, index: str, words: str) -> str:
    name = _listed(index).strip('"')
    if connection.execute("SELECT 1 FROM temp.sqlite_schema WHERE name = ?", (name,)).get is None:
        raise Unlisted(index)
    sought = words.split(" ")
    parts = [_whole(_words(connection, index, word)) or f'"{word}"*' for word in sought[:LOOKED_UP]]
    return " AND ".join([*parts, *(f'"{word}"*' for word in sought[LOOKED_UP:])])


def _listed(index: str) -> str:
    return f'{index[:-1]}_words"'


def _whole(words: list[str]) -> str:
    """Any of the words, unless there are none or too many."""
    return "(" + " OR ".join(f'"{word}"' for word in words) + ")" if 0 < len(words) <= MOST else ""


def _words(connection: Any, index: str, beginning: str) -> list[str]:
    """The first words of the index with this beginning, one more than `MOST` if there are as many."""
    words: list[str] = []
    sql = f"SELECT term FROM temp.{_listed(index)} WHERE term >= ? LIMIT 1"  # noqa: S608 - a name of our own
    least = beginning
    while len(words) <= MOST:
        word: str | None = connection.execute(sql, (least,)).get
        if word is None or not word.startswith(beginning):
            break
        words.append(word)
        least = word + "\1"  # before every longer word: to go on from row to row would read all rows of this one
    return words
