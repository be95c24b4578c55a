"""A history checker: what writers were told and readers saw, held against the log.

A stream is an append-only list of events with unique ids, so one pass over the log decides whether a history is right.
It serves the store contract, and any test that attacks a running system.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from twofold.errors import Conflict
from twofold.events import NewEvent, Receipt, Recorded
from twofold.store import EventStore
from twofold.testing.contract_base import happened

END = "end"


class History:
    """What became of each append, and what each reader saw, in the order in which it saw it."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[Receipt, Sequence[UUID]]] = []
        self.refused: list[Sequence[UUID]] = []
        self.unknown: list[Sequence[UUID]] = []
        self.readers: list[list[Recorded[bytes]]] = []

    async def append(
        self, store: EventStore, stream: str, events: Sequence[NewEvent], *, expected: int | None
    ) -> Receipt | Conflict:
        """Append, and note what came of it."""
        ids = [event.id for event in events]
        try:
            receipt = await store.append(stream, events, expected=expected)
        except Conflict as conflict:
            self.refused.append(ids)
            return conflict
        except BaseException:  # cancelled, above all
            self.unknown.append(ids)
            raise
        self.acknowledged.append((receipt, ids))
        return receipt

    async def end(self, store: EventStore) -> None:
        """Append what the followers stop at."""
        await self.append(store, END, [happened(b"1")], expected=0)

    async def follow(self, store: EventStore) -> None:
        """Read the log as it grows, up to its end."""
        seen: list[Recorded[bytes]] = []
        self.readers.append(seen)
        position = 0
        while not seen or seen[-1].stream != END:
            await store.wait_appended(after=position)
            async for recorded in store.read_all(after=position):
                seen.append(recorded)
                position = recorded.position
            await asyncio.sleep(0)

    def check(self, log: Sequence[Recorded[bytes]]) -> None:
        """Hold all of it against the log as it was read at the end. Raises AssertionError."""
        check_log(log)
        by_id = {recorded.id: recorded for recorded in log}
        known: set[UUID] = set()
        for receipt, ids in self.acknowledged:
            known.update(ids)
            stored = [by_id[id] for id in ids if id in by_id]
            assert len(stored) == len(ids), f"acknowledged and not stored: {receipt}"
            versions = list(range(receipt.version - len(ids) + 1, receipt.version + 1))
            assert [(event.stream, event.version) for event in stored] == [(receipt.stream, v) for v in versions], (
                f"stored elsewhere than acknowledged: {receipt}"
            )
            assert stored[-1].position == receipt.position, f"stored at another position than acknowledged: {receipt}"
        for ids in self.refused:
            assert not any(id in by_id for id in ids), "refused and stored all the same"
        for ids in self.unknown:
            known.update(ids)
            assert sum(id in by_id for id in ids) in (0, len(ids)), "an append was stored by half"
        assert by_id.keys() <= known, "stored and never asked for"
        for seen in self.readers:
            assert_same(seen, log)


def check_log(log: Sequence[Recorded[bytes]]) -> None:
    """What is true of every log: positions rise, versions have no hole, ids are unique. Raises AssertionError."""
    position = 0
    versions: Counter[str] = Counter()
    for recorded in log:
        assert recorded.position > position, f"position {recorded.position} comes after {position}"
        position = recorded.position
        versions[recorded.stream] += 1
        assert recorded.version == versions[recorded.stream], (
            f"version {recorded.version} of {recorded.stream} stands where {versions[recorded.stream]} should"
        )
    assert len({recorded.id for recorded in log}) == len(log), "an event is in the log twice"


def check_whole(seen: Sequence[Recorded[bytes]]) -> None:
    """No append was seen by half. Its events share their message, and their data says how many they are."""
    counted = Counter((recorded.metadata.message_id, recorded.data) for recorded in seen)
    for (_, size), count in counted.items():
        assert count == int(size), f"{count} of the {int(size)} events of an append were seen"


def assert_same(seen: Sequence[Recorded[bytes]], log: Sequence[Recorded[bytes]]) -> None:
    """A reader saw exactly the log: nothing late, nothing twice, nothing missed. Raises AssertionError."""
    for saw, stored in zip(seen, log, strict=False):
        assert saw.position <= stored.position, (
            f"a reader saw position {saw.position} and never {stored.position}: it came late or was lost"
        )
        assert saw == stored, f"a reader saw position {saw.position} out of its place, or another event there"
    assert len(seen) == len(log), f"a reader saw {len(seen)} events of {len(log)}"
