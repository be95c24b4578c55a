"""What happened: an event before and after it is stored, and the receipt for storing it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from twofold.messages import Metadata

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_decode_metadata = lru_cache(64)(msgspec.json.Decoder(Metadata).decode)  # several events have it from one command
# As MessagePack says 16 bytes. msgspec makes a UUID of them five times as fast as `UUID(bytes=...)`.
_BIN_16 = b"\xc4\x10"
_decode_id = msgspec.msgpack.Decoder(UUID).decode


encode_metadata: Callable[[Metadata], bytes] = msgspec.json.Encoder().encode
"""Metadata as it is stored."""


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The time so many microseconds after 1970, UTC."""
    return _EPOCH + timedelta(0, 0, microseconds)


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is ready to be stored.

    `id` must rise in time (uuid7): appends then touch the same few pages of an index. `type` and `schema` are the
    stored name and its version, from the codec's table; `data` is the encoded content.
    """

    id: UUID
    type: str
    schema: int
    data: bytes
    metadata: Metadata


class Recorded(msgspec.Struct, Generic[D_co], frozen=True, gc=False):
    """An event that is stored: `Recorded[bytes]` from a store, `Recorded[OrderEvent]` from the codec.

    `version` is its number in its stream, from 1 without a hole; `position` its place in the whole log. `metadata.at`
    is when the command was said, `recorded_at` when the store took the event; order follows positions, not clocks.

    Its fields are the columns of its row, in their order. What few readers ask for is decoded when it is asked for:
    `id`, `metadata` and `recorded_at`.
    """

    position: int
    stream: str
    version: int
    id_bytes: bytes
    type: str
    schema: int
    data: D_co
    metadata_json: bytes
    recorded_microseconds: int

    @staticmethod
    def of(
        *,
        id: UUID,
        stream: str,
        version: int,
        position: int,
        type: str,
        schema: int,
        data: D,
        metadata: Metadata,
        recorded_at: datetime,
    ) -> Recorded[D]:
        """An event of these values, as a store would have stored it."""
        at = microseconds(recorded_at)
        return Recorded(position, stream, version, id.bytes, type, schema, data, encode_metadata(metadata), at)

    @property
    def id(self) -> UUID:
        """What names the event, in every log that it is copied to."""
        return _decode_id(_BIN_16 + self.id_bytes)

    @property
    def metadata(self) -> Metadata:
        """Who said the message that led to the event, when, and because of what."""
        return _decode_metadata(self.metadata_json)

    @property
    def recorded_at(self) -> datetime:
        """When the store took it, UTC."""
        return moment_of(self.recorded_microseconds)

    @property
    def category(self) -> str:
        """The family of the stream: what stands before the first `-` of its name."""
        return category_of(self.stream)


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a successful append: the stream, the version and the position of its last event.

    Where a command decided on no events, they are those of the stream as it was decided on. `repeated` says that the
    same append, or the same request, was answered with this receipt before, and that nothing was stored now.
    """

    stream: str
    version: int
    position: int
    repeated: bool = False


def category_of(stream: str) -> str:
    """The category of a stream: `order` for `order-019a…`."""
    return stream.partition("-")[0]


OPERATORS = "operator"
"""The category of the stream in which operators' actions are recorded; see `twofold.auditing`."""


def check_category(name: str) -> None:
    """Raise ValueError for a name that no category of an application may have."""
    if not name or "-" in name:
        raise ValueError(f"the name of a category is not empty, and has no '-' in it: {name!r}")
    if name == OPERATORS:
        raise ValueError(f"the category {name} is taken: what operators do is recorded in a stream of it")
