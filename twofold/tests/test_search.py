"""Full-text search: what a word is, and that the same rows are found on every database and by reading all of them."""

from __future__ import annotations

import asyncio
import importlib
import tracemalloc
import unicodedata
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.errors import StoreFailed
from twofold.search import BYTES, LETTERS, SOUGHT, TextIndex, stored_words, words_of
from twofold.sql import MATCHING, Fetch, Row, Work
from twofold.stores.sqlite import SqliteStore, beginnings
from twofold.stores.sqlite.driver import Connection
from twofold.stores.sqlite.work import drive
from twofold.tables import SCHEMA, Generation, words_table
from twofold.testing.postgres import PostgresServer

table = sa.Table(
    "texts",
    sa.MetaData(schema=SCHEMA),
    sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
)
index = TextIndex(table, words_table(table))
INSERT = sa.insert(table).values(key=sa.bindparam("b_key")).inline()
SUFFIXES = {"texts": "", "texts_text": ""}

Texts = Mapping[str, str]
Finds = Sequence[Sequence[str]]


def work(generation: Generation, texts: Texts, phrases: Sequence[str]) -> Work[Finds]:
    """Keep the texts under their keys, then look for each phrase: the keys found, each time."""
    yield from generation.drop(SUFFIXES)
    yield from generation.create([table], [table])
    yield generation.statement(INSERT).run([{"b_key": key} for key in texts])
    rows = [{"b_key": key, "words": stored_words(text)} for key, text in texts.items()]
    yield generation.statement(index.insert).run(rows)
    found: list[list[str]] = []
    for phrase in phrases:
        query = sa.select(table.c.key).where(index.matches(phrase)).order_by(table.c.key)
        found.append([key for (key,) in (yield generation.compile(query).fetch())])
        odd = sa.select(table.c.row).where(table.c.row % 2 == 1).cte("odd")
        near = sa.select(odd.c.row).where(index.matches(phrase, odd))
        query = sa.select(table.c.key).where(table.c.row.in_(near)).order_by(table.c.key)
        among = [key for (key,) in (yield generation.compile(query).fetch())]
        assert among == [key for key in found[-1] if list(texts).index(key) % 2 == 0]  # rows are counted from 1
    return found


def on_sqlite(texts: Texts, phrases: Sequence[str]) -> Finds:
    """What SQLite finds."""
    connection = Connection(":memory:")
    try:
        return drive(connection, work(Generation("sqlite", SUFFIXES), texts, phrases))
    finally:
        connection.close()


def on_postgresql(url: str, texts: Texts, phrases: Sequence[str]) -> Finds:
    """What PostgreSQL finds."""

    async def run() -> Finds:
        driver: Any = importlib.import_module("asyncpg")  # it has no types
        connection = await driver.connect(url, statement_cache_size=0)  # the tables are made anew each time
        steps = work(Generation("postgresql", SUFFIXES), texts, phrases)
        try:
            step = next(steps)
            while True:
                rows: list[Row] = []
                if isinstance(step, Fetch):
                    rows = [tuple(row) for row in await connection.fetch(step.sql, *step.parameters)]
                else:
                    await connection.executemany(step.sql, step.rows)
                step = steps.send(rows)
        except StopIteration as stop:
            found: Finds = stop.value
            return found
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Generator[str]:
    """The URL of a database for the tests of this file."""
    with postgres_server.database() as url:
        yield url


# --- a naive search, which shares no code with the views --------------------------------------------------------------


def naive_words(text: str) -> set[str]:
    """The words of a text, letter by letter."""
    words, word = set[str](), ""
    for letter in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()) + " ":
        kind = unicodedata.category(letter)[0]
        if kind in ("L", "N"):
            word += letter.lower()
        elif kind != "M":
            words.add(word[:LETTERS])
            word = ""
    return words - {""}


def naive(texts: Texts, phrases: Sequence[str]) -> Finds:
    """What is found by reading all texts: those with all words of a phrase, or beginnings of words."""

    def has(text: str, phrase: str) -> bool:
        sought, words = naive_words(phrase), naive_words(text)
        return bool(sought) and all(any(word.startswith(begin) for word in words) for begin in sought)

    return [sorted(key for key, text in texts.items() if has(text, phrase)) for phrase in phrases]


HOSTILE = st.sampled_from(
    [
        "'",
        '"',
        "\\",
        "\\'",
        "''",
        "&",
        "|",
        "!",
        ":*",
        "<->",
        "(",
        ")",
        "*",
        "\0",
        "\ud800",
        "%",
        "_",
        " or ",
        " AND ",
        "-",
    ]
)
SOUNDS = st.sampled_from(
    [
        "a",
        "b",
        "ab",
        "Ä",
        "é",
        "e\u0301",
        "ß",
        "SS",
        "\N{LATIN SMALL LETTER DOTLESS I}",
        "İ",
        "東",
        "京",
        "ﬁ",
        "٣",
        "3",
        "Σ",
        "ς",
        "ᾳ",
    ]
)
PIECES = st.one_of(SOUNDS, SOUNDS, HOSTILE, st.just(" "), st.characters())
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=8),
    phrases=st.lists(TEXTS, min_size=1, max_size=8),
    most=st.sampled_from([0, 1, beginnings.MOST]),
)
def test_the_same_rows_are_found_everywhere(
    database: str, texts: Sequence[str], phrases: Sequence[str], most: int
) -> None:
    kept = {f"{number}": text for number, text in enumerate(texts)}
    sought = [*phrases, *texts, *(text[: len(text) // 2] for text in texts)]  # much of which is found
    expected = naive(kept, sought)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(beginnings, "MOST", most)
        assert on_sqlite(kept, sought) == expected
    assert on_postgresql(database, kept, sought) == expected


@settings(max_examples=200)
@given(st.text(st.characters(), max_size=60))
def test_words_are_plain_and_stay_as_they_are(text: str) -> None:
    words = words_of(text)
    assert set(words) == naive_words(text)
    assert words_of(" ".join(words)) == words
    assert all(unicodedata.category(letter)[0] in "LN" for word in words for letter in word)
    assert stored_words(text) == " ".join(words)


def test_sqlite_is_asked_for_whole_words_where_few_begin_alike() -> None:
    """Of a whole word it reads the rows one by one; of a beginning all rows of all words, before it gives the first."""
    many = " ".join(f"many{number}" for number in range(beginnings.MOST))
    texts = {"1": f"Berlin Bern {many}", "2": f"Berliner manya {many}", "3": "Äb äbc"}
    connection = Connection(":memory:")
    try:
        drive(connection, work(Generation("sqlite", SUFFIXES), texts, ["berlin"]))

        copy = connection.copy()

        def asked(words: str) -> str:
            ((asked,),) = connection.rows(f"SELECT {MATCHING}('\"texts_text\"', ?)", (words,))
            return str(asked)

        assert asked("berlin") == '("berlin" OR "berliner")'
        assert asked("ber") == '("berlin" OR "berliner" OR "bern")'
        assert asked("bern ab") == '("bern") AND ("ab" OR "abc")'
        assert asked("manya many1") == f'("manya") AND ({" OR ".join(_ones())})'
        assert asked("many bern") == '"many"* AND ("bern")'
        assert asked("lost") == '"lost"*'
        assert asked(" ".join(["bern"] * (beginnings.LOOKED_UP + 1))).endswith('("bern") AND "bern"*')
        connection.close()
        connection = copy
        assert asked("berlin lost") == '"berlin"* AND "lost"*', "the first time, before its words are listed"
        assert asked("berlin lost") == '("berlin" OR "berliner") AND "lost"*'
    finally:
        connection.close()


def _ones() -> Sequence[str]:
    return [f'"many{number}"' for number in (1, *range(10, beginnings.MOST))]


async def test_a_connection_that_only_reads_still_does_so_after_a_search(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        await store.work(lambda: Generation("sqlite", SUFFIXES).create([table], [table]))
        query = Generation("sqlite", SUFFIXES).compile(sa.select(table.c.key).where(index.matches("word"))).fetch()
        for ask in (store.scan, store.rows):
            assert await ask(query) == []
            with pytest.raises(StoreFailed, match="readonly"):
                await ask(Fetch("DELETE FROM texts"))


LONG = {
    "a long word": "x" * 100_000,
    "a long word beyond ASCII": "東" * 100_000,
    "many words": " ".join(f"w{number:06}" for number in range(BYTES // 7)),
    "more words": "first " + " ".join(f"w{number:07}" for number in range(BYTES // 8)),
}


def test_what_is_kept_of_a_row_is_bounded(database: str) -> None:
    phrases = ["x" * LETTERS, "x" * LETTERS + "y", "東" * 200, "w000", "w0000000", "first", "w0111109", "w0111110"]
    found = on_sqlite(LONG, phrases)
    assert found == [
        ["a long word"],
        ["a long word"],  # what comes after so many letters is not looked at
        ["a long word beyond ASCII"],
        ["many words", "more words"],
        ["more words"],
        ["more words"],
        ["more words"],
        [],  # the first of too many words
    ]
    assert on_postgresql(database, LONG, phrases) == found
    assert [len(stored_words(text).encode()) for text in LONG.values()] == [100, 300, 999_999, 999_995]


def test_long_texts_are_not_kept_in_memory() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(40):
            assert words_of(f"é{number} " + "ü" * 200_000)[0] == f"e{number}"
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


def test_a_phrase_may_have_any_number_of_words(database: str) -> None:
    every = " ".join(f"w{number}" for number in range(SOUGHT * 100))
    texts = {"all": every, "one": "w1"}
    assert on_sqlite(texts, [every]) == on_postgresql(database, texts, [every]) == [["all"]]
