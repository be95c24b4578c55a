"""How an event is written down and read again.

A codec is a written table: stored name and schema version to class. The stored name is part of the data and outlives
every refactoring, so it is never derived from a class. Old schemas are upcast on reading, one version at a time, as
plain JSON values; the log itself is never rewritten. (Greg Young, "Versioning in an Event Sourced System".)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from twofold.errors import EventTypeMissing, EventUnknown, EventUnreadable
from twofold.events import NewEvent, Recorded
from twofold.messages import Metadata, new_id

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of one schema version into that of the next."""

_encode = msgspec.json.Encoder().encode  # decimals become strings: exact, whatever reads them
_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode  # no number passes through a float


@dataclass(frozen=True)
class Schema(Generic[E_co]):
    """The row of a codec's table for an event that has changed since it was first stored.

    `upcasts[n]` turns schema n into schema n + 1; there must be one for each version from 1 to the present one.
    """

    event: type[E_co]
    upcasts: Mapping[int, Upcast] = field(default_factory=dict[int, Upcast])

    def __post_init__(self) -> None:
        if sorted(self.upcasts) != list(range(1, self.version)):
            raise ValueError(f"{self.event.__qualname__}: upcasts must be numbered from 1 without a hole")

    @property
    def version(self) -> int:
        """The schema version that is written now."""
        return len(self.upcasts) + 1


class Codec(Generic[E]):
    """Encodes and decodes the events of a union `E` by a table of stored names.

    Events are dataclasses or msgspec structs. A value of the table is a class, or a `Schema` where old versions exist.
    """

    def __init__(self, table: Mapping[str, type[E] | Schema[E]]) -> None:
        self._schemas: dict[str, Schema[E]] = {}
        self._names: dict[type, tuple[str, int]] = {}
        self._readers: dict[tuple[str, int], Callable[[bytes], E]] = {}
        for name, row in table.items():
            schema: Schema[E] = row if isinstance(row, Schema) else Schema(row)
            if schema.event in self._names:
                raise ValueError(f"{schema.event.__qualname__} stands twice in the table")
            self._schemas[name] = schema
            self._names[schema.event] = (name, schema.version)
            self._readers[name, schema.version] = msgspec.json.Decoder(schema.event).decode
            for version in schema.upcasts:
                self._readers[name, version] = partial(_upcast, schema, version)

    @property
    def table(self) -> Mapping[str, Schema[E]]:
        """The table: stored names and what they stand for."""
        return self._schemas

    def encode(self, event: E, metadata: Metadata, id: UUID | None = None) -> NewEvent:
        """The event ready to be stored, under this id or a fresh one.

        Raises EventTypeMissing if its class is not in the table.
        """
        try:
            name, version = self._names[type(event)]
        except KeyError:
            raise EventTypeMissing(type(event)) from None
        return NewEvent(id=id or new_id(), type=name, schema=version, data=_encode(event), metadata=metadata)

    def decode(self, recorded: Recorded[bytes]) -> Recorded[E]:
        """The event as today's class, upcast where it was stored under an older schema.

        Raises EventUnknown for a name or schema that the table lacks, EventUnreadable for content that does not fit.
        """
        return Recorded(
            recorded.position,
            recorded.stream,
            recorded.version,
            recorded.id_bytes,
            recorded.type,
            recorded.schema,
            self.content(recorded),
            recorded.metadata_json,
            recorded.recorded_microseconds,
        )

    def content(self, recorded: Recorded[bytes]) -> E:
        """What happened, without what is known about it: all that a fold of one stream needs. Raises as `decode`."""
        return self._read(recorded, recorded.stream, recorded.version)

    def reread(self, event: NewEvent, stream: str, version: int) -> E:
        """The event as it will be read once it is stored under this version of the stream.

        Ask before storing it: an event can hold what its own class does not allow (a NaN, a text where a number is
        due), and a stream with such an event in it could never be read again. Raises EventUnreadable.
        """
        return self._read(event, stream, version)

    def _read(self, event: NewEvent | Recorded[bytes], stream: str, version: int) -> E:
        reader = self._readers.get((event.type, event.schema))
        if reader is None:
            known = self._schemas.get(event.type)
            raise EventUnknown(event.type, event.schema, known=None if known is None else known.version)
        try:
            return reader(event.data)
        except Exception as error:  # an upcast meets content that its author did not think of in any way there is
            raise EventUnreadable(stream, version, event.type, repr(error)) from error


def _upcast(schema: Schema[E], stored: int, data: bytes) -> E:
    content = _decode_object(data)
    for version in range(stored, schema.version):
        content = schema.upcasts[version](content)
    return msgspec.convert(content, schema.event, str_keys=True)  # as in JSON, where every key is a string
