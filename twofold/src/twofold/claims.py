"""Who runs which part of a subscription, and how far each part has come.

A claim is a row with an epoch. Whoever takes a part over raises the epoch, and every write of a subscription looks at
it in its own transaction: a process that slept through its own end (a zombie) finds another epoch and stores nothing.
Whether an owner lives is told by its beat, a number that it keeps raising. A candidate that saw the same beat for a
whole lease, by its own clock, takes over; so no two clocks are ever compared.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from twofold.sequences import ASTRAY, ClaimLost, Paused
from twofold.sql import Fetch, Row, Work
from twofold.tables import Generation

_metadata = sa.MetaData()


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key)


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False)


# The tables are made by the stores, in their schemas; here they are only spoken of.
subscription = sa.Table(
    "subscription",
    _metadata,
    _text("name", key=True),
    _number("partitions"),
    _text("paused"),
    _number("resumed"),
    _number("built"),
)
partition = sa.Table(
    "subscription_partition",
    _metadata,
    _text("name", key=True),
    _number("partition", key=True),
    *(_number(column) for column in ("position", "epoch", "beat")),
    _text("owner"),
    _text("failure"),
    _number("seen_at"),
)
member = sa.Table("subscription_member", _metadata, _text("name", key=True), _text("owner", key=True), _number("beat"))


class Claim(NamedTuple):
    """The right to run one part of a subscription, as long as nobody has raised the epoch."""

    name: str
    partition: int
    epoch: int


class Held(NamedTuple):
    """A part as its row has it."""

    name: str
    partition: int
    position: int
    epoch: int
    beat: int
    owner: str | None
    failure: str | None
    seen_at: int


class Beat(NamedTuple):
    """What a process is told that shows that it lives: whether the subscription is paused, how often it was resumed,
    its parts, and its members with their beats."""

    paused: bool
    resumed: int
    parts: list[Held]
    members: list[tuple[str, int]]


def microseconds() -> int:
    """The time, for people: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


_name = partition.c.name == sa.bindparam("b_name")
_part = sa.and_(_name, partition.c.partition == sa.bindparam("b_partition"))
_held = sa.and_(_part, partition.c.epoch == sa.bindparam("b_epoch"))

_REGISTER = sa.text(
    "INSERT INTO subscription (name, partitions, paused, resumed, built) VALUES (:name, :partitions, NULL, 0, :built) "
    "ON CONFLICT (name) DO NOTHING"
)
_ADD_PART = sa.text(
    "INSERT INTO subscription_partition (name, partition, position, epoch, beat, owner, failure, seen_at) "
    "VALUES (:name, :partition, :position, :now, 0, NULL, NULL, :now) ON CONFLICT (name, partition) DO NOTHING"
)
_JOIN = sa.text(
    "INSERT INTO subscription_member (name, owner, beat) VALUES (:name, :owner, 1) "
    "ON CONFLICT (name, owner) DO UPDATE SET beat = subscription_member.beat + 1"
)
_LEAVE = sa.delete(member).where(member.c.name == sa.bindparam("b_name"), member.c.owner == sa.bindparam("b_owner"))
_MEMBERS = sa.select(member.c.owner, member.c.beat).where(member.c.name == sa.bindparam("b_name"))
_ROW = sa.select(subscription.c.partitions, subscription.c.paused, subscription.c.resumed).where(
    subscription.c.name == sa.bindparam("b_name")
)
_PARTS = sa.select(*partition.c).where(_name).order_by(partition.c.partition)
_PARTS_LOCKED = _PARTS.with_for_update()
_LOCK = sa.select(partition.c.position, partition.c.epoch).where(_part).with_for_update()
_PAUSED = sa.select(subscription.c.paused).where(subscription.c.name == sa.bindparam("b_name"))
_BEAT = (
    sa.update(partition)
    .where(_name, partition.c.owner == sa.bindparam("b_owner"))
    .values(beat=partition.c.beat + 1, seen_at=sa.bindparam("b_seen_at"))
)
_TAKE = (
    sa.update(partition)
    .where(_held)
    .values(
        owner=sa.bindparam("b_owner"),
        epoch=partition.c.epoch + 1,
        beat=partition.c.beat + 1,
        failure=None,
        seen_at=sa.bindparam("b_seen_at"),
    )
)
_RELEASE = sa.update(partition).where(_held).values(owner=None, failure=sa.bindparam("b_failure"))
_RELEASE_ALL = sa.update(partition).where(_name, partition.c.owner == sa.bindparam("b_owner")).values(owner=None)
_ADVANCE = (
    sa.update(partition)
    .where(_part)
    .values(position=sa.bindparam("b_position"), beat=partition.c.beat + 1, seen_at=sa.bindparam("b_seen_at"))
)
_SET_BACK = (
    sa.update(partition)
    .where(_part)
    .values(position=sa.bindparam("b_position"), epoch=partition.c.epoch + 1, owner=None, failure=None)
)
_of_name = subscription.c.name == sa.bindparam("b_name")
_PAUSE = sa.update(subscription).where(_of_name).values(paused=sa.bindparam("b_reason"))
_RESUME = sa.update(subscription).where(_of_name).values(paused=None, resumed=subscription.c.resumed + 1)
_BUILT = sa.update(subscription).where(_of_name).values(built=1)
_BEGUN_ANEW = sa.update(subscription).where(_of_name).values(paused=None, resumed=subscription.c.resumed + 1, built=0)
_FORGET = [
    sa.delete(table).where(table.c.name == sa.bindparam("b_name")) for table in (partition, member, subscription)
]


def _row_of(part: Claim | Held) -> dict[str, object]:
    return {"b_name": part.name, "b_partition": part.partition, "b_epoch": part.epoch}


class Claims:
    """The statements about subscriptions, as work for a transaction."""

    def __init__(self, dialect: str) -> None:
        self._generation = Generation(dialect, {})

    def query(self, clause: sa.ClauseElement, **parameters: object) -> Fetch:
        """A statement to be asked outside of a transaction."""
        return self._generation.statement(clause).fetch(**parameters)

    def names(self) -> Fetch:
        """The names of all subscriptions of the store."""
        return self.query(sa.select(subscription.c.name))

    def fetch(self, clause: sa.ClauseElement, **parameters: object) -> Generator[Any, list[Row], list[Row]]:
        """Run a statement for its rows."""
        return (yield self.query(clause, **parameters))

    def run(self, clause: sa.ClauseElement, *rows: Mapping[str, object]) -> Work[None]:
        """Run a statement for each row of parameters."""
        if rows:
            yield self._generation.statement(clause).run(rows)

    def register(self, name: str, partitions: int, position: int = 0, *, built: bool = False) -> Work[int]:
        """Make the subscription known, from a position on, unless it is; answers in how many parts it runs.

        Epochs begin with the time: if one of the same name was forgotten, a process that had claimed it and wakes up
        now, perhaps with other code, must not find its claim on this one.
        """
        yield from self.run(_REGISTER, {"name": name, "partitions": partitions, "built": int(built)})
        rows = yield from self.fetch(_ROW, b_name=name)
        known: int = rows[0][0]
        now = microseconds()
        yield from self.run(
            _ADD_PART, *({"name": name, "partition": n, "position": position, "now": now} for n in range(known))
        )
        return known

    def beat(self, name: str, owner: str, *, member: bool = True) -> Work[Beat | None]:
        """Show that the owner lives, as a member or as one that only keeps what it has. None: it is not known here."""
        state = yield from self.fetch(_ROW, b_name=name)
        if not state:
            return None
        if member:
            yield from self.run(_JOIN, {"name": name, "owner": owner})
        else:
            yield from self.leave(name, owner)
        yield from self.run(_BEAT, {"b_name": name, "b_owner": owner, "b_seen_at": microseconds()})
        parts = yield from self.parts(name)
        members = yield from self.members(name)
        return Beat(state[0][1] is not None, state[0][2], parts, members)

    def take(self, held: Held, owner: str) -> Work[Claim | None]:
        """Claim a part as it was seen; None if somebody was faster."""
        rows = yield from self.fetch(_LOCK, b_name=held.name, b_partition=held.partition)
        if not rows or rows[0][1] != held.epoch:
            return None
        yield from self.run(_TAKE, {**_row_of(held), "b_owner": owner, "b_seen_at": microseconds()})
        return Claim(held.name, held.partition, held.epoch + 1)

    def release(self, claim: Claim, failure: str | None = None) -> Work[int | None]:
        """Give a part up; with a failure, say why. Answers its position, None if it is lost already."""
        rows = yield from self.fetch(_LOCK, b_name=claim.name, b_partition=claim.partition)
        yield from self.run(_RELEASE, {**_row_of(claim), "b_failure": failure})
        return rows[0][0] if rows and rows[0][1] == claim.epoch else None

    def leave(self, name: str, owner: str) -> Work[None]:
        """No longer be a member."""
        yield from self.run(_LEAVE, {"b_name": name, "b_owner": owner})

    def close(self, name: str, owner: str) -> Work[None]:
        """Give up whatever the owner has, and no longer be a member."""
        yield from self.run(_RELEASE_ALL, {"b_name": name, "b_owner": owner})
        yield from self.leave(name, owner)

    def members(self, name: str) -> Work[list[tuple[str, int]]]:
        """The members, with their beats."""
        rows = yield from self.fetch(_MEMBERS, b_name=name)
        return [(row[0], row[1]) for row in rows]

    def dismiss(self, name: str, owner: str, beat: int) -> Work[None]:
        """Strike out a member that has died."""
        if (owner, beat) in (yield from self.members(name)):
            yield from self.leave(name, owner)

    def lock(self, claim: Claim) -> Work[int]:
        """Lock the part until the transaction ends; its position. Raises ClaimLost, and Paused."""
        rows = yield from self.fetch(_LOCK, b_name=claim.name, b_partition=claim.partition)
        if not rows or rows[0][1] != claim.epoch:
            raise ClaimLost
        if (yield from self.fetch(_PAUSED, b_name=claim.name))[0][0] is not None:
            raise Paused
        position: int = rows[0][0]
        return position

    def lock_part(self, name: str, number: int) -> Work[None]:
        """Lock a part, whoever runs it, until the transaction ends."""
        yield from self.fetch(_LOCK, b_name=name, b_partition=number)

    def lock_all(self, name: str) -> Work[list[Held]]:
        """Lock all parts, whoever runs them, until the transaction ends."""
        rows = yield from self.fetch(_PARTS_LOCKED, b_name=name)
        return [Held(*row) for row in rows]

    def parts(self, name: str) -> Work[list[Held]]:
        """All parts."""
        rows = yield from self.fetch(_PARTS, b_name=name)
        return [Held(*row) for row in rows]

    def advance(self, claim: Claim, position: int) -> Work[None]:
        """Note the position that a part, which is locked, has reached."""
        yield from self.run(_ADVANCE, {**_row_of(claim), "b_position": position, "b_seen_at": microseconds()})

    def set_to(self, name: str, position: int) -> Work[None]:
        """Put all parts to a position; whoever runs them loses its claim."""
        parts = yield from self.lock_all(name)
        yield from self.run(
            _SET_BACK, *({"b_name": name, "b_partition": held.partition, "b_position": position} for held in parts)
        )

    def lead_astray(self, name: str) -> Work[None]:
        """Nobody may go on with it, whoever resumes it, until it is begun anew or another takes its place.

        What is appended next gets the positions of events that it has folded, and would be taken for them.
        """
        yield from self.set_to(name, ASTRAY)

    def pause(self, name: str, reason: str) -> Work[bool]:
        """Nobody may go on with it from now on. False if there is no such subscription."""
        parts = yield from self.lock_all(name)  # what runs is finished first
        yield from self.run(_PAUSE, {"b_name": name, "b_reason": reason})
        return bool(parts)

    def resume(self, name: str) -> Work[bool]:
        """Go on, also where a part had been given up. False if there is no such subscription."""
        parts = yield from self.lock_all(name)
        yield from self.run(_RESUME, {"b_name": name})
        return bool(parts)

    def note_built(self, name: str) -> Work[None]:
        """Note that it has reached the head of the log: its views may be read from now on."""
        yield from self.run(_BUILT, {"b_name": name})

    def begin_anew(self, name: str) -> Work[None]:
        """Put all parts to the beginning of the log; nothing is built, and whoever had given a part up tries again."""
        yield from self.set_to(name, 0)
        yield from self.run(_BEGUN_ANEW, {"b_name": name})

    def forget(self, name: str) -> Work[None]:
        """Remove all that is known of the subscription."""
        yield from self.lock_all(name)
        for statement in _FORGET:
            yield from self.run(statement, {"b_name": name})
