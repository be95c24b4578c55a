"""The beginnings of words, looked for in a full-text index as the whole words that it has.

FTS5 reads the rows of a whole word one after the other, from either end, and heeds bounds on them. For a beginning it
puts together all rows of all words that have it before it gives the first: what many rows have would take longer with
each row that is stored.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from twofold.sql import MATCHING

MOST = 16  # words of one beginning that are looked up: each takes 50 us
LOOKED_UP = 8  # words of a phrase whose beginnings are


class Beginnings:
    """What the function `MATCHING` answers on one connection.

    The words of an index are listed in a temporary table, for which nothing is stored, and which cannot be made while
    a statement runs. So the first who asks is answered by beginnings, and the list is made when he is done.
    """

    def __init__(self, connection: Any) -> None:
        """Give the connection the function."""
        self.unlisted = set[str]()
        """The indexes, quoted, that were asked for without a list."""
        self._connection = connection
        itself = ref(self)  # SQLite holds the function, and the connection would never be freed

        def matching(index: str, words: str) -> str:
            beginnings = itself()
            return _all_beginnings(words.split(" ")) if beginnings is None else beginnings.matching(index, words)

        connection.create_scalar_function(MATCHING, matching, 2)

    def list_words(self) -> None:
        """Make the lists that were missing."""
        reading = self._connection.pragma("query_only")
        self._connection.pragma("query_only", False)
        try:
            while self.unlisted:
                index = self.unlisted.pop()
                table = f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{_listed(index)}"
                self._connection.execute(f"{table} USING fts5vocab(main, {index}, instance)")
        finally:
            self._connection.pragma("query_only", reading)

    def matching(self, index: str, words: str) -> str:
        """What to MATCH for the rows that have each of the words, or one that begins like it."""
        sought = words.split(" ")
        name = _listed(index).strip('"')
        if self._connection.execute("SELECT 1 FROM temp.sqlite_schema WHERE name = ?", (name,)).get is None:
            self.unlisted.add(index)
            return _all_beginnings(sought)
        first, others = sought[:LOOKED_UP], sought[LOOKED_UP:]
        parts = [_whole(self._words(index, word)) or _all_beginnings([word]) for word in first]
        return " AND ".join([*parts, _all_beginnings(others)] if others else parts)

    def _words(self, index: str, beginning: str) -> list[str]:
        """The first words of the index with this beginning, one more than `MOST` if there are as many."""
        words: list[str] = []
        sql = f"SELECT term FROM temp.{_listed(index)} WHERE term >= ? LIMIT 1"  # noqa: S608 - a name of our own
        least = beginning
        while len(words) <= MOST:
            word: str | None = self._connection.execute(sql, (least,)).get
            if word is None or not word.startswith(beginning):
                break
            words.append(word)
            least = word + "\1"  # before every longer word: to go on from row to row would read all rows of this one
        return words


def _listed(index: str) -> str:
    return f'{index[:-1]}_words"'


def _whole(words: list[str]) -> str:
    """Any of the words, unless there are none or too many."""
    return "(" + " OR ".join(f'"{word}"' for word in words) + ")" if 0 < len(words) <= MOST else ""


def _all_beginnings(words: list[str]) -> str:
    return " AND ".join(f'"{word}"*' for word in words)
