"""Log lines: one a record whatever is in it, with the ids of the message that is handled, and with no content."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import Command, CommandBus, Metadata
from twofold.http.access import AccessLog
from twofold.http.exchange import Message, Receive, Scope, Send
from twofold.logs import LONGEST, JsonLines, TextLines
from twofold.middleware import correlation
from twofold.middleware import logging as logging_of_messages

FORGED = "fine\n2026-11-26 08:00:00,000 1 CRITICAL orders all is lost\r\x1b[2J\x85\u2028{}"


class Lines(logging.Handler):
    """Keeps what a formatter makes of the records."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def read(self) -> Sequence[Mapping[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(params=[JsonLines, TextLines])
def lines(request: pytest.FixtureRequest) -> Generator[Lines]:
    yield from logging_into(Lines(request.param()))


@pytest.fixture
def json_lines() -> Generator[Lines]:
    yield from logging_into(Lines(JsonLines()))


def logging_into(handler: Lines) -> Generator[Lines]:
    log = logging.getLogger("twofold")
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)


log = logging.getLogger("twofold.tests")


def test_hostile_text_forges_no_line(lines: Lines) -> None:
    log.info("%s is parked", FORGED)
    (line,) = lines.lines
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


def test_an_error_that_quotes_hostile_text_forges_no_line() -> None:
    for handler in logging_into(Lines(TextLines())):
        try:
            raise ValueError(FORGED)
        except ValueError:
            log.exception("it failed")
        first, *others = handler.lines[0].splitlines()
        assert first.endswith("it failed")
        assert all(line.startswith("  ") for line in others)
        assert "\x1b" not in handler.lines[0]


@given(st.text())
def test_whatever_a_record_quotes_json_gives_it_back(text: str) -> None:
    record = logging.LogRecord("twofold", logging.INFO, "", 1, "%s", (text,), None)
    line = JsonLines().format(record)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == text
    assert len(TextLines().format(record).splitlines()) == 1


def test_half_a_surrogate_pair() -> None:
    # Not logged: pytest would keep it, and a worker of pytest-xdist cannot send it on.
    record = logging.LogRecord("twofold", logging.INFO, "", 1, "\ud800", (), None)
    assert json.loads(JsonLines().format(record))["message"] == "\ud800"


def test_a_megabyte(json_lines: Lines) -> None:
    log.info("%s", "x" * 1_000_000)
    (line,) = json_lines.read
    assert len(line["message"]) == LONGEST


def test_an_error_is_told_by_its_kind_and_place_and_not_by_what_it_quotes(json_lines: Lines) -> None:
    try:
        try:
            raise KeyError("Ms. Nobody")
        except KeyError as error:
            raise ValueError("the address of Ms. Nobody") from error
    except ValueError:
        log.exception("it failed")
    (line,) = json_lines.read
    assert line["errors"] == ["ValueError", "KeyError"]
    assert "test_an_error_is_told" in line["trace"][-1]
    assert "Nobody" not in json_lines.lines[0]


class Wish(Command[str]):
    def __repr__(self) -> str:
        return "Ms. Nobody"


async def test_lines_name_the_message_that_is_handled(json_lines: Lines) -> None:
    bus = CommandBus([correlation, logging_of_messages])

    @bus.handles(Wish)
    async def refuse(wish: Wish, metadata: Metadata) -> str:
        log.info("a handler says something")
        raise RuntimeError(repr(wish))

    metadata = Metadata.new()
    with pytest.raises(RuntimeError):
        await bus.execute(Wish(), metadata)
    log.info("outside of any")
    inside, refused, outside = json_lines.read
    ids = {"correlation_id": str(metadata.correlation_id), "message_id": str(metadata.message_id)}
    assert ids.items() <= inside.items()
    assert ids.items() <= refused.items()
    assert (refused["level"], refused["logger"]) == ("ERROR", "twofold.messages")
    assert refused["message"] == "Wish failed (RuntimeError)"
    assert refused["milliseconds"] >= 0
    assert not outside.keys() & {"correlation_id", "message_id"}
    assert "Nobody" not in "".join(json_lines.lines)


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def nothing(_message: Message | None = None) -> Message:
    return {}


async def test_the_access_log_speaks_json_too_and_has_the_fields_of_all_lines(json_lines: Lines) -> None:
    stream = io.StringIO()
    access = AccessLog(answer, stream, as_json=True)

    async def send(_message: Message) -> None:
        return

    for method in ("GET", 'P"\n\\\u2028'):
        scope = {"type": "http", "method": method, "path": "/customers/Nobody", "client": ("127.0.0.1", 1)}
        await access(scope, nothing, send)
    access.flush()
    log.info("beside it")
    first, second = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert first["message"] == "GET 200"
    assert (first["address"], first["method"], first["status"]) == ("127.0.0.1", "GET", 200)
    assert first["milliseconds"] >= 0
    assert second["method"] == 'P"\n\\\u2028'
    (beside,) = json_lines.read
    assert beside.keys() < first.keys()
    assert len(beside["time"]) == len(first["time"])
    assert beside["process"] == first["process"]
    assert "Nobody" not in stream.getvalue()
