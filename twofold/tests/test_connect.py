"""A URL becomes a store, and who only looks leaves every file as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twofold.connect import connect
from twofold.errors import StoreRefused

MAGIC = b"SQLite format 3\0"
NO_STORES = [b"", b"x", b"xy", MAGIC[:15], MAGIC, MAGIC + b"x" * 600, b"x" * 511, b"x" * 512, bytes(5000)]


def names(folder: Path) -> set[str]:
    """What is in the folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("content", NO_STORES, ids=lambda content: f"{len(content)} bytes {content[:1]!r}")
async def test_a_file_that_is_no_store_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    before = file.stat().st_mtime_ns
    with pytest.raises(StoreRefused, match="is not a SQLite file"):
        async with connect(f"sqlite:///{file}", create=False):
            pass
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (content, before)
    assert names(tmp_path) == {"file"}


@pytest.mark.parametrize("name", ["missing", "folder", "pipe", "no/such/folder", "a\0b"])
async def test_what_is_no_file_is_refused_and_not_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreRefused, match="there is no store at"):
        async with connect(f"sqlite:///{tmp_path}/{name}", create=False):
            pass
    assert names(tmp_path) == {"folder", "pipe"}


async def test_a_store_that_is_there_is_opened_and_one_that_is_not_is_made_where_that_is_asked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    (tmp_path / "store.db").touch()
    async with connect(url) as made, connect(url, create=False) as beside:  # at once: nothing waits for a checkpoint
        assert (await made.head(), await beside.head()) == (0, 0)
    async with connect(url, create=False) as again:
        assert await again.head() == 0


async def test_memory_is_nothing_to_look_into() -> None:
    with pytest.raises(StoreRefused, match="memory: keeps nothing"):
        async with connect("memory:", create=False):
            pass
