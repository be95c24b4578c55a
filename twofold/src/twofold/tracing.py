"""Traces by OpenTelemetry, where the application has set a provider of them; where it has not, nothing is done.

A span there is for each request by HTTP, each command and query, each append, and each page that a subscription folds.
The command's W3C `traceparent` is kept in the metadata of its events, so a trace goes on behind the log: the page that
folds an event has a link to the command that led to it, and so has a command that an event causes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from twofold.bus import Middleware
from twofold.events import Recorded

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from twofold.spans import Spans

_NOTHING = nullcontext()
_spans: Spans | None = None


def trace_with(provider: TracerProvider | None) -> None:
    """Make spans with this provider from now on, in this process; with None, none any more.

    Call it before buses and applications are made: they look once.
    """
    global _spans  # noqa: PLW0603 - a process has one, as in OpenTelemetry itself
    if provider is None:
        _spans = None
    else:
        from twofold.spans import Spans

        _spans = Spans(provider)


def trace_if_asked() -> None:
    """Make spans from now on if the application has set a provider for the process (`set_tracer_provider`)."""
    api: Any = sys.modules.get("opentelemetry.trace")  # who has set one has imported it; nobody else waits for that
    if api is None or _spans is not None:
        return
    provider = api.get_tracer_provider()
    if not isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        trace_with(provider)


def spans() -> Spans | None:
    """What makes spans; None where nobody asked for any."""
    return _spans


def middleware() -> Sequence[Middleware]:
    """What a bus needs to make a span of each message, right after `correlation`; nothing where nobody asked."""
    return () if _spans is None else (_spans.message,)


def appending(stream: str, events: int) -> AbstractContextManager[object]:
    """The span of an append."""
    return _NOTHING if _spans is None else _spans.appending(stream, events)


def folding(name: str, events: Sequence[Recorded[bytes]]) -> AbstractContextManager[object]:
    """The span of a page that a subscription folds."""
    return _NOTHING if _spans is None else _spans.folding(name, events)


def ids() -> Mapping[str, str]:
    """The ids of the span that is open here, for a log line; none where there is none."""
    return {} if _spans is None else _spans.ids()
