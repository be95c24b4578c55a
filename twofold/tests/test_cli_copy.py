"""The command `twofold copy`, as a process, from file to file."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from test_cli_twofold import append, command, started
from twofold.connect import connect
from twofold.events import Recorded
from twofold.testing.contract_adoption import adoptable
from twofold.testing.contract_base import whole

SOURCE, TARGET = "from.db", "to.db"


@pytest.fixture
async def source(tmp_path: Path) -> str:
    """A store with three events in two streams."""
    url = f"sqlite:///{tmp_path / SOURCE}"
    await append(url, "counter-a", b'{"amount": 0.10}', b'{"amount": 12345678901234567890.5}')
    await append(url, "counter-b", b"{}")
    return url


@pytest.fixture
def target(tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return f"sqlite:///{tmp_path / TARGET}"


async def log_of(url: str) -> list[Recorded[bytes]]:
    async with connect(url, create=False) as store:
        return await whole(store)


async def test_a_log_is_copied_and_compared(source: str, target: str) -> None:
    code, printed, complained = command("copy", source, target)
    assert (code, complained) == (0, "")
    assert printed == "3 events copied, up to position 3\nNo difference (3 events)\n"
    assert await log_of(target) == await log_of(source)
    await append(source, "counter-a", b"{}")
    code, printed, _ = command("copy", source, target, "--json")
    assert (code, json.loads(printed)) == (0, {"copied": 1, "position": 4, "head": 4, "same": 4})
    assert await log_of(target) == await log_of(source)


async def test_a_log_goes_to_postgres_and_back(source: str, target: str, postgres_url: str) -> None:
    for one, other in ((source, postgres_url), (postgres_url, target)):
        code, printed, complained = command("copy", one, other, "--json")
        assert (code, complained) == (0, "")
        assert json.loads(printed) == {"copied": 3, "position": 3, "head": 3, "same": 3}
    assert await log_of(target) == await log_of(postgres_url) == await log_of(source)
    await append(postgres_url, "counter-a", b"{}", b"{}")
    assert json.loads(command("copy", postgres_url, target, "--json")[1])["copied"] == 2
    assert await log_of(target) == await log_of(postgres_url)
    assert command("copy", postgres_url, postgres_url)[0] == 2


async def test_a_copy_that_was_killed_goes_on_where_it_was(source: str, target: str, tmp_path: Path) -> None:
    count = 20_000
    async with connect(source) as store:
        for first in range(4, count, 2_000):
            await store.adopt([adoptable(f"order-{number}", 1, number) for number in range(first, first + 2_000)])
        count = await store.head()
    with started("copy", source, target) as process:
        reached = 0
        while reached == 0:
            assert process.poll() is None, "the copy was done before it could be killed"
            await asyncio.sleep(0.005)
            reached = events_in(tmp_path / TARGET)
        process.kill()
        process.wait()
    reached = events_in(tmp_path / TARGET)
    assert reached % 1_000 == 0
    assert 0 < reached < count
    code, printed, _ = command("copy", source, target, "--json")
    assert (code, json.loads(printed)) == (
        0,
        {"copied": count - reached, "position": count, "head": count, "same": count},
    )


def events_in(path: Path) -> int:
    """How many events a file has, while another process writes it."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            count: int = file.execute("select count(*) from event").fetchone()[0]
            return count
    except sqlite3.OperationalError:  # it is just being made
        return 0


async def test_a_corrupt_event_is_told(source: str, target: str, tmp_path: Path) -> None:
    damage(tmp_path / SOURCE, "update event set data = x'31' where position = 2")
    code, printed, complained = command("copy", source, target)
    assert (code, printed) == (1, "")
    sentence = "event 2 of counter-a (Counted) cannot be read: its checksum differs from its content"
    assert complained == f"error: {sentence}\n"


async def test_a_difference_is_told_and_is_the_exit_code(source: str, target: str, tmp_path: Path) -> None:
    assert command("copy", source, target)[0] == 0
    damage(tmp_path / TARGET, "update event set recorded_at = 1000000 where position = 2")  # the checksum is without it
    at = (await log_of(source))[1].recorded_at
    code, printed, _ = command("copy", source, target)
    assert code == 1
    first, second, mine, other = printed.splitlines()
    assert (first, second) == ("0 events copied, up to position 3", "The logs differ at position 2")
    assert mine == f"  from: version 2 of counter-a (Counted), recorded_at {at!r}"
    assert other.startswith(
        "  to:   version 2 of counter-a (Counted), recorded_at datetime.datetime(1970, 1, 1, 0, 0, 1,"
    )
    code, printed, _ = command("copy", source, target, "--json")
    assert code == 1
    assert json.loads(printed)["difference"] == {"position": 2, "fields": ["recorded_at"]}


async def test_a_hole_in_a_stream_is_not_copied(source: str, target: str, tmp_path: Path) -> None:
    damage(tmp_path / SOURCE, "delete from event where position = 1")
    code, _, complained = command("copy", source, target)
    assert (code, complained) == (1, "error: version 2 of counter-a cannot come after version 0\n")
    assert await log_of(target) == []


async def test_what_cannot_be_copied_into_is_wrong_usage(source: str, target: str, tmp_path: Path) -> None:
    code, _, complained = command("copy", source, source)
    assert (code, complained) == (2, "error: both are the same log; copy into another store\n")
    code, _, complained = command("copy", "sqlite:///typo.db", target, cwd=tmp_path)
    assert (code, complained) == (2, "error: there is no store at typo.db\n")
    assert not (tmp_path / TARGET).exists()
    assert command("copy", "memory:", target)[0] == 2
    await append(target, "other", b"{}")
    code, _, complained = command("copy", source, target)
    assert code == 2
    assert "version 1 of other, position 1); copy into a new store" in complained


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(statement)
        file.commit()
