"""The console's answers as JSON, for programs: under /console/api, with the same roles as its pages.

Who may see, but not payloads, gets the same answers with what is personal masked.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast
from uuid import uuid4

import msgspec
from msgspec import Struct

from twofold.auditing import actions
from twofold.bus import CommandBus
from twofold.console.access import Access, Visitor
from twofold.console.asked import (
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
    read_before,
    read_limit,
    read_name,
    read_text,
    read_version,
    time_of,
    uuid_of,
)
from twofold.console.logins import Role
from twofold.errors import Fault, ModelMissing, ValidationFailed
from twofold.events import Receipt
from twofold.http.answers import encode, json_response
from twofold.http.exchange import Request, Response
from twofold.http.problems import Problem
from twofold.http.requests import Parameters, fingerprint, read_body, read_json, whole_number
from twofold.inspecting.changes import difference, explain
from twofold.inspecting.context import in_context
from twofold.inspecting.correlation import correlation
from twofold.inspecting.drawing import drawing, mermaid
from twofold.inspecting.exporting import export
from twofold.inspecting.finding import find
from twofold.inspecting.forms import forms
from twofold.inspecting.history import history, state_at
from twofold.inspecting.inspection import Inspection
from twofold.inspecting.rows import rows
from twofold.inspecting.standing import standing
from twofold.inspecting.streams import categories, position_at, recent, streams
from twofold.inspecting.trying import command_of, try_command
from twofold.messages import Idempotency, Metadata
from twofold.store import LARGEST

S = TypeVar("S", bound=Struct)

PATH = "/console/api"
MAX_BODY = 1_048_576  # bytes


class ConsoleApi:
    """The handlers, over a store and what is known of its application. Without `commands` none is sent."""

    def __init__(self, inspection: Inspection, access: Access, commands: CommandBus | None = None) -> None:
        self._inspection = inspection
        self._access = access
        self._commands = commands

    async def overview(self, request: Request) -> Response:
        """GET /console/api/overview."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(await standing(inspection))

    async def categories(self, request: Request) -> Response:
        """GET /console/api/categories."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(Categories(await categories(inspection)))

    async def streams(self, request: Request) -> Response:
        """GET /console/api/streams. With `at` those that were active last at that time or before."""
        inspection, parameters = await self._asked(request, "category", "before", "at", "limit")
        category, before, limit = read_name(parameters, "category"), read_before(parameters), read_limit(parameters)
        at = parameters.read("at", "At", "a time, as in 2026-03-01T12:00:00Z", time_of)
        parameters.check()
        if at is not None:
            reached = await position_at(inspection.store, at) + 1
            before = reached if before is None else min(before, reached)
        return _answer(await streams(inspection, category=category, before=before, limit=limit))

    async def events(self, request: Request) -> Response:
        """GET /console/api/events: the log from its end."""
        inspection, parameters = await self._asked(request, "before", "limit")
        before, limit = read_before(parameters), read_limit(parameters)
        parameters.check()
        return _answer(await recent(inspection, before=before, limit=limit))

    async def history(self, request: Request) -> Response:
        """GET /console/api/stream."""
        inspection, parameters = await self._asked(request, "name", "after", "limit")
        name, limit = read_text(parameters, "name"), read_limit(parameters)
        after = parameters.whole("after", "After", default=0, least=0, most=LARGEST)
        parameters.check()
        found = await history(inspection, name, after=after, limit=limit)
        if not found.version:
            raise Problem(404, "stream-unknown", "There is no such stream")
        return _answer(found)

    async def state(self, request: Request) -> Response:
        """GET /console/api/state."""
        inspection, parameters = await self._asked(request, "stream", "version")
        stream, version = read_text(parameters, "stream"), read_version(parameters, "version")
        parameters.check()
        return _answer(await state_at(inspection, stream, version))

    async def difference(self, request: Request) -> Response:
        """GET /console/api/diff."""
        inspection, parameters = await self._asked(request, "stream", "from", "to")
        stream, first, last = (
            read_text(parameters, "stream"),
            read_version(parameters, "from"),
            read_version(parameters, "to"),
        )
        parameters.check()
        if first is None or last is None:
            raise ValidationFailed([Fault("From and to must both be given", "from", "required")])
        return _answer(await difference(inspection, stream, first, last))

    async def explain(self, request: Request) -> Response:
        """GET /console/api/explain."""
        inspection, parameters = await self._asked(request, "stream", "version")
        stream, version = read_text(parameters, "stream"), read_version(parameters, "version")
        parameters.check()
        return _answer(await explain(inspection, stream, version))

    async def rows(self, request: Request) -> Response:
        """GET /console/api/rows."""
        inspection, parameters = await self._asked(request, "stream")
        stream = read_text(parameters, "stream")
        parameters.check()
        return _answer(Rows(await rows(inspection, stream)))

    async def event(self, request: Request) -> Response:
        """GET /console/api/event, by its position or its id; by both, if they are of one event."""
        inspection, parameters = await self._asked(request, "position", "id")
        position = parameters.whole("position", "Position", default=None, least=1, most=LARGEST)
        id = parameters.read("id", "Id", "a UUID", uuid_of)
        parameters.check()
        found = await in_context(inspection, position=position, id=id)
        if found is None or position not in (None, found.event.position):
            raise Problem(404, "event-unknown", "There is no such event")
        return _answer(found)

    async def correlation(self, request: Request) -> Response:
        """GET /console/api/correlation."""
        inspection, parameters = await self._asked(request, "id", "after", "limit")
        id, limit = parameters.read("id", "Id", "a UUID", uuid_of), read_limit(parameters)
        after = parameters.whole("after", "After", default=0, least=0, most=LARGEST)
        parameters.check()
        if id is None:
            raise ValidationFailed([Fault("Id is missing", "id", "required")])
        return _answer(await correlation(inspection, id, after=after, limit=limit))

    async def search(self, request: Request) -> Response:
        """GET /console/api/search."""
        inspection, parameters = await self._asked(request, "text")
        text = read_text(parameters, "text")
        parameters.check()
        return _answer(Found(await find(inspection, text)))

    async def model(self, request: Request) -> Response:
        """GET /console/api/model."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        drawn = await drawing(inspection)
        return _answer(DrawnModel(drawn, mermaid(drawn)))

    async def audit(self, request: Request) -> Response:
        """GET /console/api/audit."""
        inspection, parameters = await self._asked(request, "before", "limit")
        before, limit = read_before(parameters), read_limit(parameters)
        parameters.check()
        return _answer(await actions(inspection.store, before=before, limit=limit, personal=inspection.personal))

    # --- commands ---------------------------------------------------------------------------------------------------

    async def commands(self, request: Request) -> Response:
        """GET /console/api/commands."""
        inspection, parameters = await self._asked(request)
        parameters.check()
        return _answer(Forms(forms(inspection)))

    async def attempt(self, request: Request) -> Response:
        """POST /console/api/commands/try: nothing is appended, but a refusal may tell of what is personal."""
        _, inspection, asked = await self._body(request, Try, Role.PAYLOADS)
        return _answer(await try_command(inspection, asked.command, asked.fields, version=asked.version))

    async def send(self, request: Request) -> Response:
        """POST /console/api/commands/send. It is tried before: a refusal is told in the domain's words."""
        visitor, inspection, asked = await self._body(request, SendCommand, Role.OPERATE)
        return _answer(await self.sent(visitor, inspection, asked))

    async def sent(self, visitor: Visitor, inspection: Inspection, asked: SendCommand) -> Sent:
        """What became of a command that a visitor sends. Raises a Problem where the domain refuses it."""
        _, command = command_of(inspection, asked.command, asked.fields)
        if self._commands is None:
            raise ModelMissing
        key = asked.key or str(uuid4())
        idempotency = Idempotency(key, fingerprint("COMMAND", asked.command, repr(command).encode(errors="replace")))
        if await inspection.store.recall(key) is None:
            refusal = (await try_command(inspection, asked.command, asked.fields)).refusal
            if refusal is not None and refusal.faults:
                details = [fault.message for fault in refusal.faults]
                raise Problem(422, "command-invalid", "Validation failed", details=details, errors=refusal.faults)
            if refusal is not None:
                raise Problem(409, "command-refused", refusal.text, refusal=refusal.type)
        said = Metadata.new(actor=visitor.name, idempotency=idempotency)
        receipt: Any = await self._commands.execute(command, said)
        known = receipt if isinstance(receipt, Receipt) else None
        return Sent(
            command=asked.command,
            stream=None if known is None else known.stream,
            version=None if known is None else known.version,
            position=None if known is None else known.position,
            repeated=known is not None and known.repeated,
            message_id=said.message_id,
            key=key,
        )

    async def export(self, request: Request) -> Response:
        """POST /console/api/export: what is personal is in it, so it needs the role to see that."""
        _, inspection, asked = await self._body(request, Export, Role.PAYLOADS)
        command = None if asked.command is None else (asked.command, asked.fields)
        return _answer(Exported(await export(inspection, asked.stream, version=asked.version, command=command)))

    # --- what they share --------------------------------------------------------------------------------------------

    async def _asked(self, request: Request, *known: str) -> tuple[Inspection, Parameters]:
        """What a visitor looks into, and by which parameters. Raises a Problem for who may not see it."""
        visitor = await self._access.permit_program(request, Role.SEE)
        return self._seen_by(visitor), Parameters(request, known)

    async def _body(self, request: Request, kind: type[S], role: Role) -> tuple[Visitor, Inspection, S]:
        """Who asks for something, what it looks into, and what it asks. Raises a Problem, ValidationFailed."""
        body = await read_body(request, limit=MAX_BODY)
        visitor = await self._access.permit_program(request, role)
        Parameters(request, ()).check()
        read = read_json(request, body)
        if isinstance(read, dict):
            members = cast("dict[str, object]", read)
            read = {name: whole_number(value) for name, value in members.items()}
        try:
            return visitor, self._seen_by(visitor), msgspec.convert(read, kind)
        except msgspec.ValidationError as error:
            raise ValidationFailed([Fault(str(error), "", "type")]) from None

    def _seen_by(self, visitor: Visitor) -> Inspection:
        known = self._inspection
        return Inspection(known.store, known.model, known.views, personal=visitor.may(Role.PAYLOADS))


def _answer(answer: Struct) -> Response:
    return json_response(encode(answer), headers={"Cache-Control": "no-store"})
