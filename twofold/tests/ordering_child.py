"""A process of its own that writes to a store that others write to as well, for the torture of its order.

    python ordering_child.py <url> <writers> <events> <seed>

It says that it is ready, waits for a line of input, writes, and tells what became of each append, as a line of JSON.
"""

import asyncio
import json
import random
import signal
import sys

from twofold.connect import connect
from twofold.errors import ProjectionFailed, StoreUnavailable
from twofold.store import Store
from twofold.testing.contract_base import happened, seen_by, several
from twofold.testing.contract_history import History

LIFE = 900  # seconds: no process is left over from a test that failed
STREAMS = 8


async def write(store: Store, history: History, chance: random.Random, events: int) -> None:
    """Append so many events, one to four at a time; some appends fail in the view, and so are rolled back."""
    while events > 0:
        count = chance.randint(1, 4)
        stream = f"order-{chance.randrange(STREAMS)}"
        appended = several(count)
        if chance.random() < 0.05:
            appended.append(happened(b"1", type="Poison"))
        ids = [event.id for event in appended]
        try:
            receipt = await store.append(stream, appended, expected=None)
        except (ProjectionFailed, StoreUnavailable):  # too busy, where the machine is
            history.refused.append(ids)
        else:
            history.acknowledged.append((receipt, ids))
            events -= count
        if chance.random() < 0.1:  # out of step with the others
            await asyncio.sleep(chance.random() * 0.002)


async def main(url: str, writers: int, events: int, seed: str) -> None:
    """Write, and tell the history."""
    history = History()
    async with connect(url) as store:
        await seen_by(store)
        print("ready", flush=True)  # noqa: T201 - the parent reads it
        await asyncio.to_thread(sys.stdin.readline)
        share = events // writers + 1
        await asyncio.gather(
            *(write(store, history, random.Random(f"{seed} {number}"), share) for number in range(writers))
        )
    told = {
        "acknowledged": [
            [receipt.stream, receipt.version, receipt.position, [str(id) for id in ids]]
            for receipt, ids in history.acknowledged
        ],
        "refused": [[str(id) for id in ids] for ids in history.refused],
    }
    print(json.dumps(told), flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    signal.alarm(LIFE)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
