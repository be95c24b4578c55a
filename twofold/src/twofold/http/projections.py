"""The operator's part of an API: how projections stand, pause and resume, and what to do about parked events.

Who may ask and who may change is for `twofold.console.access` to say: the same rules as in the console.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec
from msgspec import UNSET, Struct

from twofold.auditing import Actor
from twofold.console.access import Access
from twofold.console.logins import Role
from twofold.errors import Fault, ValidationFailed
from twofold.http.answers import encode, json_response
from twofold.http.application import Handler
from twofold.http.exchange import Request, Response
from twofold.http.letters import (
    Nothing,
    ParkedEvent,
    ParkedLetters,
    Pause,
    Projections,
    RetriedSequences,
    Retry,
    Skip,
    UndoSkip,
    cursor_of,
    parked_event,
    place,
    place_of,
    standing,
    told,
)
from twofold.http.openapi import Operation, Parameter
from twofold.http.requests import Parameters, read_body, read_json, whole_number
from twofold.operating import Found, Operator
from twofold.overview import overview
from twofold.store import LARGEST
from twofold.views import Views, identity

S = TypeVar("S", bound=Struct)

MAX_BODY = 65_536  # bytes
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class ProjectionsApi:
    """The handlers, over the views of an application."""

    def __init__(self, views: Views, access: Access) -> None:
        """`access` says who may see, see payloads, and operate."""
        self._views = views
        self._access = access
        self._store = views.store
        self._operator = Operator(views)

    async def list(self, request: Request) -> Response:
        """GET /projections."""
        visitor = await self._access.permit_program(request, Role.SEE)
        Parameters(request, ()).check()
        names = {identity(view): view.name for view in self._views.all.values()}
        statuses = await overview(self._store, self._views, personal=visitor.may(Role.PAYLOADS))
        return _answer(Projections([standing(each, names.get(each.name, each.name)) for each in statuses]))

    async def pause(self, request: Request) -> Response:
        """POST /projections/{name}/pause."""
        operator, asked = await self._asked(request, Pause)
        await operator.pause(await self._find(request), asked.reason)
        return Response(status=204)

    async def resume(self, request: Request) -> Response:
        """POST /projections/{name}/resume."""
        operator, _ = await self._asked(request, Nothing)
        await operator.resume(await self._find(request))
        return Response(status=204)

    async def reset(self, request: Request) -> Response:
        """POST /projections/{name}/reset."""
        operator, _ = await self._asked(request, Nothing)
        await operator.reset(await self._find(request))
        return Response(status=204)

    async def letters(self, request: Request) -> Response:
        """GET /projections/{name}/parked. Errors may tell of what is in an event, so they are payloads too."""
        await self._access.permit_program(request, Role.PAYLOADS)
        parameters = Parameters(request, ("limit", "cursor"))
        limit = parameters.whole("limit", "Limit", default=DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        after = parameters.read("cursor", "Cursor", "one that was given for this list", place_of)
        parameters.check()
        letters = sorted(await self._operator.letters(await self._find(request)), key=place)
        page = [letter for letter in letters if after is None or place(letter) > after][: limit + 1]
        cursor = cursor_of(page[limit - 1]) if len(page) > limit else None
        return _answer(ParkedLetters([told(letter) for letter in page[:limit]], cursor))

    async def letter(self, request: Request) -> Response:
        """GET /projections/{name}/parked/{position}."""
        await self._access.permit_program(request, Role.PAYLOADS)
        Parameters(request, ()).check()
        position = min(int(request.path_params["position"]), LARGEST)
        letters = await self._operator.letters_at(await self._find(request), position)
        return _answer(parked_event(await self._operator.event_at(position), letters))

    async def retry(self, request: Request) -> Response:
        """POST /projections/{name}/parked/retry: each sequence in its order, with the code of this process."""
        operator, asked = await self._asked(request, Retry)
        sequence = None if asked.sequence is UNSET else asked.sequence
        done = await operator.retry(await self._find(request), sequence=sequence)
        return _answer(RetriedSequences(done))

    async def skip(self, request: Request) -> Response:
        """POST /projections/{name}/parked/skip: only the first event of a sequence that waits can be left out."""
        operator, asked = await self._asked(request, Skip)
        await operator.skip(await self._find(request), asked.position, asked.sequence, asked.reason)
        return Response(status=204)

    async def undo_skip(self, request: Request) -> Response:
        """POST /projections/{name}/parked/undo-skip."""
        operator, asked = await self._asked(request, UndoSkip)
        await operator.undo_skip(await self._find(request), asked.position, asked.sequence)
        return Response(status=204)

    # --- what they share ----------------------------------------------------------------------------------------------

    async def _asked(self, request: Request, kind: type[S]) -> tuple[Operator, S]:
        """Who makes a change, and its body. Raises a Problem for who may not make it, ValidationFailed."""
        body = await read_body(request, limit=MAX_BODY)
        visitor = await self._access.permit_program(request, Role.OPERATE)
        Parameters(request, ()).check()
        read = read_json(request, body, optional=kind in (Nothing, Retry))
        if isinstance(read, dict):
            members = cast("dict[str, object]", read)
            read = {name: whole_number(value) for name, value in members.items()}
        try:
            return Operator(self._views, Actor(visitor.name, "api")), msgspec.convert(read, kind)
        except msgspec.ValidationError as error:
            raise ValidationFailed([Fault(str(error), "", "type")]) from None

    async def _find(self, request: Request) -> Found:
        """The subscription that the path names. Raises ProjectionUnknown, ProjectionInline."""
        return await self._operator.find(request.path_params["name"])


def _answer(answer: Struct) -> Response:
    return json_response(encode(answer), headers={"Cache-Control": "no-store"})  # it may quote what is in events


def operations(api: ProjectionsApi) -> Sequence[Operation]:
    """What the operator's part can do."""
    name = Parameter("name", "path", {"type": "string", "minLength": 1}, "The projection's name.")
    position = Parameter("position", "path", {"type": "integer", "minimum": 1, "maximum": LARGEST}, "In the log.")
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    paging = (
        Parameter("limit", "query", limit, "The most letters on a page."),
        Parameter("cursor", "query", {"type": "string"}, "Where the page before ended, as its answer said."),
    )

    def change(path: str, called: str, summary: str, handler: Handler, body: type) -> Operation:
        return Operation(
            "POST",
            f"/projections/{{name}}/{path}",
            called,
            summary,
            handler,
            answers={200: RetriedSequences} if body is Retry else {204: None},
            problems=(400, 401, 403, 404, 408, 409, 413, 415, 429, 503),
            parameters=(name,),
            body=body,
            body_optional=body in (Nothing, Retry),
        )

    return [
        Operation(
            "GET",
            "/projections",
            "getProjections",
            "Get how all projections stand",
            api.list,
            answers={200: Projections},
            problems=(400, 401, 403, 429, 503),
        ),
        change("pause", "pauseProjection", "Let a projection stand still", api.pause, Pause),
        change(
            "resume", "resumeProjection", "Go on with a projection that is paused or has failed", api.resume, Nothing
        ),
        change("reset", "resetProjection", "Empty a projection and fold the whole log again", api.reset, Nothing),
        Operation(
            "GET",
            "/projections/{name}/parked",
            "getParked",
            "Get the events that a projection could not pass, and those behind them",
            api.letters,
            answers={200: ParkedLetters},
            problems=(400, 401, 403, 404, 409, 429, 503),
            parameters=(name, *paging),
        ),
        Operation(
            "GET",
            "/projections/{name}/parked/{position:int}",
            "getParkedEvent",
            "Get a parked event as it stands in the log",
            api.letter,
            answers={200: ParkedEvent},
            problems=(400, 401, 403, 404, 409, 429, 503),
            parameters=(name, position),
        ),
        change("parked/retry", "retryParked", "Fold what is parked, in its order", api.retry, Retry),
        change("parked/skip", "skipParked", "Leave the first event of a parked sequence out", api.skip, Skip),
        change("parked/undo-skip", "undoSkipParked", "Take a skipped event back", api.undo_skip, UndoSkip),
    ]
