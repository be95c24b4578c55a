"""What is said: commands, queries, and what is known about the saying of them.

`Command[R]` and `Query[R]` carry the type of their answer, so that a checker knows what a bus returns. They are plain
classes and not Protocols: an empty Protocol would accept anything, and then nothing would be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

R = TypeVar("R")


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


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who said a message, when, and because of what. Stored with each event that the message led to.

    `message_id` names the message; `correlation_id` is shared by all that one outer request led to; `causation_id` is
    the message or event that led to this one. `at` is the time of saying, with a zone. `extra` is the application's.
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
        message_id = uuid7()
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
            message_id=uuid7(),
            correlation_id=self.correlation_id,
            causation_id=self.message_id,
            actor=self.actor,
            at=at or datetime.now(UTC),
            extra=self.extra,
        )
