"""What is said: commands, queries, and what is known about the saying of them.

`Command[R]` and `Query[R]` carry the type of their answer, so that a checker knows what a bus returns. They are plain
classes and not Protocols: an empty Protocol would accept anything, and then nothing would be checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from uuid_utils import uuid7

R = TypeVar("R")

# As MessagePack says 16 bytes. msgspec makes a UUID of them several times as fast as `UUID(bytes=...)`.
_BIN_16 = b"\xc4\x10"
_uuid = msgspec.msgpack.Decoder(UUID).decode


def new_id() -> UUID:
    """A fresh id that rises in time (uuid7, RFC 9562)."""
    return _uuid(_BIN_16 + uuid7().bytes)


class Command(Generic[R]):
    """A wish to change something, in the imperative. `R` is the type of its answer."""

    __slots__ = ()


class Query(Generic[R]):
    """A question that changes nothing. `R` is the type of its answer."""

    __slots__ = ()


class Idempotency(msgspec.Struct, frozen=True):
    """What makes a repeated request recognisable.

    `key` is chosen by the caller, once for each request it means (scope it to the caller where callers are known);
    `fingerprint` sums up the request's content, so that one key on two different requests is found out.
    """

    key: str
    fingerprint: str


def ids_of(message_id: UUID, subject: str | bytes) -> Iterator[UUID]:
    """The ids of what a message leads to, in order: the same each time it is sent, others for another subject.

    They begin like the message's own id, so they rise in time if that does. An event stored under such an id tells
    that the message has taken effect, whatever became of its answer.
    """
    named = message_id.bytes
    subject = subject.encode("utf-8", "surrogatepass") if isinstance(subject, str) else subject
    low = int.from_bytes(blake2b(named + subject, digest_size=8).digest(), "big")
    first = _BIN_16 + named[:8]  # then come the variant of RFC 9562, and 62 bits
    return (_uuid(first + (0b10 << 62 | (low + number) % 2**62).to_bytes(8, "big")) for number in count())


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who said a message, when, and because of what. Stored with each event that the message led to.

    `message_id` names the message; `correlation_id` is shared by all that one outer request led to; `causation_id` is
    the message or event that led to this one. `at` is the time of saying, with a zone. `extra` is the application's.

    One message, one metadata: a command that is sent again with the same metadata is the same command, and takes
    effect once.
    """

    message_id: UUID
    correlation_id: UUID
    causation_id: UUID | None = None
    actor: str | None = None
    at: datetime
    extra: Mapping[str, str] = {}
    idempotency: Idempotency | None = None

    @classmethod
    def new(
        cls,
        *,
        actor: str | None = None,
        correlation_id: UUID | None = None,
        at: datetime | None = None,
        idempotency: Idempotency | None = None,
    ) -> Metadata:
        """The metadata of a message that comes from outside: a fresh id, and the present time unless `at` is given."""
        message_id = new_id()
        return cls(
            message_id=message_id,
            correlation_id=correlation_id or message_id,
            actor=actor,
            at=at or datetime.now(UTC),
            idempotency=idempotency,
        )

    def caused(self, *, at: datetime | None = None) -> Metadata:
        """The metadata of a message that this one led to: same correlation and actor, this message as the cause."""
        return Metadata(
            message_id=new_id(),
            correlation_id=self.correlation_id,
            causation_id=self.message_id,
            actor=self.actor,
            at=at or datetime.now(UTC),
            extra=self.extra,
        )
