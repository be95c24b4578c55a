"""Errors as a client is told them: RFC 9457 problem details, never a stack, never a 500 for a client's mistake.

Beside the standard members a problem carries `error` (one sentence) and, where a message was not valid, `details` (all
the sentences) and `errors` (each with its sentence, path and code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec

from twofold.errors import (
    CommandInvalid,
    CommandUnknown,
    Conflict,
    ExportRefused,
    Fault,
    IdempotencyKeyReused,
    LetterRefused,
    LetterUnknown,
    ModelMissing,
    OutcomeUnknown,
    ProjectionCodeMissing,
    ProjectionInline,
    ProjectionUnknown,
    SkipOvertaken,
    StoreFailed,
    StoreUnavailable,
    TimedOut,
    TwofoldError,
    ValidationFailed,
)
from twofold.http.exchange import Response

MEDIA_TYPE = "application/problem+json"
_encode = msgspec.json.Encoder(decimal_format="number").encode


class PreconditionFailed(TwofoldError):
    """The client's If-Match does not allow the version that the thing is at."""

    def __init__(self, actual: int) -> None:
        self.actual = actual
        super().__init__(f"it is at version {actual}")


class Problem(Exception):
    """An answer that is a problem. `type` is a stable word for a program; `more` are members of the problem's own."""

    def __init__(
        self,
        status: int,
        type: str,
        error: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.type = type
        self.error = error
        self.headers = dict(headers or {})
        self.more = more

    def body(self) -> bytes:
        """The problem as JSON."""
        return _encode(
            {
                "type": f"urn:twofold:problem:{self.type}",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": str(self),
                "error": self.error,
                **self.more,
            }
        )

    def response(self) -> Response:
        """The problem as a response."""
        return Response(self.body(), self.status, self.headers, MEDIA_TYPE)


def stored_problem(body: bytes) -> Response:
    """A problem that was kept under an idempotency key, as the response that it was."""
    status = msgspec.json.decode(body, type=_Status).status
    return Response(body, status, media_type=MEDIA_TYPE)


class _Status(msgspec.Struct):
    status: int


Explain = Callable[[TwofoldError], Problem | None]
"""Says what problem a domain's error is; None for an error that it does not know."""


def problem_of(error: Exception, explain: Explain = lambda _error: None) -> Problem:
    """What a client is told of an error."""
    if isinstance(error, TwofoldError):
        return explain(error) or _own(error)
    return _INTERNAL


_INTERNAL = Problem(500, "internal", "The service failed; the fault is not yours")


def _own(error: TwofoldError) -> Problem:
    match error:
        case ValidationFailed(faults=faults):
            return Problem(
                400,
                "validation",
                "Validation failed",
                details=[fault.message for fault in faults],
                errors=list(faults),
            )
        case Conflict(expected=expected, actual=actual):
            text = "It was changed by others meanwhile; read it and try again"
            return Problem(409, "conflict", text, expectedVersion=expected, actualVersion=actual)
        case PreconditionFailed(actual=actual):
            text = "It is at another version than If-Match says"
            return Problem(412, "precondition-failed", text, actualVersion=actual)
        case IdempotencyKeyReused():
            return Problem(422, "idempotency-key-reused", "The Idempotency-Key was used for a different request")
        case ProjectionUnknown():
            return Problem(404, "projection-unknown", "There is no such projection")
        case ProjectionInline():
            text = "This projection is inline: it cannot stand still, and nothing of it is parked"
            return Problem(409, "projection-inline", text)
        case ProjectionCodeMissing():
            return Problem(409, "projection-code-missing", "This application has no code of that projection")
        case LetterUnknown():
            return Problem(404, "letter-unknown", "No such event is parked there")
        case LetterRefused(reason=reason):
            return Problem(409, "letter-refused", f"The event {reason}")
        case SkipOvertaken():
            return Problem(409, "skip-overtaken", "Later events were folded since; only a rebuild brings it in")
        case CommandUnknown():
            return Problem(404, "command-unknown", str(error))
        case CommandInvalid(reason=reason):
            return Problem(422, "command-invalid", str(error), details=[reason], errors=[Fault(reason, "", "type")])
        case ModelMissing():
            return Problem(409, "model-missing", str(error))
        case ExportRefused():
            return Problem(409, "export-refused", str(error))
        case StoreUnavailable():
            return Problem(503, "busy", "The service cannot take this now; try again", headers={"Retry-After": "1"})
        case StoreFailed():
            return Problem(503, "store-failed", "The service cannot write", headers={"Retry-After": "60"})
        case OutcomeUnknown() | TimedOut():
            text = "It is unknown whether the request took effect; send it again with the same Idempotency-Key"
            return Problem(503, "outcome-unknown", text, headers={"Retry-After": "1"})
        case _:
            return _INTERNAL
