"""The first fold: a stream becomes the state that a command is decided on.

A decider is two functions and a value (Jérémie Chassaing, "Functional Event Sourcing Decider"). It is pure: clocks,
random numbers and ids arrive with the command. That is what makes it safe to decide again after a conflict.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from twofold.codec import Codec
from twofold.errors import Conflict, EventIdTaken, OutcomeUnknown, StoreFailed, StoreUnavailable
from twofold.events import NewEvent, Receipt, check_category
from twofold.messages import Metadata, ids_of
from twofold.store import EventStore, IdempotencyStore, Snapshot, SnapshotStore
from twofold.tracing import appending

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

log = logging.getLogger("twofold.decider")

SETTLE_SECONDS = (0.05, 0.5, 2.0)  # between attempts to learn an unknown outcome

_encode = msgspec.json.Encoder(enc_hook=repr, order="deterministic").encode  # whatever order a set is in

_INITIAL: Any = object()  # not None, which may be a state


@dataclass(frozen=True)
class Decider(Generic[C, S, E]):
    """How a thing decides: `decide` says what a command leads to, `evolve` what an event does to the state.

    `decide` answers no events where the command has taken effect already, and raises the domain's error to refuse.
    """

    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    initial: S

    def fold(self, events: Sequence[E], state: S = _INITIAL) -> S:
        """The state after these events, from the initial one unless another is given."""
        folded = self.initial if state is _INITIAL else state
        for event in events:
            folded = self.evolve(folded, event)
        return folded


@dataclass(frozen=True)
class Snapshots(Generic[S]):
    """The policy to keep a stream's folded state: every `every` events, as JSON of the type `state`.

    Raise `schema` whenever the meaning of the state changes: snapshots of another schema are passed over.
    Worth it for streams of thousands of events; a short stream is folded faster than a snapshot is read.
    """

    state: type[S]
    every: int = 1000
    schema: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"a snapshot every {self.every} events means nothing")


class Folded(NamedTuple, Generic[S]):
    """A stream's state, and the version and position of the last event that is in it."""

    state: S
    version: int
    position: int


class DecisionStore(EventStore, IdempotencyStore, SnapshotStore, Protocol):
    """The parts of a store that deciding needs."""


@dataclass(frozen=True)
class Category(Generic[C, S, E]):
    """A decider bound to a family of streams, named `<name>-<id>`, and to the codec of their events.

    `cached` states are kept in memory for each store. A state that has become stale is found out by the conflict it
    causes, or, before a command is refused or found to change nothing, by a look at the stream.
    """

    name: str
    decider: Decider[C, S, E]
    codec: Codec[E]
    id_of: Callable[[C], str]
    snapshots: Snapshots[S] | None = None
    cached: int = 10_000
    _caches: WeakKeyDictionary[DecisionStore, OrderedDict[str, Folded[S]]] = field(
        default_factory=WeakKeyDictionary[DecisionStore, "OrderedDict[str, Folded[S]]"],
        init=False,
        repr=False,
        compare=False,
    )

    def __post_init__(self) -> None:
        check_category(self.name)

    @property
    def _unwritten(self) -> Folded[S]:
        return Folded(self.decider.initial, 0, 0)

    def stream(self, id: str) -> str:
        """The name of the stream of the thing with this id."""
        return f"{self.name}-{id}"

    def id_in(self, stream: str) -> str:
        """The id of the thing whose stream this is."""
        return stream.removeprefix(f"{self.name}-")

    async def load(self, store: DecisionStore, id: str, *, at: int | None = None) -> Folded[S]:
        """The state of a thing, now or as it was at version `at`, from the log. Version 0 means: no such stream."""
        stream = self.stream(id)
        start = self._unwritten
        if at is None:
            start = await self._from_snapshot(store, stream)
        folded, _ = await self._refresh(store, stream, start, until=at)
        return folded

    async def transact(
        self,
        store: DecisionStore,
        command: C,
        metadata: Metadata,
        *,
        expected: int | None = None,
        new: bool = False,
        attempts: int = 3,
    ) -> Receipt:
        """Load, decide, append; on a conflict fold in what was missed and decide again, `attempts` times in all.

        With `expected` the command is decided on that version only. With `new` the stream is taken to be a new one
        and not read before the first attempt; a conflict tells if it was not. Metadata with an idempotency key makes
        the same request answer the first receipt. So does the same command with the same metadata: the ids of events
        are made from both. That settles an unknown outcome, here as long as the store comes back soon, and by sending
        the command again afterwards.

        Raises what `decide` and `EventStore.append` raise; Conflict when the stream is not at `expected`, or when
        others were faster in every attempt.
        """
        stream = self.stream(self.id_of(command))
        cache = self._caches.setdefault(store, OrderedDict())
        folded = cache.get(stream) or (self._unwritten if new else None)
        fresh = folded is None
        if folded is None:
            folded, _ = await self._refresh(store, stream, await self._from_snapshot(store, stream))
        while True:
            decision = self._decide(command, folded, expected, stream)
            if not fresh and (isinstance(decision, Exception) or not decision):
                # Nothing will be appended, so no conflict would show that the cached state was stale: look.
                fresh = True
                folded, missed = await self._refresh(store, stream, folded)
                if missed:
                    continue
            if isinstance(decision, Exception):
                # A request that took effect before may well be refused now: its first answer stands.
                remembered = await self._remembered(store, command, metadata)
                if remembered is not None:
                    return remembered
                raise decision
            if not decision and metadata.idempotency is None:
                self._keep(cache, stream, folded)
                return Receipt(stream, folded.version, folded.position)
            # Read and folded before they are stored: what cannot be would make the stream unreadable for good.
            ids = self._ids(command, metadata)
            events = [self.codec.encode(event, metadata, next(ids)) for event in decision]
            reread = [self.codec.reread(event, stream, folded.version + n) for n, event in enumerate(events, start=1)]
            state = self.decider.fold(reread, folded.state)
            try:
                receipt = await self._append(store, stream, events, folded.version, metadata)
            except EventIdTaken:  # it has taken effect before, by other events than it would now
                remembered = await self._remembered(store, command, metadata)
                if remembered is None:
                    raise
                return remembered
            except Conflict as conflict:
                attempts -= 1
                cache.pop(stream, None)
                if attempts < 1:
                    raise
                if conflict.actual < folded.version:  # the store is not the one that was read: restored, or new
                    folded = self._unwritten
                folded, _ = await self._refresh(store, stream, folded)
                fresh = True
                continue
            if not receipt.repeated:
                folded = Folded(state, receipt.version, receipt.position)
                self._keep(cache, stream, folded)
                await self._save_snapshot(store, stream, folded, len(decision))
            return receipt

    def _ids(self, command: C, metadata: Metadata) -> Iterator[UUID]:
        subject = f"{self.stream(self.id_of(command))}\0{type(command).__qualname__}\0"
        try:
            return ids_of(metadata.message_id, subject.encode() + _encode(command))
        except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, ValueError):  # not what JSON can say
            return ids_of(metadata.message_id, f"{subject}{command!r}")

    async def _append(
        self, store: EventStore, stream: str, events: Sequence[NewEvent], expected: int, metadata: Metadata
    ) -> Receipt:
        """Append; if the outcome is unknown, append the same events again until the store tells, for a while."""
        try:
            with appending(stream, len(events)):
                return await store.append(stream, events, expected=expected, idempotency=metadata.idempotency)
        except OutcomeUnknown as error:
            unknown = error
        for seconds in SETTLE_SECONDS:
            await asyncio.sleep(seconds)
            try:
                return await store.append(stream, events, expected=expected, idempotency=metadata.idempotency)
            except (OutcomeUnknown, StoreUnavailable, StoreFailed) as error:
                log.debug("%s is not settled yet: %s", stream, error)
        raise unknown

    async def _remembered(self, store: DecisionStore, command: C, metadata: Metadata) -> Receipt | None:
        """The first receipt of this command, if it has taken effect before."""
        asked = metadata.idempotency
        known = await store.recall(asked.key) if asked is not None else None
        if known is not None and asked is not None:
            return known.answer(asked)
        ids = self._ids(command, metadata)
        first = await store.find(next(ids))
        if first is None:
            return None
        last = first
        async for recorded in store.read(first.stream, after=first.version):
            if recorded.id != next(ids):
                break
            last = recorded
        return Receipt(last.stream, last.version, last.position, repeated=True)

    def _decide(self, command: C, folded: Folded[S], expected: int | None, stream: str) -> Sequence[E] | Exception:
        if expected is not None and folded.version != expected:
            return Conflict(stream, expected, folded.version)
        try:
            return tuple(self.decider.decide(command, folded.state))
        except Exception as refusal:  # the domain's own error: raised by the caller once it is sure of the state
            return refusal

    async def _refresh(
        self, store: EventStore, stream: str, folded: Folded[S], *, until: int | None = None
    ) -> tuple[Folded[S], int]:
        """Fold in the events after `folded`; also answers how many they were."""
        state, version, position = folded
        evolve, content = self.decider.evolve, self.codec.content
        async for page in store.read_pages(stream, after=version, until=until):
            for recorded in page:
                state = evolve(state, content(recorded))
            version, position = page[-1].version, page[-1].position
        return Folded(state, version, position), version - folded.version

    def _keep(self, cache: OrderedDict[str, Folded[S]], stream: str, folded: Folded[S]) -> None:
        known = cache.get(stream)
        if known is not None and known.version > folded.version:
            return  # a later command was faster to come back
        cache[stream] = folded
        cache.move_to_end(stream)
        if len(cache) > self.cached:
            cache.popitem(last=False)

    async def _from_snapshot(self, store: SnapshotStore, stream: str) -> Folded[S]:
        if self.snapshots is not None:
            snapshot = await store.load_snapshot(stream)
            if snapshot is not None and snapshot.schema == self.snapshots.schema:
                try:
                    state = msgspec.json.decode(snapshot.state, type=self.snapshots.state)
                    return Folded(state, snapshot.version, snapshot.position)
                except msgspec.MsgspecError:
                    log.warning("the snapshot of %s is of another shape; was its schema raised?", stream)
        return self._unwritten

    async def _save_snapshot(self, store: SnapshotStore, stream: str, folded: Folded[S], added: int) -> None:
        policy = self.snapshots
        if policy is not None and folded.version // policy.every > (folded.version - added) // policy.every:
            try:
                state = msgspec.json.encode(folded.state)
                await store.save_snapshot(stream, Snapshot(folded.version, folded.position, policy.schema, state))
            except Exception:  # the events are stored: a failing cache must not make it look otherwise
                log.exception("no snapshot of %s could be saved", stream)
