"""What happened: an event before and after it is stored, and the receipt for storing it."""

from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from twofold.messages import Metadata

D_co = TypeVar("D_co", covariant=True)


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


class Recorded(msgspec.Struct, Generic[D_co], frozen=True, kw_only=True):
    """An event that is stored: `Recorded[bytes]` from a store, `Recorded[OrderEvent]` from the codec.

    `version` is its number in its stream, from 1 without a hole; `position` its place in the whole log. `metadata.at`
    is when the command was said, `recorded_at` when the store took the event; order follows positions, not clocks.
    """

    id: UUID
    stream: str
    version: int
    position: int
    type: str
    schema: int
    data: D_co
    metadata: Metadata
    recorded_at: datetime

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
