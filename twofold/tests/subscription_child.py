"""Processes that run a subscription, to be killed and stopped by the tests.

    python subscription_child.py <url>

For each line of standard input, a JSON object of options, it bears one: a fork is ready sooner than an interpreter.
Each says what it does on standard output, a line at a time, with its process id in front. SIGTERM ends one in order.

- `lease`: seconds; `beats`: in a lease
- `page`: how many events are folded in one transaction
- `stop_at`: the position at which it stops itself by SIGSTOP, after it has read the event and before it folds it; it is
  in no transaction then, for on SQLite all others would wait for its end
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from ledgers import ledgers
from twofold import follower as following
from twofold import subscription
from twofold.claims import Claim, Claims
from twofold.connect import connect
from twofold.follower import Follower
from twofold.running import running
from twofold.sequences import ClaimLost, Failures, Part
from twofold.sql import Work
from twofold.views import Views

LIFE = 300  # seconds: no process is left over from a test that failed


def say(*words: object) -> None:
    os.write(1, json.dumps([os.getpid(), *words]).encode() + b"\n")  # in one call: nothing comes in between


class Telling(Claims):
    """Tells when a write is refused because somebody else has the part."""

    def lock(self, claim: Claim) -> Work[int]:
        try:
            return (yield from super().lock(claim))
        except ClaimLost:
            say("refused", claim.partition)
            raise


class Stopping(Follower):
    """Stops the process by SIGSTOP before it commits the event at a position, the first time."""

    at = 0
    alone = asyncio.Lock()
    inside = ContextVar("inside", default=False)

    async def _commit(self, position: int, until: int, parts: Sequence[Part], failures: Failures) -> None:
        if not position < Stopping.at <= until:
            return await super()._commit(position, until, parts, failures)
        Stopping.at = 0
        async with self.alone:
            self.inside.set(True)
            os.kill(os.getpid(), signal.SIGSTOP)
            return await super()._commit(position, until, parts, failures)

    @classmethod
    def one_after_the_other(cls, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A store's `work` that lets nobody else in while this is about to stop."""

        async def alone(*arguments: Any) -> Any:
            if cls.inside.get():
                return await work(*arguments)
            async with cls.alone:
                return await work(*arguments)

        return alone


async def run(url: str, *, lease: float = 0.5, beats: int = 5, page: int = 500, stop_at: int = 0) -> None:
    following.PAGE, subscription.BEATS = page, beats
    patch.object(following, "Claims", Telling).start()
    patch.object(subscription, "Follower", Stopping).start()
    Stopping.at = stop_at
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    begun = False

    def advanced() -> None:
        nonlocal begun
        if not begun:
            begun = True
            say("begun")

    async with connect(url) as store:
        if stop_at:
            patch.object(store, "work", Stopping.one_after_the_other(store.work)).start()
        views = Views(store, subscribed=[ledgers()])
        await views.start()
        say("ready")
        async with running(views, lease_seconds=lease, on_advance=advanced):
            await ending.wait()
    say("ended")


def main(url: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for line in sys.stdin:
        options: dict[str, Any] = json.loads(line)
        if os.fork() == 0:
            signal.alarm(LIFE)
            asyncio.run(run(url, **options))
            os._exit(0)


if __name__ == "__main__":
    signal.alarm(2 * LIFE)
    main(sys.argv[1])
