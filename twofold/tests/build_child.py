"""A process of its own that builds a view, for the tests of its death and of what it costs others.

    python build_child.py (build|promote|rebuild|resume) <url> (inline|subscribed)

It tells each step of its progress on standard output, a line at a time and at once.
"""

import asyncio
import json
import os
import signal
import sys
from functools import partial

from payments import balances, views_of
from twofold import building
from twofold.connect import connect
from twofold.rebuild import build, promote, rebuild
from twofold.store import Progress
from twofold.subscription import Subscription

LIFE = 900  # seconds: no process is left over from a test that failed
LEASE = 0.5  # who was killed holds nobody up for long


def say(progress: Progress) -> None:
    os.write(1, json.dumps(progress).encode() + b"\n")  # in one call, so that death cannot part the line from its end


async def main(what: str, url: str, lifecycle: str) -> None:
    async with connect(url, create=False) as store:
        views = views_of(store, lifecycle, balances())
        match what:
            case "build":
                await build(views, "balances", say)
            case "promote":
                await promote(views, "balances", say)
            case "rebuild" | "resume":
                await rebuild(views, "balances", say, resume=what == "resume")
            case _:
                raise SystemExit(__doc__)


if __name__ == "__main__":
    signal.alarm(LIFE)
    setattr(building, "Subscription", partial(Subscription, lease_seconds=LEASE))  # noqa: B010 - to mypy it is a class
    if len(sys.argv) > 4:
        building.PAGE = int(sys.argv[4])
    asyncio.run(main(*sys.argv[1:4]))
