"""Several real processes on one SQLite file, their sudden death, and a disk whose fsync fails."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any
from uuid import UUID

import pytest

from twofold.events import Receipt
from twofold.stores.sqlite import SqliteStore
from twofold.testing.contract_base import Seen, whole
from twofold.testing.contract_history import History, check_log, check_whole

CHILD = Path(__file__).with_name("sqlite_child.py")
PATIENCE = 60.0


class Child:
    """A process that runs `sqlite_child.py`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *arguments: object, under: Sequence[str] = ()) -> Child:
        command = [*under, sys.executable, str(CHILD), *(str(argument) for argument in arguments)]
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**26))

    async def tell(self, line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def hear(self) -> list[Any] | None:
        """The next line that it says; None at the end. What was cut off by its death was not said."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        words: list[Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return words

    async def hear_all(self) -> list[list[Any]]:
        heard: list[list[Any]] = []
        while (words := await self.hear()) is not None:
            heard.append(words)
        return heard

    async def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()


def noted(history: History, words: Sequence[Any]) -> None:
    """Note what a child said of its appends."""
    match words:
        case ["acknowledged", stream, version, position, ids]:
            history.acknowledged.append((Receipt(stream, version, position), [UUID(id) for id in ids]))
        case ["refused", ids]:
            history.refused.append([UUID(id) for id in ids])
        case ["OutcomeUnknown", ids]:
            history.unknown.append([UUID(id) for id in ids])
        case ["StoreFailed", ids]:
            history.refused.append([UUID(id) for id in ids])
        case _:
            pass


# --- several at once --------------------------------------------------------------------------------------------------


async def test_processes_that_start_at_once_create_the_schema_once(tmp_path: Path) -> None:
    children = [await Child.start("open") for _ in range(3)]
    for child in children:
        assert await child.hear() == ["ready"]
    for number in range(10):
        path = tmp_path / f"{number}.db"
        for child in children:
            await child.tell(path)
        said = [await child.hear() for child in children]
        assert sorted(said, key=str) == [["opened", 1], ["opened", 2], ["opened", 3]]
        async with SqliteStore(path) as store:
            check_log(await whole(store))
    assert [await child.end() for child in children] == [0, 0, 0]


async def test_two_processes_write_and_read_at_once(tmp_path: Path) -> None:
    await write_and_read_at_once(tmp_path / "store.db", processes=2, writers=6, appends=10)


@pytest.mark.soak
async def test_four_processes_write_and_read_at_once_for_long(tmp_path: Path) -> None:
    await write_and_read_at_once(tmp_path / "store.db", processes=4, writers=12, appends=200)


async def write_and_read_at_once(path: Path, *, processes: int, writers: int, appends: int) -> None:
    history = History()
    async with SqliteStore(path) as store:
        children = [await Child.start("follow", path, writers, appends) for _ in range(processes)]
        for child in children:
            assert await child.hear() == ["ready"]
        following = asyncio.create_task(history.follow(store))
        for child in children:
            await child.tell("go")
        for child in children:
            assert await child.hear() == ["written"]
        await history.end(store)
        await following
        log = await whole(store)
        for child in children:
            for words in await child.hear_all():
                noted(history, words)
                if words[0] == "seen":
                    assert words[1] == [[recorded.position, str(recorded.id)] for recorded in log]
            assert await child.end() == 0
        assert len(history.acknowledged) + len(history.refused) == processes * writers * appends + 1
        history.check(log)
        view = Seen(store)
        store.attach(view.name, view.fold)
        await store.advance(view.name, view.fold, limit=10)  # the end was appended here, without the fold
        assert await view.positions(store) == [recorded.position for recorded in log]


# --- death ------------------------------------------------------------------------------------------------------------


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path / "store.db", times=20)


@pytest.mark.soak
async def test_nothing_acknowledged_is_lost_in_a_hundred_deaths(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path / "store.db", times=100)


def a_seed() -> int:
    """A fresh seed, shown when the test fails; TWOFOLD_TEST_SEED repeats one."""
    seed = int(os.environ.get("TWOFOLD_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"TWOFOLD_TEST_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    return seed


async def kill_again_and_again(path: Path, *, times: int) -> None:
    chance = random.Random(a_seed())
    history = History()
    nursery = await Child.start("write", path, 5)
    for _ in range(times):
        await nursery.tell("another")
        ready = await nursery.hear()
        assert ready is not None
        assert ready[0] == "ready"
        first = await nursery.hear()  # so each process has something to lose
        assert first is not None
        assert first[0] == "acknowledged"
        noted(history, first)
        await asyncio.sleep(chance.uniform(0, 0.1))
        os.kill(ready[1], signal.SIGKILL)
        while (words := await nursery.hear()) != ["dead"]:
            assert words is not None
            noted(history, words)
        async with SqliteStore(path) as store:
            log = await whole(store)
            check_whole(log)
            known = {id for ids in [*history.unknown, *(ids for _, ids in history.acknowledged)] for id in ids}
            # What was stored in the moment of death, and nobody heard of.
            history.unknown += [[recorded.id] for recorded in log if recorded.id not in known]
            history.check(log)
            view = Seen(store)
            assert await view.positions(store) == [recorded.position for recorded in log]
    assert await nursery.end() == 0
    assert len(history.acknowledged) >= times


# --- a disk that fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [6, 15])
async def test_nothing_is_acknowledged_after_an_fsync_that_failed(tmp_path: Path, when: int) -> None:
    strace = which("strace")
    if strace is None:
        pytest.skip("an fsync that fails needs strace")
    path, appends = tmp_path / "store.db", 20
    async with SqliteStore(path):
        pass
    inject = [strace, "-f", "-qq", "-e", "trace=fdatasync", "-o", str(tmp_path / "trace")]
    child = await Child.start("fail", path, appends, under=[*inject, "-e", f"inject=fdatasync:error=EIO:when={when}"])
    said = await child.hear_all()
    if not said and await child.end() != 0:
        pytest.skip("strace may not trace here")
    assert await child.end() == 0
    words = [line[0] for line in said]
    failed = words.index("OutcomeUnknown")
    assert words == [*["acknowledged"] * failed, "OutcomeUnknown", *["StoreFailed"] * (appends - failed - 1), "read"]
    assert failed > 0
    assert said[-1] == ["read", 2 * failed]
    history = History()
    for line in said:
        noted(history, line)
    async with SqliteStore(path) as store:
        history.check(await whole(store))
