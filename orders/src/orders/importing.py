"""Orders from a file into the service: many at once, and each exactly once however often the import is run.

Each order of a file has a key of its own, made from what the file says and not from where it stands. The keys go along
as idempotency keys, so an import that was broken off is finished by running it again.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import NamedTuple, Protocol

import msgspec

from orders.domain import Status
from twofold import TwofoldError

WALK = (Status.CONFIRMED, Status.SHIPPED, Status.DELIVERED)


class Line(msgspec.Struct, frozen=True):
    """A line of the file. The order is passed on as it stands: no number in it goes through a float."""

    order: msgspec.Raw
    ships: bool = False


class Refused(Exception):
    """An order, or a step of its walk, was refused for good. The import goes on with the others."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("; ".join(self.sentences))


class ImportStopped(TwofoldError):
    """The import cannot go on: what it imports into does not answer."""


class Created(NamedTuple):
    """An order that is there now; `repeated` if it was there before."""

    order_id: str
    repeated: bool


class Destination(Protocol):
    """What orders are imported into. Both methods raise Refused and ImportStopped."""

    async def create(self, key: str, order: bytes) -> Created:
        """Create the order of this JSON, once for each key."""
        ...

    async def go_on(self, key: str, order_id: str, status: Status) -> bool:
        """Bring the order to the status, once for each key; whether this had been done before."""
        ...


class Refusal(msgspec.Struct, frozen=True, rename="camel"):
    """What was refused, and why. There is an order if its creation was not what was refused."""

    line: int
    sentences: tuple[str, ...]
    order_id: str | None = None


class Summary(msgspec.Struct, rename="camel"):
    """What an import did. The counts of what was there before are of earlier runs."""

    lines: int = 0
    created: int = 0
    already_there: int = 0
    delivered: int = 0
    already_delivered: int = 0
    refused: list[Refusal] = []

    def refuse(self, line: int, sentences: Iterable[str], order_id: str | None = None) -> None:
        """Note a refusal, in the order of the lines: they are not done in that order."""
        insort(self.refused, Refusal(line, tuple(sentences), order_id), key=attrgetter("line"))


class _Order(NamedTuple):
    line: int
    key: str
    order: bytes
    ships: bool


async def import_orders(
    lines: Iterable[bytes],
    destination: Destination,
    summary: Summary,
    *,
    batch: str = "",
    in_flight: int,
    on_line: Callable[[int], None] = lambda _done: None,
) -> None:
    """Import every line; what came of it is noted in `summary`, which is true also after an interruption.

    `on_line` is told how many lines are done. Raises ImportStopped.
    """
    orders = _read(lines, summary, batch)

    async def work() -> None:
        for order in orders:  # shared: each worker takes the next one
            try:
                await _import(order, destination, summary)
            finally:
                on_line(summary.lines)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(in_flight):
                workers.create_task(work())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # the first to fail stopped the others


def _read(lines: Iterable[bytes], summary: Summary, batch: str) -> Iterator[_Order]:
    """The orders of the file with their keys. What is no order is refused here."""
    decode = msgspec.json.Decoder(Line).decode
    seen: Counter[bytes] = Counter()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        summary.lines += 1
        try:
            line = decode(text)
        except msgspec.ValidationError as error:
            summary.refuse(number, [f"The line is not an order: {error}"])
        except (msgspec.DecodeError, RecursionError) as error:
            summary.refuse(number, [f"The line is not JSON: {error}"])
        else:
            order = bytes(line.order)
            digest = hashlib.sha256(batch.encode() + b"\0" + order).digest()
            seen[digest] += 1  # who orders the same twice means it
            yield _Order(number, f"import-{digest.hex()[:40]}-{seen[digest]}", order, line.ships)


async def _import(order: _Order, destination: Destination, summary: Summary) -> None:
    order_id: str | None = None
    repeated = False
    try:
        order_id, repeated = await destination.create(order.key, order.order)
        if repeated:
            summary.already_there += 1
        else:
            summary.created += 1
        if order.ships:
            for status in WALK:
                repeated = await destination.go_on(f"{order.key}-{status}", order_id, status)
            if repeated:
                summary.already_delivered += 1
            else:
                summary.delivered += 1
    except Refused as refused:
        summary.refuse(order.line, refused.sentences, order_id)
