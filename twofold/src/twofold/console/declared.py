"""The console's API declared: what its operations take and answer, for the router and for its description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.auditing import Actions
from twofold.console.api import PATH, ConsoleApi
from twofold.console.asked import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    NO_NUL,
    Categories,
    DrawnModel,
    Export,
    Exported,
    Forms,
    Found,
    Rows,
    SendCommand,
    Sent,
    Try,
)
from twofold.http.application import Handler
from twofold.http.openapi import Operation, Parameter
from twofold.inspecting.changes import Difference, Explanation
from twofold.inspecting.context import EventInContext
from twofold.inspecting.correlation import Correlated
from twofold.inspecting.history import History, StateAt
from twofold.inspecting.standing import Overview
from twofold.inspecting.streams import Events, Streams
from twofold.inspecting.trying import Trial

_TEXT = {"type": "string", "minLength": 1, "maxLength": 500, "pattern": NO_NUL}
_WHOLE = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_UUID = {"type": "string", "format": "uuid"}


def _query(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> Parameter:
    return Parameter(name, "query", schema, description, required)


_LIMIT = _query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "The most that a page has.",
)
_BEFORE = _query("before", _WHOLE, "Where to go on: what the page before this one said.")
_AFTER = _query("after", _WHOLE, "Where to go on: what the page before this one said.")
_STREAM = _query("stream", _TEXT, "The name of a stream.", required=True)
_VERSION = _query("version", _WHOLE, "A version of it; the last one if it is left out, and 0 for the beginning.")


def operations(api: ConsoleApi) -> Sequence[Operation]:
    """What the console's API can do."""

    def get(path: str, name: str, summary: str, handler: Handler, answer: type, *parameters: Parameter) -> Operation:
        problems = (400, 401, 403, 404, 429, 503)
        return Operation(
            "GET", f"{PATH}{path}", name, summary, handler, {200: answer}, problems=problems, parameters=parameters
        )

    def post(path: str, name: str, summary: str, handler: Handler, answer: type, *, body: type) -> Operation:
        problems = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
        return Operation("POST", f"{PATH}{path}", name, summary, handler, {200: answer}, problems=problems, body=body)

    return [
        get("/overview", "getOverview", "Get how all stands", api.overview, Overview),
        get("/categories", "getCategories", "Get the categories of streams", api.categories, Categories),
        get(
            "/streams",
            "getStreams",
            "Get streams, the newest activity first",
            api.streams,
            Streams,
            _query("category", _TEXT, "Only streams of this category."),
            _query("at", {"type": "string", "format": "date-time"}, "Only streams active last at this time or before."),
            _BEFORE,
            _LIMIT,
        ),
        get("/events", "getEvents", "Get the log from its end", api.events, Events, _BEFORE, _LIMIT),
        get(
            "/stream",
            "getStream",
            "Get the events of a stream",
            api.history,
            History,
            _query("name", _TEXT, "The name of a stream.", required=True),
            _AFTER,
            _LIMIT,
        ),
        get("/state", "getState", "Get the state at a version", api.state, StateAt, _STREAM, _VERSION),
        get(
            "/diff",
            "getDifference",
            "Get what changed between two versions",
            api.difference,
            Difference,
            _STREAM,
            _query("from", _WHOLE, "A version.", required=True),
            _query("to", _WHOLE, "Another version.", required=True),
        ),
        get(
            "/explain",
            "getExplanation",
            "Get which event set each field",
            api.explain,
            Explanation,
            _STREAM,
            _VERSION,
        ),
        get("/rows", "getRows", "Get the rows of views beside a fresh fold", api.rows, Rows, _STREAM),
        get(
            "/event",
            "getEvent",
            "Get an event with its causes, effects and views",
            api.event,
            EventInContext,
            _query("position", {**_WHOLE, "minimum": 1}, "Its position, or"),
            _query("id", _UUID, "its id."),
        ),
        get(
            "/correlation",
            "getCorrelation",
            "Get what came of a request",
            api.correlation,
            Correlated,
            _query("id", _UUID, "The id of the correlation.", required=True),
            _AFTER,
            _LIMIT,
        ),
        get(
            "/search",
            "search",
            "Find whatever a text names",
            api.search,
            Found,
            _query("text", _TEXT, "An id of any kind, a stream, a position, a key, a time, or words.", required=True),
        ),
        get("/model", "getModel", "Get the model of the application as a drawing", api.model, DrawnModel),
        get("/audit", "getAudit", "Get what operators did", api.audit, Actions, _BEFORE, _LIMIT),
        get("/commands", "getCommands", "Get a form for each command", api.commands, Forms),
        post("/commands/try", "tryCommand", "Say what a command would do", api.attempt, Trial, body=Try),
        post("/commands/send", "sendCommand", "Send a command", api.send, Sent, body=SendCommand),
        post("/export", "exportStream", "Write a stream as a given/when/then test", api.export, Exported, body=Export),
    ]
