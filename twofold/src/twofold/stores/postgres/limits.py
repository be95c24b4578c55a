"""What each kind of session may take: a line that is dead, or a process that has stopped, must not hold up others."""

from __future__ import annotations

from typing import NamedTuple

STATEMENT_SECONDS = 30.0  # how long the server may take for one statement
FROZEN_SECONDS = 15  # how long a process may hold a transaction open without a word: it may be stopped for good


class Limits(NamedTuple):
    """What a session may take; its name is seen in pg_stat_activity."""

    name: str = "write"
    seconds: float = STATEMENT_SECONDS
    frozen_seconds: float = FROZEN_SECONDS
    durable: bool = True


READ = Limits("read", seconds=10.0)
WRITE = Limits()
SCAN = Limits("scan", seconds=60.0)
MOMENT = Limits("moment", seconds=600.0, frozen_seconds=0)  # who compares whole views takes his time between them
BELL = Limits("bell", seconds=10.0, durable=False)  # it stores nothing, so no notification need wait for a disk
