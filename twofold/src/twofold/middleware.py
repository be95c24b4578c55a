"""What is wrapped around handlers: validation, logging, correlation, time-out. Each is one callable around the next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from logging import DEBUG, ERROR, INFO, getLogger
from typing import Any, Protocol, TypeVar, cast

import msgspec

from twofold.bus import Middleware, Next
from twofold.deadlines import Deadline
from twofold.errors import Fault, TimedOut, TwofoldError, ValidationFailed
from twofold.messages import Metadata

R = TypeVar("R")

log = getLogger("twofold.messages")


class Checked(Protocol):
    """A message that can say what is wrong with itself."""

    def faults(self) -> Sequence[Fault]:
        """Every broken rule, in the order of the fields; none if the message may be handled."""
        ...


async def validation(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
    """Refuse a message that finds faults in itself, with all of them. Raises ValidationFailed."""
    if hasattr(type(message), "faults"):  # `isinstance` of a protocol takes longer than most rules
        faults = cast("Checked", message).faults()
        if faults:
            raise ValidationFailed(faults)
    return await call_next(message, metadata)


async def logging(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
    """Log each message's name, ids, duration and outcome; never its content, which may be personal."""
    name = type(message).__name__
    began = time.perf_counter()
    try:
        answer = await call_next(message, metadata)
    except TwofoldError as refusal:
        _note(INFO, "%s refused (%s)", name, type(refusal).__name__, metadata=metadata, began=began)
        raise
    except Exception as error:
        _note(ERROR, "%s failed (%s)", name, type(error).__name__, metadata=metadata, began=began)
        raise
    if log.isEnabledFor(DEBUG):
        _note(DEBUG, "%s done", name, metadata=metadata, began=began)
    return answer


def _note(level: int, text: str, *values: Any, metadata: Metadata, began: float) -> None:
    fields = {
        "message_id": str(metadata.message_id),
        "correlation_id": str(metadata.correlation_id),
        "milliseconds": round((time.perf_counter() - began) * 1000, 3),
    }
    log.log(level, text, *values, extra=fields)


_current: ContextVar[Metadata | None] = ContextVar("twofold_current_message", default=None)


def current_message() -> Metadata | None:
    """The metadata of the message that is being handled, where `correlation` is in the bus; None outside of any."""
    return _current.get()


async def correlation(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
    """Give a message that a handler sends the correlation and the cause of the message that is being handled."""
    outer = _current.get()
    if outer is not None and metadata.causation_id is None and outer.message_id != metadata.message_id:
        metadata = msgspec.structs.replace(
            metadata,
            correlation_id=outer.correlation_id,
            causation_id=outer.message_id,
            actor=metadata.actor or outer.actor,
        )
    token = _current.set(metadata)
    try:
        return await call_next(message, metadata)
    finally:
        _current.reset(token)


def timeout(seconds: float) -> Middleware:
    """Give up waiting after `seconds`. Raises TimedOut: what the handler began may still take effect."""

    async def middleware(message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        deadline = Deadline(seconds)
        try:
            with deadline:
                return await call_next(message, metadata)
        except TimeoutError as error:
            if not deadline.expired:
                raise  # the handler's own
            raise TimedOut(type(message), seconds) from error

    return middleware
