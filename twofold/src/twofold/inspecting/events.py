"""Events as they are shown: as they were stored, as the application reads them today, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from twofold.errors import EventCorrupt, EventUnknown, EventUnreadable
from twofold.events import Recorded
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.personal import masked
from twofold.inspecting.values import brief, json_of, value_of
from twofold.messages import Metadata


class Said(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of the message that led to an event: which it was, whose, when, and because of what."""

    message_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    actor: str | None
    at: datetime
    extra: Mapping[str, str]
    idempotency_key: str | None


class ShownEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """An event. `trouble` says why it cannot be read as it should; what is not known of it then is null.

    `data` is the JSON that was stored, of `size` bytes, in a list perhaps `shortened`. `current` is what the
    application reads today, where that differs because the event was stored under an older schema. `gap` is how many
    seconds after the event before it in the same list it was recorded.
    """

    stream: str
    version: int
    position: int | None
    type: str
    schema: int | None = None
    id: UUID | None = None
    recorded_at: datetime | None = None
    said: Said | None = None
    data: Any = None
    size: int = 0
    shortened: bool = False
    current: Any = None
    gap: float | None = None
    trouble: str | None = None


def shown(
    inspection: Inspection, event: Recorded[bytes] | EventUnreadable, *, gap: float | None = None, whole: bool = False
) -> ShownEvent:
    """The event as people see it; `whole` shows all of its data, however long."""
    if isinstance(event, EventUnreadable):
        position = event.position if isinstance(event, EventCorrupt) else None
        return ShownEvent(
            stream=event.stream, version=event.version, position=position, type=event.type, trouble=event.reason
        )
    data, current, trouble = _content(inspection, event)
    shortened = False
    if not whole:
        (data, cut), (current, cut_too) = brief(data), brief(current)
        shortened = cut or cut_too
    return ShownEvent(
        stream=event.stream,
        version=event.version,
        position=event.position,
        type=event.type,
        schema=event.schema,
        id=event.id,
        recorded_at=event.recorded_at,
        said=said(event.metadata),
        data=data,
        size=len(event.data),
        shortened=shortened,
        current=current,
        gap=gap,
        trouble=trouble,
    )


def _content(inspection: Inspection, event: Recorded[bytes]) -> tuple[Any, Any, str | None]:
    """What was stored, what the application makes of it where that is something else, and what is wrong with it."""
    trouble: str | None = None
    try:
        data = json_of(event.data)
    except msgspec.DecodeError as error:
        data, trouble = event.data.decode(errors="replace"), f"its content is not JSON: {error}"
    kind: Any = None
    current: Any = None
    codec = inspection.codec(event.stream)
    if codec is not None and trouble is None:
        try:
            today = codec.decode(event).data
        except EventUnknown as error:
            trouble = str(error)
        except EventUnreadable as error:
            trouble = error.reason if inspection.personal else inspection.told(error)
        else:
            schema = codec.table[event.type]
            kind = schema.event if event.schema == schema.version else None
            current = None if event.schema == schema.version else value_of(today)
            if not inspection.personal and current is not None:
                current = masked(current, schema.event)
    return (data if inspection.personal else masked(data, kind)), current, trouble


def said(metadata: Metadata) -> Said:
    """What is known of the message."""
    asked = metadata.idempotency
    return Said(
        message_id=metadata.message_id,
        correlation_id=metadata.correlation_id,
        causation_id=metadata.causation_id,
        actor=metadata.actor,
        at=metadata.at,
        extra=metadata.extra,
        idempotency_key=None if asked is None else asked.key,
    )


def content_of(inspection: Inspection, value: object) -> Any:
    """A state, a row or a new event as JSON, masked where it must be."""
    content = value_of(value)
    return content if inspection.personal or content is None else masked(content, type(value))
