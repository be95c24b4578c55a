"""What is done on a connection of the PostgreSQL store, statement by statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from twofold.adoption import answers, check_fit
from twofold.errors import EventIdTaken, IdempotencyKeyReused, ProjectionFailed, StoreUnavailable
from twofold.events import Receipt, Recorded, microseconds
from twofold.messages import Idempotency
from twofold.sql import Fetch, Fold, Row, Work
from twofold.store import Progress, Remembered, without_checkpoint
from twofold.stores.postgres import rows as sql
from twofold.stores.postgres.driver import Connection, Overtaken
from twofold.stores.rows import page_of, row_of

T = TypeVar("T")

SWAP = "set local lock_timeout = '1s'"  # readers and appends queue behind who waits for a table that is to be dropped


async def drive(connection: Connection, work: Work[T]) -> T:
    """Run the work's statements in the transaction that is open."""
    rows: list[Row] = []
    try:
        step = next(work)
        while True:
            if isinstance(step, Fetch):
                rows = await connection.rows(step.sql, step.parameters)
            else:
                await connection.run(step.sql, step.rows)
                rows = []
            step = work.send(rows)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


async def drive_fold(connection: Connection, name: str, fold: Fold, events: Sequence[Recorded[bytes]]) -> None:
    """Run a fold's work; whatever is wrong with the fold itself becomes a ProjectionFailed with its name."""
    try:
        await drive(connection, fold(events))
    except (StoreUnavailable, asyncio.CancelledError):
        raise
    except BaseException as error:  # even an exit: nothing of a fold may end the task that writes
        raise ProjectionFailed(name, f"{type(error).__name__}: {error}") from error


async def page(connection: Connection, after: int, limit: int) -> list[Recorded[bytes]]:
    """The next events of the log."""
    return page_of(await connection.rows(sql.READ_ALL, (after, limit))).whole()


async def head(connection: Connection) -> int:
    """The position of the last event; 0 in an empty log."""
    ((position,),) = await connection.rows(sql.HEAD)
    return int(position)


async def locked(connection: Connection, *names: str) -> dict[str, int]:
    """The positions that folds have reached; they move for nobody else until the transaction ends."""
    return dict(await connection.rows(sql.LOCK_CHECKPOINTS, (names,)))


async def advance(connection: Connection, name: str, fold: Fold, limit: int) -> Progress:
    """Fold the next events after the checkpoint, in a transaction of their own."""
    reached = await _checkpoint(connection, name)
    if reached is None:
        raise without_checkpoint(name)
    last = await head(connection)
    if reached >= last or not limit:  # to look, and find nothing new, writes nothing
        return Progress(reached, last)
    async with connection.transaction():
        reached, _ = await _step(connection, name, fold, limit, await _reached(connection, name))
        return Progress(reached, await head(connection))


async def promote(
    connection: Connection, name: str, fold: Fold, *, to: str, swap: Callable[[], Work[None]], limit: int
) -> Progress:
    """Fold the next events; behind the last one, swap.

    What is appended meanwhile comes after the checkpoint that is handed over, so nothing is missed.
    """
    async with connection.transaction():
        await connection.run(SWAP)
        reached, more = await _step(connection, name, fold, limit, await _reached(connection, name, to))
        if more:
            return Progress(reached, await head(connection))
        await drive(connection, swap())
        await connection.run(sql.DELETE_CHECKPOINT, ((name,),))
        await connection.run(sql.PUT_CHECKPOINT, ((to, reached),))
        return Progress(reached, reached)


async def _step(connection: Connection, name: str, fold: Fold, limit: int, reached: int) -> tuple[int, bool]:
    """Fold the next events; the position of the last one, and whether there are more."""
    events = await page(connection, reached, min(limit, 2**62) + 1)
    more, events = len(events) > limit, events[:limit]
    if events:
        await drive_fold(connection, name, fold, events)
        reached = events[-1].position
        await connection.run(sql.SAVE_CHECKPOINTS, (([name], reached),))
    return reached, more


async def _reached(connection: Connection, name: str, *others: str) -> int:
    """The position that the fold has reached, locked as those of the others are."""
    known = await locked(connection, name, *others)
    if name not in known:
        raise without_checkpoint(name)
    return known[name]


async def _checkpoint(connection: Connection, name: str) -> int | None:
    found = await connection.rows(sql.CHECKPOINT, (name,))
    return int(found[0][0]) if found else None


async def reset(connection: Connection, name: str, work: Callable[[], Work[None]], *, only_new: bool) -> None:
    """Put the checkpoint to 0 and run the work; with `only_new` only if there is none."""
    if only_new and await _checkpoint(connection, name) is not None:
        return
    async with connection.transaction():
        is_new, _ = await _made(connection, name)
        if is_new or not only_new:
            await drive(connection, work())
            await connection.run(sql.SAVE_CHECKPOINTS, (([name], 0),))


async def replace_checkpoint(
    connection: Connection, lock: int, name: str, work: Callable[[int | None], Work[int | None]]
) -> None:
    """Put the checkpoint where the work says, with no append in between."""
    async with connection.transaction():
        await connection.rows(sql.LOCK, (lock,))
        is_new, reached = await _made(connection, name)
        position = await drive(connection, work(None if is_new else reached))
        if position is None:
            await connection.run(sql.DELETE_CHECKPOINT, ((name,),))
        else:
            await connection.run(sql.SAVE_CHECKPOINTS, (([name], position),))


async def _made(connection: Connection, name: str) -> tuple[bool, int]:
    """A checkpoint, locked, made if there was none: whether it was, and its position. Raises Overtaken."""
    is_new = await connection.rows(sql.NEW_CHECKPOINT, (name,))  # waits for who makes it at this moment
    known = await locked(connection, name)
    if name not in known:  # it was there, and who held it has given it to another name
        raise Overtaken(f"the checkpoint {name} was removed meanwhile")
    return bool(is_new), known[name]


async def adopt(connection: Connection, lock: int, events: Sequence[Recorded[bytes]]) -> None:
    """Add the events of another log as they are there, and what their appends were answered."""
    async with connection.transaction():
        await connection.rows(sql.LOCK, (lock,))
        last_of = await connection.rows(sql.LAST_OF_STREAMS, (list({event.stream for event in events}),))
        last = await head(connection)
        check_fit(events, last, {stream: version for stream, version in last_of if version is not None})
        there = {row[0] for row in await connection.rows(sql.FIND_IDS, ([event.id for event in events],))}
        for event in events:
            if event.id in there:
                raise EventIdTaken(event.stream)
        before = await page(connection, last - 1, 1)
        await connection.run(sql.INSERT, (list(zip(*map(row_of, events), strict=True)),))
        asked = list(answers(events, before[0] if before else None))
        keys = [answered.answer.idempotency.key for answered in asked]
        known = {key: remembered(key, [row]) for key, *row in await connection.rows(sql.RECALL_ALL, (keys,))}
        kept: dict[str, Remembered] = {}
        for answered in asked:
            key = answered.answer.idempotency.key
            if answered.replaces(kept.get(key) or known.get(key)):
                kept[key] = answered.answer
        if kept:
            await connection.run(sql.REMEMBER, [_row_of(answer) for answer in kept.values()])


def _row_of(answer: Remembered) -> Row:
    receipt = answer.receipt
    place = (None, None, None) if receipt is None else (receipt.stream, receipt.version, receipt.position)
    asked, at = answer.idempotency, microseconds(datetime.now(UTC))
    return (asked.key, asked.fingerprint, *place, answer.refusal, at)


async def recall(connection: Connection, key: str) -> Remembered | None:
    """What is kept under an idempotency key."""
    return remembered(key, await connection.rows(sql.RECALL, (key,)))


def remembered(key: str, found: Sequence[Sequence[Any]]) -> Remembered | None:
    """What the rows of `RECALL` say."""
    if not found:
        return None
    fingerprint, stream, version, position, refusal = found[0]
    receipt = None if stream is None else Receipt(stream, version, position)
    return Remembered(Idempotency(key, fingerprint), receipt, refusal)


async def refuse(connection: Connection, idempotency: Idempotency, refusal: bytes) -> Remembered:
    """Keep a refusal, unless an answer is kept already."""
    at = microseconds(datetime.now(UTC))
    known = await recall(connection, idempotency.key)
    if known is None:
        await connection.run(sql.REFUSE, ((idempotency.key, idempotency.fingerprint, refusal, at),))
        known = await recall(connection, idempotency.key)
    if known is None or known.idempotency.fingerprint != idempotency.fingerprint:
        raise IdempotencyKeyReused(idempotency.key)
    return known
