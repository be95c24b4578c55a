"""Events as rows of the table `event`, both ways: the same columns in every database, with the same checksum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import astuple

from twofold.errors import EventCorrupt, EventUnreadable
from twofold.events import NewEvent, Recorded, encode_metadata
from twofold.looking_back import first_half
from twofold.messages import Metadata
from twofold.sql import Row


def recorded_of(
    events: Sequence[NewEvent], stream: str, version: int, position: int, microseconds: int
) -> list[Recorded[bytes]]:
    """The new events as they will be read, behind this version of their stream and this position."""
    recorded: list[Recorded[bytes]] = []
    metadata, encoded = None, b""
    for number, event in enumerate(events, start=1):
        if event.metadata is not metadata:  # those of one command share it
            metadata, encoded = event.metadata, encode_metadata(event.metadata)
        recorded.append(
            Recorded(
                position + number,
                stream,
                version + number,
                event.id.bytes,
                event.type,
                event.schema,
                event.data,
                encoded,
                microseconds,
            )
        )
    return recorded


def row_of(event: Recorded[bytes], metadata: Metadata | None = None) -> Row:
    """The row that holds an event. Its last column is null where the event's id tells the correlation.

    Give its metadata where you have it: else it is decoded.
    """
    row = astuple(event)
    _, stream, version, id, type, schema, data, encoded, _ = row
    checksum = _checksum(f"{stream}\0{version}\0{type}\0{schema}", id, data, encoded)
    correlation = (metadata or event.metadata).correlation_id
    told = int.from_bytes(id[:8], "big") == first_half(correlation)
    return (*row, checksum, None if told else correlation.bytes)


class Page(NamedTuple):
    """Events of one read, in order, and what kept the next one from being among them, if anything did."""

    events: list[Recorded[bytes]]
    damage: EventUnreadable | None

    def whole(self) -> list[Recorded[bytes]]:
        """The events. Raises what is wrong with the next one."""
        if self.damage is not None:
            raise self.damage
        return self.events


def page_of(rows: Sequence[Row]) -> Page:
    """The events that rows hold, up to one that is not what was written."""
    events: list[Recorded[bytes]] = []
    for position, stream, version, id, type, schema, data, metadata, at, checksum in rows:
        if _checksum(f"{stream}\0{version}\0{type}\0{schema}", id, data, metadata) != checksum:
            return Page(events, EventCorrupt(stream, version, type, position))
        events.append(Recorded(position, stream, version, id, type, schema, data, metadata, at))
    return Page(events, None)


def page_of_stream(rows: Sequence[Row], stream: str, after: int) -> Page:
    """The same of one stream from behind a version, up to a hole: a row can be damaged so that it is of another."""
    page = page_of(rows)
    if not page.events or page.events[-1].version == after + len(page.events):
        return page
    whole = [event for number, event in enumerate(page.events, start=after + 1) if event.version == number]
    reason = "it is missing, and later versions are not"
    return Page(whole, EventUnreadable(stream, after + len(whole) + 1, "unknown", reason))


def _checksum(header: str, id: bytes, data: bytes, metadata: bytes) -> int:
    return crc32(b"".join((header.encode(), id, data, metadata)))
