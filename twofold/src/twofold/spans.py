"""Spans as OpenTelemetry has them. Imported only where somebody uses it: see `twofold.tracing`.

A span has names, ids and counts, never content: not of a message, not of an error, whose text may quote one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TracerProvider, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from twofold.bus import Next
from twofold.errors import TwofoldError
from twofold.events import Recorded, category_of
from twofold.messages import Metadata
from twofold.metrics import TROUBLE

R = TypeVar("R")

TRACEPARENT = "traceparent"
"""Under what key of `Metadata.extra` the span of a command is kept; W3C Trace Context."""

MOST_LINKS = 128  # of a span: as many as the SDK keeps by default

_w3c = TraceContextTextMapPropagator()


class Spans:
    """Makes spans with a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("twofold")

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span of a request, a part of the caller's trace if its headers name one. Its name is still to come."""
        return self._open(method, SpanKind.SERVER, {"http.request.method": method}, context=_w3c.extract(headers))

    def answered(self, span: Span, method: str, route: str, status: int) -> None:
        """Note how a request was answered, and by which route; a client's mistake is no error of ours."""
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        if route:
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)

    async def message(self, message: object, metadata: Metadata, call_next: Next[R], /) -> R:
        """The span of a message, as middleware. What it leads to finds the span in `Metadata.extra`."""
        outside = not get_current_span().get_span_context().is_valid
        about = {
            "twofold.message_id": str(metadata.message_id),
            "twofold.correlation_id": str(metadata.correlation_id),
        }
        context = _w3c.extract(metadata.extra) if outside else None
        with self._open(type(message).__name__, SpanKind.INTERNAL, about, context=context):
            return await call_next(message, _continued(metadata))

    def appending(self, stream: str, events: int) -> AbstractContextManager[Span]:
        """The span of an append."""
        category = category_of(stream)
        return self._open(
            f"append {category}", SpanKind.CLIENT, {"twofold.category": category, "twofold.events": events}
        )

    def folding(self, name: str, events: Sequence[Recorded[bytes]]) -> AbstractContextManager[Span]:
        """The span of a page that a subscription folds, with a link to each command that led to its events."""
        about: dict[str, str | int] = {
            "twofold.projection": name,
            "twofold.events": len(events),
            "twofold.first_position": events[0].position,
            "twofold.last_position": events[-1].position,
        }
        return self._open(f"project {name}", SpanKind.CONSUMER, about, context=Context(), links=_links(events))

    def ids(self) -> Mapping[str, str]:
        """The ids of the span that is open here, as they are written."""
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}

    @contextmanager
    def _open(
        self,
        name: str,
        kind: SpanKind,
        about: Mapping[str, str | int],
        *,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Generator[Span]:
        with self._tracer.start_as_current_span(
            name,
            context,
            kind=kind,
            attributes=about,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                if not isinstance(error, TwofoldError) or isinstance(error, TROUBLE):  # a refusal is an answer
                    span.set_status(StatusCode.ERROR)
                raise


def _continued(metadata: Metadata) -> Metadata:
    """The metadata with the span that is open here."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    if TRACEPARENT not in carrier:
        return metadata
    return msgspec.structs.replace(metadata, extra={**metadata.extra, TRACEPARENT: carrier[TRACEPARENT]})


def _links(events: Sequence[Recorded[bytes]]) -> list[Link]:
    parents = dict.fromkeys(
        event.metadata.extra[TRACEPARENT] for event in events if TRACEPARENT in event.metadata.extra
    )
    contexts = (_context_of(parent) for parent in list(parents)[:MOST_LINKS])
    return [Link(context) for context in contexts if context.is_valid]


def _context_of(traceparent: str) -> SpanContext:
    return get_current_span(_w3c.extract({TRACEPARENT: traceparent}, Context())).get_span_context()
