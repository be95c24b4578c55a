"""What is done inside a transaction of the SQLite store, statement by statement."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.adoption import answers, check_fit
from twofold.errors import Conflict, EventIdTaken, IdempotencyKeyReused, TwofoldError
from twofold.events import NewEvent, Receipt, Recorded
from twofold.messages import Idempotency
from twofold.sql import Fold
from twofold.store import Progress, Remembered, Snapshot, without_checkpoint
from twofold.stores.rows import page_of, recorded_of, row_of
from twofold.stores.sqlite.checkpoints import checkpoint, save_checkpoint
from twofold.stores.sqlite.driver import Connection, DuplicateError
from twofold.stores.sqlite.rows import INSERT, LAST_OF_STREAM, READ_ALL
from twofold.stores.sqlite.transaction import Transaction
from twofold.stores.sqlite.work import drive_fold
from twofold.stores.sqlite.writer import Refused

FIND = "select stream, version, position from event where id = ?"
RECALL = "select fingerprint, stream, version, position, refusal from idempotency where key = ?"
REMEMBER = """
    insert or replace into idempotency (key, fingerprint, stream, version, position, refusal, recorded_at)
    values (?, ?, ?, ?, ?, ?, ?)
"""
SAVE_SNAPSHOT = """
    insert into snapshot (stream, version, position, schema, state) values (?, ?, ?, ?, ?)
    on conflict (stream) do update
    set version = excluded.version, position = excluded.position, schema = excluded.schema, state = excluded.state
    where excluded.version >= snapshot.version
"""


def append(
    transaction: Transaction,
    stream: str,
    events: Sequence[NewEvent],
    expected: int | None,
    idempotency: Idempotency | None,
) -> Receipt | Refused:
    """Add the events and keep the answer. What is `Refused` is refused before anything is written."""
    if idempotency is not None:
        known = recall(transaction.beside, idempotency.key)
        if known is not None:
            try:
                return known.answer(idempotency)
            except TwofoldError as refusal:
                return Refused(refusal)
    version, position = transaction.last_of(stream, new=expected == 0 and len(events) > 0)
    if events and (expected is None or expected != version):
        repeated = _repeated(transaction.connection, stream, events)
        if repeated is not None:
            return repeated
    if expected is not None and expected != version:
        return Refused(Conflict(stream, expected, version))

    if events:
        added = recorded_of(events, stream, version, transaction.head, transaction.at)
        try:
            transaction.add(added, [row_of(event, new.metadata) for event, new in zip(added, events, strict=True)])
        except DuplicateError as error:  # the versions were looked at above, so it is an id
            repeated = _repeated(transaction.connection, stream, events)
            if isinstance(repeated, Receipt):  # all are there, so the first row was refused: nothing was written
                return repeated
            raise EventIdTaken(stream) from error
        version, position = added[-1].version, added[-1].position
    receipt = Receipt(stream, version, position)
    if idempotency is not None:
        remember(transaction, Remembered(idempotency, receipt, None))
    return receipt


def _repeated(connection: Connection, stream: str, events: Sequence[NewEvent]) -> Receipt | Refused | None:
    """The first receipt, if these very events are in the log already."""
    found = [connection.get(FIND, (event.id.bytes,)) for event in events]
    if not any(found):
        return None
    versions = [row[1] for row in found if row is not None and row[0] == stream]
    if len(versions) < len(events) or versions != list(range(versions[0], versions[0] + len(events))):
        return Refused(EventIdTaken(stream))
    _, version, position = found[-1]
    return Receipt(stream, version, position, repeated=True)


def adopt(transaction: Transaction, events: Sequence[Recorded[bytes]]) -> Refused | None:
    """Add the events of another log as they are there, and what their appends were answered."""
    connection = transaction.connection
    streams = {event.stream for event in events}
    last_of = {stream: connection.get(LAST_OF_STREAM, (stream,)) for stream in streams}
    try:
        check_fit(events, transaction.head, {stream: last[0] for stream, last in last_of.items() if last is not None})
    except TwofoldError as refusal:
        return Refused(refusal)
    for event in events:
        if connection.get(FIND, (event.id.bytes,)) is not None:
            return Refused(EventIdTaken(event.stream))
    last = page_of(connection.rows(READ_ALL, (transaction.head - 1, 1))).whole()
    connection.run_many(INSERT, [row_of(event) for event in events])
    for answered in answers(events, last[0] if last else None):
        if answered.replaces(recall(connection, answered.answer.idempotency.key)):
            remember(transaction, answered.answer)
    transaction.adopted(events)
    return None


def recall(connection: Connection, key: str) -> Remembered | None:
    """What is kept under an idempotency key."""
    row = connection.get(RECALL, (key,))
    if row is None:
        return None
    fingerprint, stream, version, position, refusal = row
    receipt = None if stream is None else Receipt(stream, version, position)
    return Remembered(Idempotency(key, fingerprint), receipt, refusal)


def remember(transaction: Transaction, answer: Remembered) -> None:
    """Keep an answer under its key, in place of what is there: who must not, looks before."""
    receipt = answer.receipt
    transaction.beside.run(
        REMEMBER,
        (
            answer.idempotency.key,
            answer.idempotency.fingerprint,
            receipt and receipt.stream,
            receipt and receipt.version,
            receipt and receipt.position,
            answer.refusal,
            transaction.at,
        ),
    )


def refuse(transaction: Transaction, idempotency: Idempotency, refusal: bytes) -> Remembered | Refused:
    """Keep a refusal, unless an answer is kept already."""
    known = recall(transaction.beside, idempotency.key)
    if known is None:
        known = Remembered(idempotency, None, refusal)
        remember(transaction, known)
    elif known.idempotency.fingerprint != idempotency.fingerprint:
        return Refused(IdempotencyKeyReused(idempotency.key))
    return known


def save_snapshot(transaction: Transaction, stream: str, snapshot: Snapshot) -> None:
    """Keep a snapshot, unless a later one is kept."""
    transaction.beside.run(
        SAVE_SNAPSHOT,
        (stream, *snapshot),
    )


def advance(transaction: Transaction, name: str, fold: Fold, limit: int) -> Progress:
    """Fold the next events after the checkpoint."""
    connection = transaction.connection
    reached = checkpoint(connection, name)
    if reached is None:
        raise without_checkpoint(name)
    events = page_of(connection.rows(READ_ALL, (reached, limit))).whole()
    if events:  # to look, and find nothing new, writes nothing
        drive_fold(connection, name, fold, events)
        reached = events[-1].position
        save_checkpoint(connection, name, reached)
    return Progress(reached, transaction.head)
