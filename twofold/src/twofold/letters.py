"""What is written of parked letters inside a transaction: parked, put behind others, drained, skipped, handed over.

A letter is a reference into the log: an event that a subscription could not pass, or one that waits behind it in its
sequence. Whoever changes the letters of a part locks the part first, so all of this comes one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from twofold.claims import Claims, microseconds
from twofold.errors import LetterRefused, LetterUnknown, SkipOvertaken
from twofold.sequences import Failure, Failures, GivenUp, Part, Subscriber, partition_of, stream_sequence
from twofold.sql import Work

BEHIND = "an earlier event of its sequence is parked"
RETRY_SECONDS = (0.2, 1.0, 5.0)  # until a letter is tried again by itself; after the last it waits to be asked
SEQUENCES_LIMIT = 1000  # parked sequences of one subscription, as in Axon's dead-letter queue

parked = sa.Table(
    "parked",
    sa.MetaData(),
    *(sa.Column(name, sa.Text) for name in ("name", "sequence")),
    *(sa.Column(name, sa.BigInteger) for name in ("position", "partition", "attempts")),
    sa.Column("error", sa.Text),
    *(sa.Column(name, sa.BigInteger) for name in ("parked_at", "retry_at")),
    sa.Column("skipped", sa.Text),
    sa.Column("overtaken", sa.BigInteger),
    sa.Column("trace", sa.Text),
)


class Letter(NamedTuple):
    """A parked event: of which subscription and sequence, where in the log, why, and how often it was tried.

    `error` is that of the last attempt, or says that it waits behind another; `trace` is where in the code it was
    raised, see `trace_of`, and None for what waits or was parked by a process that kept none. `skipped` is the reason
    for which it is left out. `parked_at` and `retry_at` are microseconds since 1970, UTC.
    """

    name: str
    sequence: str
    position: int
    partition: int
    attempts: int
    error: str
    parked_at: int
    retry_at: int | None
    skipped: str | None
    overtaken: int
    trace: str | None


of_name = parked.c.name == sa.bindparam("b_name")
of_part = sa.and_(of_name, parked.c.partition == sa.bindparam("b_partition"))
_of_sequence = sa.and_(of_part, parked.c.sequence == sa.bindparam("b_sequence"))
waiting = parked.c.skipped.is_(None)
_letter = sa.and_(_of_sequence, parked.c.position == sa.bindparam("b_position"))

# Asked in every transaction: of each sequence a row or two are looked up, however many letters it has. LIMIT keeps
# PostgreSQL from reading all of them where it has not counted them yet.
_SEQUENCES = sa.text(
    """
    WITH RECURSIVE found (sequence) AS (
        SELECT (
            SELECT sequence FROM parked
            WHERE name = :b_name AND partition = :b_partition ORDER BY sequence LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT parked.sequence FROM parked
            WHERE name = :b_name AND partition = :b_partition AND parked.sequence > found.sequence
            ORDER BY parked.sequence LIMIT 1
        )
        FROM found WHERE found.sequence IS NOT NULL
    )
    SELECT found.sequence, (
        SELECT position FROM parked
        WHERE name = :b_name AND partition = :b_partition AND parked.sequence = found.sequence AND skipped IS NULL
        ORDER BY position LIMIT 1
    ) IS NOT NULL
    FROM found WHERE found.sequence IS NOT NULL
    """
)
_GIVEN = ("name", "sequence", "position", "partition", "attempts", "error", "trace", "parked_at", "retry_at")
_INSERT = sa.insert(parked).values({**{name: sa.bindparam(name) for name in _GIVEN}, "skipped": None, "overtaken": 0})
_OVERTAKE = (
    sa.update(parked).where(_of_sequence, ~waiting, parked.c.position < sa.bindparam("b_before")).values(overtaken=1)
)
POSITIONS = (
    sa.select(parked.c.position).where(_of_sequence, waiting).order_by(parked.c.position).limit(sa.bindparam("b_limit"))
)
_ONE = sa.select(*parked.c).where(_letter)
_DELETE = sa.delete(parked).where(_letter)
_FAILED = (
    sa.update(parked)
    .where(_letter)
    .values(
        attempts=parked.c.attempts + 1,
        error=sa.bindparam("b_error"),
        trace=sa.bindparam("b_trace"),
        retry_at=sa.bindparam("b_retry_at"),
    )
)
_SKIP = sa.update(parked).where(_letter).values(skipped=sa.bindparam("b_reason"))
_TRY = sa.update(parked).where(_letter).values(retry_at=sa.bindparam("b_now"))
LETTERS = sa.select(*parked.c).where(of_name).order_by(parked.c.sequence, parked.c.position, parked.c.partition)
COUNT = sa.select(sa.func.count(), sa.func.count(sa.distinct(parked.c.sequence))).where(of_name, waiting)
_FORGET = sa.delete(parked).where(of_name)
_RENAME = sa.update(parked).where(of_name).values(name=sa.bindparam("b_new_name"))
_REPARTITION = sa.update(parked).where(_letter).values(partition=sa.bindparam("b_new_partition"))
_COPY = sa.insert(parked).values({column.name: sa.bindparam(column.name) for column in parked.c})


class Letters:
    """The letters of all subscriptions of a store, as work for a transaction that has locked the part."""

    def __init__(self, dialect: str) -> None:
        self._claims = Claims(dialect)

    def fold(
        self, subscriber: Subscriber, partition: int, parts: Sequence[Part], failures: Failures, draining: str = ""
    ) -> Work[None]:
        """Fold the parts whose sequences can go on; park those that fail, and those that must wait.

        An event whose stream is parked waits there with all its parts, so that no part of it is ever in two places.
        `draining` is the sequence from which the parts come and for which they need not wait.
        """
        name = subscriber.name
        stuck, skipped = yield from self._sequences(name, partition)
        stuck.discard(draining)
        going: list[Part] = []
        letters: dict[tuple[str, int], Part] = {}
        passed: dict[str, int] = {}  # the sequences of which something was skipped and an event came after it
        for part in parts:
            stream, position = stream_sequence(part.event.stream), part.event.position
            where = next(
                (each for each in (stream, part.sequence) if each in stuck or _at(failures, each, position)), ""
            )
            if where:
                letters[where, position] = Part(where, part.event)
            else:
                going.append(part)
            if where != stream and stream in skipped:
                passed[stream] = position
        yield from subscriber.fold(going, failures)
        for part in going:
            if _at(failures, part.sequence, part.event.position):
                letters[part.sequence, part.event.position] = part
            elif part.sequence in skipped:
                passed[part.sequence] = part.event.position
        yield from self._park(name, partition, letters.values(), failures)
        for sequence, position in passed.items():
            yield from self._overtake(name, partition, sequence, position)

    def _sequences(self, name: str, partition: int) -> Work[tuple[set[str], set[str]]]:
        """The sequences that are parked, and those of which something was skipped and that go on."""
        rows = yield from self._claims.fetch(_SEQUENCES, b_name=name, b_partition=partition)
        return {row[0] for row in rows if row[1]}, {row[0] for row in rows if not row[1]}

    def _park(self, name: str, partition: int, parts: Iterable[Part], failures: Failures) -> Work[None]:
        """Park these parts: the failed ones, to be tried again soon, and those behind them."""
        now = microseconds()
        rows: list[dict[str, object]] = []
        for sequence, event in parts:
            failure = failures.get(sequence)
            failed = failure is not None and failure.position == event.position
            rows.append(
                {
                    "name": name,
                    "partition": partition,
                    "sequence": sequence,
                    "position": event.position,
                    "attempts": 1 if failed else 0,
                    "error": failure.error if failure is not None and failed else BEHIND,
                    "trace": failure.trace if failure is not None and failed else None,
                    "parked_at": now,
                    "retry_at": _retry_at(1) if failed else None,
                }
            )
        yield from self._claims.run(_INSERT, *rows)

    def _overtake(self, name: str, partition: int, sequence: str, position: int) -> Work[None]:
        """Note that an event at this position was folded: what was skipped before it cannot come back."""
        yield from self._claims.run(
            _OVERTAKE, {"b_name": name, "b_partition": partition, "b_sequence": sequence, "b_before": position}
        )

    def check_limit(self, name: str, failures: Failures) -> Work[None]:
        """Raise GivenUp where so many sequences are parked that the fold itself must be broken."""
        if failures and (yield from self._claims.fetch(COUNT, b_name=name))[0][1] > SEQUENCES_LIMIT:
            last = max(failures.values()).place
            raise GivenUp(f"more than {SEQUENCES_LIMIT} sequences are parked; the last: {last}")

    def drained(self, name: str, partition: int, sequence: str, positions: Sequence[int]) -> Work[None]:
        """Remove the first letters of a sequence, which were folded; the next one is due at once."""
        key = _key(name, partition, sequence)
        yield from self._claims.run(_DELETE, *({**key, "b_position": position} for position in positions))
        if positions:
            yield from self._overtake(name, partition, sequence, positions[-1])
            for (position,) in (yield from self._claims.fetch(POSITIONS, **key, b_limit=1)):
                yield from self._claims.run(_TRY, {**key, "b_position": position, "b_now": microseconds()})

    def failed(self, name: str, partition: int, sequence: str, failure: Failure) -> Work[None]:
        """Note a failed attempt, and when the next is due."""
        letter = {**_key(name, partition, sequence), "b_position": failure.position}
        for row in (yield from self._claims.fetch(_ONE, **letter)):
            retry_at = _retry_at(Letter(*row).attempts + 1)
            why = {"b_error": failure.error, "b_trace": failure.trace, "b_retry_at": retry_at}
            yield from self._claims.run(_FAILED, {**letter, **why})

    def leave_out(self, letter: Letter, reason: str) -> Work[None]:
        """Leave the first letter of its sequence out; the next is due at once."""
        yield from self._claims.lock_part(letter.name, letter.partition)
        key = _key(letter.name, letter.partition, letter.sequence)
        known = yield from self._known(letter)
        if known.skipped is not None:
            raise LetterRefused(letter.name, letter.position, f"is skipped already, for: {known.skipped}")
        first = yield from self._claims.fetch(POSITIONS, **key, b_limit=2)
        if first[0][0] != letter.position:
            reason = f"waits behind event {first[0][0]}: only the first can be skipped"
            raise LetterRefused(letter.name, letter.position, reason)
        yield from self._claims.run(_SKIP, {**key, "b_position": letter.position, "b_reason": reason})
        for (position,) in first[1:]:
            yield from self._claims.run(_TRY, {**key, "b_position": position, "b_now": microseconds()})

    def take_back(self, letter: Letter) -> Work[None]:
        """Take a skipped letter back into its sequence."""
        yield from self._claims.lock_part(letter.name, letter.partition)
        key = {**_key(letter.name, letter.partition, letter.sequence), "b_position": letter.position}
        known = yield from self._known(letter)
        if known.skipped is None:
            raise LetterRefused(letter.name, letter.position, "is not skipped: it waits")
        if known.overtaken:
            raise SkipOvertaken(letter.name, letter.sequence, letter.position)
        yield from self._claims.run(_SKIP, {**key, "b_reason": None})

    def _known(self, letter: Letter) -> Work[Letter]:
        """The letter as it stands now."""
        key = _key(letter.name, letter.partition, letter.sequence)
        rows = yield from self._claims.fetch(_ONE, **key, b_position=letter.position)
        if not rows:
            raise LetterUnknown(letter.name, letter.position, letter.sequence)
        return Letter(*rows[0])

    def any(self, name: str) -> Work[bool]:
        """Whether any letter waits."""
        count: int = (yield from self._claims.fetch(COUNT, b_name=name))[0][0]
        return count > 0

    def forget(self, name: str) -> Work[None]:
        """Remove all letters of a subscription: it begins anew."""
        yield from self._claims.run(_FORGET, {"b_name": name})

    def hand_over(self, name: str, to: str, partitions: int) -> Work[None]:
        """Give all letters of a subscription, which runs in one part or in as many, to another in its place."""
        if len((yield from self._claims.parts(name))) != partitions:
            rows = yield from self._claims.fetch(LETTERS, b_name=name)
            for letter in (Letter(*row) for row in rows):
                yield from self._spread(letter, partitions)
        yield from self._claims.run(_RENAME, {"b_name": name, "b_new_name": to})

    def _spread(self, letter: Letter, partitions: int) -> Work[None]:
        """Put a letter of part 0 where it belongs among several. That of a stream belongs to each: see `fold`."""
        if letter.sequence.startswith(stream_sequence("")):
            for number in range(1, partitions):
                yield from self._claims.run(_COPY, letter._replace(partition=number)._asdict())
        else:
            key = {**_key(letter.name, letter.partition, letter.sequence), "b_position": letter.position}
            new = partition_of(letter.sequence, partitions)
            yield from self._claims.run(_REPARTITION, {**key, "b_new_partition": new})


def _key(name: str, partition: int, sequence: str) -> dict[str, object]:
    return {"b_name": name, "b_partition": partition, "b_sequence": sequence}


def _at(failures: Failures, sequence: str, position: int) -> bool:
    """Whether the sequence has failed at this position, or before it."""
    failure = failures.get(sequence)
    return failure is not None and failure.position <= position


def _retry_at(attempts: int) -> int | None:
    if attempts > len(RETRY_SECONDS):
        return None
    return microseconds() + round(RETRY_SECONDS[attempts - 1] * 1e6)
