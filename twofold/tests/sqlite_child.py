"""A process of its own on a SQLite store, for the tests of several processes and of their death.

    python sqlite_child.py <what> <path> [<number>...]

What it has to say goes to its standard output, a line at a time and at once: a reader learns of an acknowledged append
before the process can be killed.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence

from twofold.errors import OutcomeUnknown, StoreFailed
from twofold.stores.sqlite import SqliteStore
from twofold.testing.contract_base import events_of, seen_by, several, whole
from twofold.testing.contract_concurrency import write
from twofold.testing.contract_history import History

LIFE = 600  # seconds: no process is left over from a test that failed


def say(*words: object) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")  # in one call, so that death cannot part the line from its end


async def open_each() -> None:
    """Open each store that is named on standard input and append one event."""
    say("ready")
    while path := (await asyncio.to_thread(sys.stdin.readline)).strip():
        async with SqliteStore(path) as store:
            receipt = await store.append("order-1", several(1), expected=None)
        say("opened", receipt.version)


async def write_and_follow(path: str, writers: int, appends: int) -> None:
    """Write and follow the log up to its end, then tell the history."""
    history = History()
    async with SqliteStore(path) as store:
        await seen_by(store)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        following = asyncio.create_task(history.follow(store))
        await asyncio.gather(*(write(store, history, number, appends=appends) for number in range(writers)))
        say("written")
        await following
    for receipt, ids in history.acknowledged:
        say("acknowledged", receipt.stream, receipt.version, receipt.position, [str(id) for id in ids])
    for ids in history.refused:
        say("refused", [str(id) for id in ids])
    say("seen", [[recorded.position, str(recorded.id)] for recorded in history.readers[0]])


async def write_for_ever(path: str, writers: int) -> None:
    """Append until killed, and tell each append that was acknowledged."""
    async with SqliteStore(path) as store:
        await seen_by(store)

        async def run(number: int) -> None:
            stream = f"order-{number}"
            version = len(await events_of(store, stream))
            while True:
                events = several(1 + version % 3)
                receipt = await store.append(stream, events, expected=version)
                version = receipt.version
                say("acknowledged", stream, version, receipt.position, [str(event.id) for event in events])

        say("ready", os.getpid())
        await asyncio.gather(*(run(number) for number in range(writers)))


def bear_writers(path: str, writers: int) -> None:
    """For each line of input a process that writes until it is killed. A fork is ready sooner than an interpreter."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.alarm(LIFE)
            asyncio.run(write_for_ever(path, writers))
        os.waitpid(child, 0)
        say("dead")


async def write_until_it_fails(path: str, appends: int) -> None:
    """Append one after the other, and tell what came of each."""
    async with SqliteStore(path) as store:
        for number in range(appends):
            events = several(2)
            ids = [str(event.id) for event in events]
            try:
                receipt = await store.append(f"order-{number}", events, expected=0)
            except (OutcomeUnknown, StoreFailed) as error:
                say(type(error).__name__, ids)
            else:
                say("acknowledged", receipt.stream, receipt.version, receipt.position, ids)
        say("read", len(await whole(store)))


def main(what: str, arguments: Sequence[str]) -> None:
    match what, arguments:
        case "open", []:
            asyncio.run(open_each())
        case "follow", [path, writers, appends]:
            asyncio.run(write_and_follow(path, int(writers), int(appends)))
        case "write", [path, writers]:
            bear_writers(path, int(writers))
        case "fail", [path, appends]:
            asyncio.run(write_until_it_fails(path, int(appends)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    signal.alarm(LIFE)
    main(sys.argv[1], sys.argv[2:])
