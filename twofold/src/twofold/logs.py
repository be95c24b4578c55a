"""Logs on standard error, one record a line: as text for people, or as JSON for programs that collect them.

Whatever a record quotes, it stays one line: nobody forges another by what he sends. JSON lines name the message that
was being handled, so that all lines of one request are found. No line has paths of requests, nor content of messages,
but for what an error says in a trace that is text.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from traceback import extract_tb
from types import TracebackType
from typing import TypeAlias

from twofold.middleware import current_message
from twofold.tracing import ids

LONGEST = 10_000  # characters of a record's text; the rest is left out
FRAMES = 30  # of an error's trace, the innermost
CAUSES = 10  # of an error

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_IDS = frozenset({"correlation_id", "message_id", "milliseconds"})  # those that records bring along
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what ends a line, or speaks to a terminal


def log_to_stderr(*, as_json: bool = False) -> None:
    """Write the records of this process, from INFO on, to standard error: as text, or as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class TextLines(logging.Formatter):
    """A record as a line: time, process, level, logger, text. A trace follows in lines of its own, which are set in.

    The trace ends with the text of its error, which may quote what the error is about; JSON lines leave that out.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in logging
        """The line of a record."""
        record.message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], record.message[:LONGEST])
        return super().formatMessage(record)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - its name in logging
        """The lines of a trace. None of them looks like a record, whatever the error quotes."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {_CONTROL.sub(lambda found: repr(found[0])[1:-1], line)}" for line in lines)


class JsonLines(logging.Formatter):
    """A record as a JSON object in ASCII.

    It has `time` (UTC), `level`, `logger`, `process` and `message`; where there are any, `correlation_id`,
    `message_id`, `milliseconds`, `trace_id` and `span_id`, and of an error its type with those of its causes (`errors`)
    and its `trace`. The text of such an error is left out: it may quote what the error is about.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage()[:LONGEST],
            **_ids(record),
            **ids(),
            **_error(record),
        }
        return json.dumps(fields, separators=(",", ":"))


def _ids(record: logging.LogRecord) -> Mapping[str, object]:
    """What the record itself says of a message, or else the message that is being handled."""
    given = {name: value for name, value in vars(record).items() if name in _IDS}
    message = current_message()
    if given or message is None:
        return given
    return {"correlation_id": str(message.correlation_id), "message_id": str(message.message_id)}


def _error(record: logging.LogRecord) -> Mapping[str, object]:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    trace = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-FRAMES:]]
    errors: list[str] = []
    while error is not None and len(errors) < CAUSES:
        errors.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    return {"errors": errors, "trace": trace}
