"""Events as rows of the table `event`, both ways: the same columns in every database, with the same checksum."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zlib import crc32

import msgspec

from twofold.errors import EventCorrupt
from twofold.events import NewEvent, Recorded
from twofold.looking_back import first_half
from twofold.messages import Metadata
from twofold.sql import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode_metadata = msgspec.json.Encoder().encode
_decode_metadata = msgspec.json.Decoder(Metadata).decode
# As MessagePack says 16 bytes. msgspec makes a UUID of them five times as fast as `UUID(bytes=...)`.
_BIN_16 = b"\xc4\x10"
_decode_id = msgspec.msgpack.Decoder(UUID).decode


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The time so many microseconds after 1970, UTC."""
    return _EPOCH + timedelta(0, 0, microseconds)


def row_of(event: Recorded[bytes]) -> Row:
    """The row that holds an event. Its last column is null where the event's id tells the correlation."""
    correlation = event.metadata.correlation_id
    metadata = _encode_metadata(event.metadata)
    header = f"{event.stream}\0{event.version}\0{event.type}\0{event.schema}"
    return (
        event.position,
        event.stream,
        event.version,
        event.id.bytes,
        event.type,
        event.schema,
        event.data,
        metadata,
        microseconds(event.recorded_at),
        _checksum(header, event.id.bytes, event.data, metadata),
        None if first_half(event.id) == first_half(correlation) else correlation.bytes,
    )


def recorded_of(event: NewEvent, stream: str, version: int, position: int, at: datetime) -> Recorded[bytes]:
    """The new event as it will be read, under this version and position."""
    return Recorded(
        id=event.id,
        stream=stream,
        version=version,
        position=position,
        type=event.type,
        schema=event.schema,
        data=event.data,
        metadata=event.metadata,
        recorded_at=at,
    )


def recorded_from(row: Row) -> Recorded[bytes]:
    """The event that a row holds. Raises EventCorrupt if it is not what was written."""
    position, stream, version, id, type, schema, data, metadata, at, checksum = row
    if _checksum(f"{stream}\0{version}\0{type}\0{schema}", id, data, metadata) != checksum:
        raise EventCorrupt(stream, version, type, position)
    return Recorded(
        id=_decode_id(_BIN_16 + id),
        stream=stream,
        version=version,
        position=position,
        type=type,
        schema=schema,
        data=data,
        metadata=_decode_metadata(metadata),
        recorded_at=moment_of(at),
    )


def _checksum(header: str, id: bytes, data: bytes, metadata: bytes) -> int:
    return crc32(b"".join((header.encode(), id, data, metadata)))
